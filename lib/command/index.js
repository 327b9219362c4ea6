'use strict';

// The command `vvault`: arguments, the vault that is meant, exit codes. What each subcommand does is in a file of its own;
// all use the package as anybody would.

const { format } = require('node:util');
const { Command, CommanderError, Option } = require('commander');
const { version } = require('../../package.json');
const { Vault } = require('../..');
const { refused } = require('../errors');
const { Output } = require('./output');
const { withToldProgress } = require('./progress');

/** @typedef {import('../../index').VaultOptions} VaultOptions */
/** @typedef {InstanceType<typeof Output>} Out */
/** @typedef {Record<string, any>} Options */
/** @typedef {{ vault: Vault, output: Out, options: Options }} Session An open vault, and what was asked of it. */
/**
 * Makes the action of a subcommand that works on the open vault. The vault is closed when the action ends.
 *
 * @callback OnVault
 * @param {(session: Session, ...args: any[]) => Promise<void>} action Gets the subcommand's arguments after the session.
 * @param {(options: Options) => VaultOptions} [opening] How the vault is opened.
 * @returns {(...args: any[]) => Promise<void>}
 */

const SUBCOMMANDS = [
  require('./memories'),
  require('./list'),
  require('./show'),
  require('./verify'),
  require('./import'),
  require('./tag'),
  require('./watch'),
  require('./runtime-config'),
  require('./serve'),
];

/** Errors of what was asked, and not of what was found. */
const WRONG_USAGE = new Set([
  'VVAULT_INVALID_ARGUMENT',
  'VVAULT_INVALID_CURSOR',
  'VVAULT_INVALID_NAME',
  'VVAULT_OUTSIDE',
  'VVAULT_TOKEN_REQUIRED',
]);

const CLOSING = `
Exit codes:
  0  all well
  1  something that was asked for is unsound, missing or failed (told on the standard error; the rest is done)
  2  wrong usage

Environment:
  VVAULT_ROOT_PATH, VVAULT_PATH  the vault's folder, where --vault is not given
  VVAULT_CACHE_DIR               where indexes are kept, if not in the system's cache folder; empty: nowhere
  VVAULT_TOKEN                   the token of serve, where --token is not given
  NO_COLOR, FORCE_COLOR          no colours; colours also where there is no terminal`;

/**
 * Runs the command.
 *
 * @param {string[]} args
 * @returns {Promise<number>} The exit code.
 */
async function main(args) {
  const output = new Output();
  // The vault tells of broken files by these. Names of files are anybody's too. The console itself stays as it is: it may be
  // frozen, and Node.js shows by it warnings of its own, which are no failures.
  const tell = (/** @type {unknown[]} */ ...message) => output.problem`${format(...message)}`;
  globalThis.console = Object.create(console, { warn: { value: tell }, error: { value: tell } });
  try {
    await programOf(output).parseAsync(args, { from: 'user' });
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
    const error = /** @type {import('../errors').VaultError} */ (thrown);
    // Without the advice for who calls the package from a program.
    output.problem`${error.code === 'VVAULT_NO_VAULT' ? error.message.split('; make it')[0] : error.message}`;
    return WRONG_USAGE.has(error.code ?? '') ? 2 : 1;
  }
  return output.failed ? 1 : 0;
}

/** @param {Out} output */
function programOf(output) {
  const program = new Command('vvault')
    .description("Looks into a vault of Chatty's memories and constructs' capsules, and keeps it.")
    .version(version, '-V, --version', "print this package's version")
    .helpOption('-h, --help', 'print this help')
    .enablePositionalOptions()
    .showHelpAfterError('(--help tells more)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => output.raw(text),
      writeErr: (text) => process.stderr.write(text),
      outputError: (text) => output.problem`${text.trim().replace(/^error: /, '')}`,
      getOutHelpWidth: () => process.stdout.columns || 100,
    })
    .addHelpText('after', CLOSING);

  /** @type {OnVault} */
  const onVault = (action, opening) => {
    return async (...args) => {
      const command = /** @type {Command} */ (args.pop());
      args.pop();
      const options = { ...program.opts(), ...command.opts() };
      output.isJson = Boolean(options.json);
      const root = rootOf(options);
      const vault = await withToldProgress(output, 'files', (onProgress) =>
        Vault.open(root, {
          integrity: options.integrity,
          expectedTetherSignature: options.tether,
          onProgress,
          ...opening?.(options),
        }),
      );
      try {
        await action({ vault, output, options }, ...args);
      } finally {
        await vault.close();
      }
    };
  };
  for (const addTo of SUBCOMMANDS) addTo(program, onVault);
  for (const command of [program, ...program.commands]) addCommonOptions(command);
  return program;
}

/** @param {Options} options */
function rootOf({ vault }) {
  const root = vault ?? (process.env.VVAULT_ROOT_PATH || process.env.VVAULT_PATH);
  if (root) return root;
  throw refused("no vault: give --vault DIR, or set VVAULT_ROOT_PATH or VVAULT_PATH to the vault's folder");
}

/**
 * Before the subcommand or after it.
 *
 * @param {Command} command
 */
function addCommonOptions(command) {
  const group = 'Options of every command:';
  const integrity = "leave unsound capsules out ('enforce', the default) or let them pass, marked ('report')";
  for (const option of [
    new Option('--vault <dir>', "the vault's folder"),
    new Option('--json', 'for programs: JSON on the standard output'),
    new Option('--integrity <policy>', integrity).choices(['enforce', 'report']),
    new Option('--tether <signature>', "the tether signature that constructs' capsules must have"),
  ]) {
    command.addOption(option.helpGroup(group));
  }
}

module.exports = { main };
