'use strict';

/**
 * A watched vault for one test, with a record of everything that it tells.
 *
 * @typedef {import('../..').CapsuleEvent} CapsuleEvent
 * @typedef {import('../..').VaultOptions} VaultOptions
 * @typedef {import('node:test').TestContext} TestContext
 *
 * @typedef {true | 'poll'} Method How a vault is watched.
 *
 * @typedef {object} Place Where a capsule may lie.
 * @property {string} path Below the root.
 * @property {string | null} userId
 * @property {string | null} [constructId] Of a construct's folder; where there is none, what the capsule calls itself counts.
 */

const assert = require('node:assert');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { setTimeout: delay } = require('node:timers/promises');

const { Vault } = require('../..');
const { atEnd } = require('./at-end');
const { makeCapsule, timestampOf } = require('./construct-capsules');
const { temporaryVault } = require('./temporary-vault');

const KINDS = /** @type {const} */ (['imported', 'updated', 'removed', 'rejected']);
/** @type {Method[]} */
const METHODS = [true, 'poll'];
/** What is awaited comes within this time, or never. */
const PATIENCE_MS = 5_000;
/** Whoever tells of something twice does so within this time. */
const QUIET_MS = 90;

/** A new name for each, also in a vault that is opened again. */
let sentinels = 0;

/** Every event of a vault, in order, and what was wrong with the watch. */
class EventRecord {
  /** @type {CapsuleEvent[]} */
  events = [];
  /** @type {Error[]} */
  errors = [];
  /** @type {Set<() => void>} */
  #waiting = new Set();
  /** Where its own files lie, below the root. */
  sentinel = 'users/sentinel/capsules';
  #checked = 0;

  /**
   * @param {string} root
   * @param {import('../..').Vault} vault
   */
  constructor(root, vault) {
    this.root = root;
    this.vault = vault;
    for (const kind of KINDS) vault.on(`capsule:${kind}`, (event) => this.#take(kind, event));
    vault.on('error', (error) => this.errors.push(error));
  }

  /**
   * @param {CapsuleEvent['kind']} kind
   * @param {CapsuleEvent} event
   */
  #take(kind, event) {
    assert.strictEqual(event.kind, kind);
    this.events.push(event);
    for (const look of [...this.#waiting]) look();
  }

  /** Those that are about the test's own files. @returns {CapsuleEvent[]} */
  told() {
    return this.events.filter((event) => !event.path.startsWith(path.join(this.root, this.sentinel)));
  }

  /**
   * Resolves as soon as the events fulfil a condition.
   *
   * @param {() => unknown} isFulfilled
   * @param {string} what
   */
  async until(isFulfilled, what) {
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    /** @type {() => void} */
    let look = () => {};
    /** @type {Promise<void>} */
    const fulfilled = new Promise((resolve, reject) => {
      look = () => {
        if (isFulfilled()) resolve();
      };
      const told = () => JSON.stringify(storyOf(this.root, this.told().slice(this.#checked).slice(-20)));
      timer = setTimeout(() => reject(new Error(`waited in vain for ${what}; told was ${told()}`)), PATIENCE_MS);
    });
    this.#waiting.add(look);
    look();
    await fulfilled.finally(() => {
      clearTimeout(timer);
      this.#waiting.delete(look);
    });
  }

  /** Waits a little, and then until a file that was written last of all has been told of. */
  async quiet(milliseconds = QUIET_MS) {
    await delay(milliseconds);
    const file = path.join(this.root, this.sentinel, `${++sentinels}.json`);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, '{"raw":"sentinel"}');
    await this.until(() => this.events.some((event) => event.path === file), 'the sentinel');
  }

  /**
   * What was told since the last call is exactly this, each once; of several files in any order.
   *
   * @param {unknown[][]} expected Rows as `storyOf` makes them; with `path` alone first.
   * @param {string} [message]
   */
  async expect(expected, message) {
    const since = () => this.told().slice(this.#checked);
    await this.until(() => since().length >= expected.length, `${message ?? ''} ${JSON.stringify(expected)}`);
    await this.quiet();
    const events = since();
    this.#checked += events.length;
    assert.deepStrictEqual(sorted(storyOf(this.root, events)), sorted(expected), message);
    return events;
  }

  /** Takes what was told so far for checked. */
  skip() {
    this.#checked = this.told().length;
  }
}

/**
 * @param {string} root
 * @param {CapsuleEvent[]} events
 * @returns {unknown[][]} A row for each: kind, path below the root, and the contents of its memories if there are some.
 */
function storyOf(root, events) {
  return events.map(({ kind, path: file, memories }) => {
    const row = [kind, path.relative(root, file).split(path.sep).join('/')];
    return memories ? [...row, ...memories.map(({ content }) => content)] : row;
  });
}

/**
 * By path; what was told of one path stays in its order.
 *
 * @param {unknown[][]} rows
 */
function sorted(rows) {
  return [...rows].sort((left, right) => (String(left[1]) < String(right[1]) ? -1 : left[1] === right[1] ? 0 : 1));
}

/** @param {Method} method */
function nameOf(method) {
  return method === 'poll' ? 'polling' : 'notified';
}

/**
 * A folder for one test: the vault in it, and room beside the vault.
 *
 * @param {TestContext} test
 */
function temporaryFolders(test) {
  const { root: folder } = temporaryVault(test);
  const [root, cacheDir, outside] = ['vault', 'cache', 'outside'].map((name) => path.join(folder, name));
  fs.mkdirSync(root);
  fs.mkdirSync(outside);
  return { folder, root, cacheDir, outside };
}

/**
 * Opens a vault that is watched, and records what it tells.
 *
 * @param {TestContext} test
 * @param {Method} method
 * @param {VaultOptions & { root?: string, prepare?: (write: ReturnType<typeof writerAt>, root: string) => void }} [options]
 *   `prepare` fills the vault before it is opened.
 */
async function watchVault(test, method, { root: given, prepare, ...options } = {}) {
  const folders = given
    ? {
        folder: path.dirname(given),
        root: given,
        cacheDir: path.join(given, '../cache'),
        outside: path.join(given, '..'),
      }
    : temporaryFolders(test);
  const write = writerAt(folders.root);
  prepare?.(write, folders.root);
  const { root, cacheDir } = folders;
  const vault = await Vault.open(root, { create: true, watch: method, pollInterval: 50, cacheDir, ...options });
  atEnd(test, () => vault.close());
  const record = new EventRecord(root, vault);
  return { ...folders, vault, record, write, at: (/** @type {string[]} */ ...below) => path.join(root, ...below) };
}

/**
 * Writes files below a root, with the folders that they need.
 *
 * @param {string} root
 */
function writerAt(root) {
  return (/** @type {string} */ below, /** @type {string | Buffer} */ text) => {
    const file = path.join(root, below);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
    return file;
  };
}

/**
 * One memory's text, with a right hash.
 *
 * @param {string} raw
 * @param {object} [others]
 */
function memoryText(raw, others = {}) {
  const hash = crypto.createHash('sha256').update(raw).digest('hex');
  return JSON.stringify({ raw, created_ts: '2026-01-01T00:00:00Z', role: 'user', raw_sha256: hash, ...others });
}

/**
 * A construct's capsule, with a right fingerprint.
 *
 * @param {string} content Of its only memory.
 * @param {{ name?: string, uuid?: string, place?: number }} [others] `place` in time.
 */
function constructText(content, { name = 'Nova', uuid = 'a', place = 0 } = {}) {
  return makeCapsule({ instanceName: name, uuid, timestamp: timestampOf(place), memories: [content] });
}

/**
 * Every place in which a vault has capsules: FORMATS §2.
 *
 * @returns {Place[]}
 */
function everyPlace() {
  const users = [
    ['users/ann', 'ann'],
    ['users/shard_0000/bob', 'bob'],
  ];
  return [
    ...users.flatMap(([base, userId]) => [
      { path: `${base}/capsules/memory.json`, userId },
      { path: `${base}/capsules/nova-001.capsule`, userId, constructId: null },
      { path: `${base}/account/capsule/current.capsule`, userId, constructId: null },
      { path: `${base}/account/capsule/versions/v1_20260101_000000.capsule`, userId, constructId: null },
      ...instancePlaces(`${base}/instances`, userId),
    ]),
    ...instancePlaces('instances', null),
    { path: 'capsules/nova.capsule', userId: null, constructId: null },
    { path: 'capsules/Nova/Nova_2026-01-01T00-00-00-000000-00-00.capsule', userId: null, constructId: 'Nova' },
    { path: 'capsules/nullshell/nova_nullshell_1.capsule', userId: null, constructId: 'nullshell' },
  ];
}

/**
 * @param {string} folder
 * @param {string | null} userId
 * @returns {Place[]}
 */
function instancePlaces(folder, userId) {
  return [
    'nova-001/nova-001.capsule',
    'nova-001/identity/nova-001.capsule',
    'nova-001/identity/of-any-name.capsule',
    'nova-001/identity/capsule.json',
    'nova-001/memup/nova-001.capsule',
    'zen/identity/zen-001.capsule',
  ].map((file) => ({ path: `${folder}/${file}`, userId, constructId: file.split('/')[0].replace(/^zen$/, 'zen-001') }));
}

module.exports = {
  EventRecord,
  KINDS,
  METHODS,
  constructText,
  everyPlace,
  memoryText,
  nameOf,
  sorted,
  storyOf,
  temporaryFolders,
  watchVault,
  writerAt,
};
