'use strict';

/**
 * Small vaults for one test each, and processes beside the test's own.
 *
 * @typedef {import('node:test').TestContext} TestContext
 * @typedef {import('../..').ReadMemoriesConfig} Config
 *
 * @typedef {object} Vault
 * @property {string} root
 * @property {Config} config
 * @property {(...below: string[]) => string} path A path below the root.
 * @property {(userId: string, name: string, capsule: unknown) => string} write Writes a memory capsule, a string as it
 *   is and anything else as JSON; gives its path.
 *
 * @typedef {object} Ended
 * @property {number | null} code
 * @property {NodeJS.Signals | null} signal
 * @property {string} stdout
 * @property {string} stderr
 */

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: wait } = require('node:timers/promises');

const { atEnd } = require('./at-end');

const REPOSITORY = path.join(__dirname, '../..');

/**
 * An empty vault, gone when the test ends.
 *
 * @param {TestContext} test
 * @returns {Vault}
 */
function temporaryVault(test) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'vvault-test-'));
  atEnd(test, () => removed(root));
  return vaultAt(root);
}

/**
 * Removes a folder, as often as it takes: an opening that was aborted may still make a file in it. `rmSync` by itself does
 * not look into the folder again.
 *
 * @param {string} folder
 */
async function removed(folder) {
  for (let left = 20; ; left--) {
    try {
      return fs.rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      if (left === 0) throw error;
      await wait(100);
    }
  }
}

/**
 * @param {string} root
 * @returns {Vault}
 */
function vaultAt(root) {
  return {
    root,
    config: {
      vvaultPath: root,
      directories: { users: 'users', transcripts: 'transcripts', capsules: 'capsules' },
      logging: {},
    },
    path: (...below) => path.join(root, ...below),
    write(userId, name, capsule) {
      const folder = path.join(root, 'users', userId, 'capsules');
      fs.mkdirSync(folder, { recursive: true });
      const file = path.join(folder, name);
      fs.writeFileSync(file, typeof capsule === 'string' ? capsule : JSON.stringify(capsule));
      return file;
    },
  };
}

/**
 * Runs a program text in a Node.js process of its own, which has `vault` (as `vaultAt` gives it) and `readMemories`.
 *
 * @param {Vault} vault
 * @param {string} program The body of an async function.
 * @param {{ env?: Record<string, string>, timeout?: number }} [settings] `timeout`: milliseconds until it is killed.
 * @returns {Promise<Ended>}
 */
async function runProgram(vault, program, { env = {}, timeout = 60_000 } = {}) {
  const text = `
    const { vaultAt } = require(${JSON.stringify(__filename)});
    const { readMemories } = require(${JSON.stringify(REPOSITORY)});
    const vault = vaultAt(${JSON.stringify(vault.root)});
    (async () => { ${program} })().catch((error) => { console.error(error); process.exitCode = 1; });`;
  const child = spawn(process.execPath, ['-e', text], {
    env: { ...process.env, ...env },
    timeout,
    killSignal: 'SIGKILL',
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (piece) => {
    stdout += piece;
  });
  child.stderr.setEncoding('utf8').on('data', (piece) => {
    stderr += piece;
  });
  const [code, signal] = await once(child, 'close');
  return { code, signal, stdout, stderr };
}

/**
 * What `console.warn` and the like are called with from now on, instead of printing; one array of arguments a call.
 *
 * @param {TestContext} test
 * @param {'log' | 'warn' | 'error'} method
 * @returns {unknown[][]}
 */
function listenTo(test, method) {
  /** @type {unknown[][]} */
  const calls = [];
  test.mock.method(console, method, (/** @type {unknown[]} */ ...args) => {
    calls.push(args);
  });
  return calls;
}

module.exports = { REPOSITORY, listenTo, runProgram, temporaryVault, vaultAt };
