'use strict';

const fs = require('node:fs');
const { text } = require('node:stream/consumers');
const { Option } = require('commander');
const { examples, wholeNumber } = require('./arguments');
const { bold, cell } = require('./output');

/**
 * @param {import('commander').Command} program
 * @param {import('.').OnVault} onVault
 */
function addRuntimeConfig(program, onVault) {
  program
    .command('runtime-config')
    .description("Chatty's configuration of a construct for a user, from the construct's capsule.")
    .argument('<construct>', "the construct's id")
    .argument('<user>', "the user's id")
    .addOption(new Option('--instructions <text>', 'used in place of generated ones').conflicts('instructionsFile'))
    .option('--instructions-file <file>', 'the same from a file; - is the standard input')
    .option('--max-length <number>', 'how long the instructions may be', wholeNumber(1))
    .option('--write', 'save it where Chatty looks: {vault}/{construct}/chatty_runtime.json')
    .addHelpText(
      'after',
      examples(
        'one object, as vault.createRuntimeConfig gives it.',
        'runtime-config nova-001 mira_lindqvist_1741035327000',
        'runtime-config nova-001 mira_lindqvist_1741035327000 --max-length 2000 --write',
        "runtime-config nova-001 mira_lindqvist_1741035327000 --json | jq -r '.instructions'",
      ),
    )
    .action(
      onVault(async ({ vault, output, options }, construct, user) => {
        vault.on('capsule:rejected', ({ path: file, reason }) => output.problem`${file}: ${cell(reason)}`);
        const { write, maxLength, instructionsFile } = options;
        const instructions = instructionsFile === undefined ? options.instructions : await textOf(instructionsFile);
        const config = await vault.createRuntimeConfig(construct, user, { instructions, write, maxLength });
        if (output.isJson) {
          output.json(config);
          return;
        }
        const { instructions: lines, key_memories: memories, ...fields } = config;
        for (const [name, value] of Object.entries(fields)) output.line`${bold(name.padEnd(22))}${cell(value)}`;
        output.line`${bold('key_memories'.padEnd(22))}${memories.map(({ id }) => id).join(', ')}`;
        output.line`${bold('instructions')}`;
        for (const line of lines.split('\n')) output.line`  ${line}`;
        if (write) output.note`written to ${vault.root}/${construct}/chatty_runtime.json`;
      }),
    );
}

/** @param {string} file */
function textOf(file) {
  return text(file === '-' ? process.stdin : fs.createReadStream(file));
}

module.exports = addRuntimeConfig;
