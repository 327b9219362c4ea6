'use strict';

const { InvalidArgumentError } = require('commander');
const { examples } = require('./arguments');
const { interrupted } = require('./interrupted');
const { bold } = require('./output');

/**
 * @param {import('commander').Command} program
 * @param {import('.').OnVault} onVault
 */
function addServe(program, onVault) {
  program
    .command('serve')
    .description("Serves the vault's web API and a page to look into it, until it is interrupted (Ctrl-C).")
    .option('--host <address>', 'where to listen; another than this machine itself needs a token', '127.0.0.1')
    .option('--port <number>', 'the port; 0: any that is free', port, 4646)
    .option('--token <token>', 'what callers must give; VVAULT_TOKEN of the environment if not given')
    .addHelpText(
      'after',
      examples('one object { url }.', 'serve', 'serve --port 8080', 'VVAULT_TOKEN=… vvault serve --host 0.0.0.0'),
    )
    .action(
      onVault(
        async ({ vault, output, options }) => {
          vault.on('error', (error) => output.note`vvault: ${error.message}`);
          // Only now: no other command needs it.
          const { serveVault } = require('../serve');
          const token = options.token ?? (process.env.VVAULT_TOKEN || undefined);
          const server = await serveVault(vault, { host: options.host, port: options.port, token });
          try {
            if (output.isJson) output.json({ url: server.url });
            else output.line`${bold(server.url)}`;
            output.note`serving ${vault.root}; Ctrl-C ends it`;
            await interrupted(output.signal);
          } finally {
            await server.close();
          }
        },
        () => ({ watch: true }),
      ),
    );
}

/** @param {string} text */
function port(text) {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65535) return Number(text);
  throw new InvalidArgumentError('It must be a number from 0 to 65535.');
}

module.exports = addServe;
