'use strict';

const fs = require('node:fs');
const { Socket } = require('node:net');
const path = require('node:path');
const { addAbortSignal } = require('node:stream');
const { withCode } = require('../errors');
const { examples, wholeNumber } = require('./arguments');
const { green } = require('./output');
const { withProgress } = require('./progress');

/** As a vault takes them where nobody says another. */
const LARGEST_CAPSULE = 64 * 1024 * 1024;

/**
 * @param {import('commander').Command} program
 * @param {import('.').OnVault} onVault
 */
function addImport(program, onVault) {
  program
    .command('import')
    .description("Stores constructs' capsules as new versions, byte for byte, in the order given.")
    .argument('<file...>', 'capsule files; - is the standard input')
    .option('--refingerprint', 'state a new hash, by the recipe of CapsuleForge')
    .option('--create', 'make the vault if it is not there')
    .option('--max-bytes <number>', 'the largest capsule that is taken; 64 MiB if not given', wholeNumber(1))
    .addHelpText(
      'after',
      examples(
        'one object a line and file: { file, path }, or { file, path: null, code, error } for one that was refused.',
        'import nova-001.capsule',
        'import --create --vault ~/vault backups/*.capsule',
        'show Nova --raw | vvault import --vault ~/other-vault -',
      ),
    )
    .action(
      onVault(
        async ({ vault, output, options }, /** @type {string[]} */ files) => {
          /** @type {(() => void)[]} */
          const told = [];
          const interruption = new AbortController();
          const interrupt = () => interruption.abort();
          process.once('SIGINT', interrupt);
          await withProgress(output, files.length, 'files', async (step) => {
            // One after the other: the last one stored is the latest version.
            for (const [place, file] of files.entries()) {
              if (interruption.signal.aborted) {
                told.push(() => output.problem`interrupted: ${files.length - place} files are not stored`);
                break;
              }
              const result = await imported(vault, file, options, interruption.signal);
              const tell = () => {
                if (output.isJson) output.json(result);
                else if (result.path !== null)
                  output.line`${green('stored')} ${file} as ${path.relative(vault.root, result.path)}`;
                if (result.path === null) output.problem`${file}: ${result.error}`;
              };
              // Lines and the bar would overwrite each other.
              if (output.isWatched) told.push(tell);
              else tell();
              step();
            }
          });
          process.off('SIGINT', interrupt);
          for (const tell of told) tell();
        },
        (options) => ({ create: options.create, maxCapsuleBytes: options.maxBytes }),
      ),
    );

  program
    .command('adopt')
    .summary('Releases an unsound capsule, once you have looked at it.')
    .description(
      'Releases an unsound capsule, once you have looked at it: stores what it holds as a new version with a right hash, ' +
        "tagged adopted, in the vault's own store, where it is everybody's. The file stays as it is.",
    )
    .argument('<file>', 'the capsule file; also by its path in the vault, as verify shows it')
    .addHelpText(
      'after',
      examples('one object { file, path }.', 'adopt users/mira/instances/nova-001/nova-001.capsule'),
    )
    .action(
      onVault(async ({ vault, output }, file) => {
        const inVault = path.resolve(vault.root, file);
        const meant = !fs.existsSync(file) && fs.existsSync(inVault) ? inVault : file;
        const stored = path.relative(vault.root, await vault.adoptCapsule(meant));
        if (output.isJson) output.json({ file, path: path.join(vault.root, stored) });
        else output.line`${green('adopted')} ${file} as ${stored}`;
      }),
    );
}

/**
 * @param {import('../../index').Vault} vault
 * @param {string} file
 * @param {{ refingerprint?: boolean, maxBytes?: number }} options
 * @param {AbortSignal} signal Ends the reading: what is being stored then is stored.
 */
async function imported(vault, file, { refingerprint, maxBytes = LARGEST_CAPSULE }, signal) {
  try {
    const stream = addAbortSignal(signal, streamOf(file));
    return { file, path: await vault.storeCapsule(await bytesOf(stream, maxBytes), { refingerprint }) };
  } catch (thrown) {
    const error = /** @type {NodeJS.ErrnoException} */ (thrown);
    const advice = error.code === 'VVAULT_UNSOUND' ? '. Look at it, then: vvault adopt FILE' : '';
    return { file, path: null, code: error.code ?? null, error: error.message + advice };
  }
}

/** @param {string} file */
function streamOf(file) {
  if (file === '-') return process.stdin;
  if (!fs.statSync(file, { throwIfNoEntry: false })?.isFIFO()) return fs.createReadStream(file);
  // No thread may wait for who writes to it: nothing ends that, nor the process before it.
  const fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}

/**
 * @param {NodeJS.ReadableStream} stream
 * @param {number} largest
 */
async function bytesOf(stream, largest) {
  const chunks = [];
  let length = 0;
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk);
    length += bytes.length;
    if (length > largest) {
      throw withCode(new Error(`it has more than ${largest} bytes (--max-bytes)`), 'VVAULT_TOO_LARGE');
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks, length);
}

module.exports = addImport;
