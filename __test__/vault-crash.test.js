'use strict';

// Processes that store, tag and delete are killed at random moments, again and again in the same vault: what they were
// told is done is there afterwards, and nothing is there by halves.
//
//     VVAULT_CRASH_ROUNDS=400 VVAULT_CRASH_SEED=7 node --test __test__/vault-crash.test.js

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { setImmediate: nextTurn } = require('node:timers/promises');

const { Vault } = require('..');
const { ENTRY_KEYS } = require('./support/construct-capsules');
const { Dice } = require('./support/dice');
const { temporaryVault } = require('./support/temporary-vault');
const { readIndex, wholeCapsuleFiles } = require('./support/vault-on-disk');

/** @typedef {import('./support/crash-writer').Line} Line */
/** @typedef {import('./support/vault-on-disk').Entry} Entry */

/** In each, two processes are killed. */
const ROUNDS = Number(process.env.VVAULT_CRASH_ROUNDS ?? 13);
const SEED = Number(process.env.VVAULT_CRASH_SEED ?? 20260101);
/** Then an empty vault takes the place of the one that has been through so many rounds. */
const ROUNDS_OF_A_VAULT = 7;
const MOST_ACKNOWLEDGED = 50;
const MOST_TURNS = 2000;
const TIME_LIMIT_MS = 20_000;

const WRITER = path.join(__dirname, 'support', 'crash-writer.js');

/**
 * @typedef {'yes' | 'no' | 'maybe'} Certainty `maybe` is what was under way.
 *
 * @typedef {object} Known
 * @property {string} instance
 * @property {Certainty} there
 * @property {Set<string>} texts It is one of these.
 * @property {Map<string, Certainty>} tags
 * @property {string[]} history
 */

/** What must be in a vault, by what the killed processes said. */
class Ledger {
  /** @type {Map<string, Known>} */
  capsules = new Map();

  /**
   * @param {number} maker
   * @param {Line} line
   */
  note(maker, { phase, operation, instance = '', uuid = '', tag = '', text = '', message }) {
    if (phase === 'open') return;
    let known = this.capsules.get(uuid);
    if (!known) {
      known = { instance, there: 'no', texts: new Set(), tags: new Map(), history: [] };
      this.capsules.set(uuid, known);
    }
    known.history.push(`process ${maker}: ${phase} ${operation} ${tag}`.trim());
    if (phase === 'failed') throw new Error(`${operation} failed: ${message}; ${this.story(uuid)}`);
    const done = phase === 'done';
    if (operation === 'tag') known.tags.set(tag, done ? 'yes' : 'maybe');
    else if (operation === 'untag') known.tags.set(tag, done ? 'no' : 'maybe');
    else if (operation === 'delete') known.there = done ? 'no' : 'maybe';
    else {
      if (done) known.texts.clear();
      known.texts.add(text);
      // A capsule that is stored again is there all the time.
      if (done || known.there === 'no') known.there = done ? 'yes' : 'maybe';
    }
  }

  /**
   * What was found is what counts from now on: what was under way and came to nothing must not come back.
   *
   * @param {string} uuid
   * @param {{ text: string, tags: string[] } | null} found
   */
  settle(uuid, found) {
    const known = this.known(uuid);
    const wasUncertain = known.there === 'maybe' || [...known.tags.values()].includes('maybe') || known.texts.size > 1;
    known.there = found ? 'yes' : 'no';
    known.texts = new Set(found ? [found.text] : []);
    known.tags = new Map([...known.tags.keys()].map((tag) => [tag, found?.tags.includes(tag) ? 'yes' : 'no']));
    if (wasUncertain) {
      known.history.push(found ? `found, with the tags ${JSON.stringify(found.tags)}` : 'found to be gone');
    }
  }

  /** @param {string} uuid */
  known(uuid) {
    const known = this.capsules.get(uuid);
    assert.ok(known, `a capsule ${uuid} that nobody stored`);
    return known;
  }

  /** @returns {string[]} those that have at least begun to exist */
  instances() {
    return [...new Set([...this.capsules.values()].map(({ instance }) => instance))].sort();
  }

  /** @param {string} uuid */
  story(uuid) {
    return `${uuid}:\n  ${this.capsules.get(uuid)?.history.slice(-20).join('\n  ')}`;
  }
}

/** A process that writes into the vault until it is killed. */
class Writer {
  #acknowledged = 0;
  #isOpen = false;
  #rest = '';
  #errors = '';
  /** @type {Error | undefined} */
  #failure;
  #step = () => {};

  /**
   * @param {string} root
   * @param {number} maker
   * @param {number} seed
   * @param {Ledger} ledger
   */
  constructor(root, maker, seed, ledger) {
    this.maker = maker;
    this.child = spawn(process.execPath, [WRITER, root, String(maker), String(seed)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.closed = once(this.child, 'close').finally(() => this.#step());
    this.child.stderr.on('data', (piece) => {
      this.#errors += piece;
    });
    this.child.stdout.setEncoding('utf8').on('data', (piece) => {
      const lines = `${this.#rest}${piece}`.split('\n');
      this.#rest = lines.pop() ?? '';
      for (const text of lines) this.#hear(JSON.parse(text), ledger);
      this.#step();
    });
  }

  /**
   * @param {Line} line
   * @param {Ledger} ledger
   */
  #hear(line, ledger) {
    try {
      ledger.note(this.maker, line);
    } catch (error) {
      this.#failure ??= /** @type {Error} */ (error);
    }
    if (line.phase === 'open') this.#isOpen = true;
    if (line.phase === 'done') this.#acknowledged += 1;
  }

  /**
   * Kills it once `more` further operations are acknowledged and then so many turns of the event loop have passed.
   *
   * @param {number} more
   * @param {number} turns
   */
  async killAfter(more, turns) {
    const enough = this.#acknowledged + more;
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    await new Promise((resolve, reject) => {
      this.#step = () => {
        if (this.#failure) reject(this.#failure);
        else if (this.child.exitCode !== null || this.child.signalCode !== null) {
          reject(new Error(`process ${this.maker} ended by itself (${this.child.exitCode}): ${this.#errors}`));
        } else if (this.#isOpen && this.#acknowledged >= enough) resolve(undefined);
      };
      timer = setTimeout(() => {
        const got = `${this.#acknowledged} operations were acknowledged, ${enough} awaited`;
        reject(new Error(`process ${this.maker} got stuck for ${TIME_LIMIT_MS} ms: ${got}; ${this.#errors}`));
      }, TIME_LIMIT_MS);
      this.#step();
    }).finally(() => clearTimeout(timer));
    for (let turn = 0; turn < turns; turn++) await nextTurn();
    await this.kill();
    if (this.#failure) throw this.#failure;
  }

  /** Kills it at once; what it had said before is in the ledger afterwards. */
  async kill() {
    this.child.kill('SIGKILL');
    await this.closed;
  }
}

/**
 * Fails unless all that the ledger is sure of is in the vault.
 *
 * @param {string} root
 * @param {Ledger} ledger
 */
async function checkVault(root, ledger) {
  const instances = fs.existsSync(path.join(root, 'capsules')) ? fs.readdirSync(path.join(root, 'capsules')) : [];
  for (const instance of instances) assert.ok(ledger.instances().includes(instance), `${instance} in capsules/`);
  // First as Python would find it, with nobody there to mend it.
  for (const instance of instances) {
    wholeCapsuleFiles(root, instance);
    compare(ledger, instance, indexed(root, instance), 'in the index before the vault is opened');
  }
  const vault = await Vault.open(root, { create: true });
  try {
    /** @type {Map<string, { text: string, tags: string[] }>} */
    const found = new Map();
    for (const instance of ledger.instances()) {
      await checkInstance(vault, instance, ledger, found);
    }
    for (const uuid of ledger.capsules.keys()) ledger.settle(uuid, found.get(uuid) ?? null);
  } finally {
    await vault.close();
  }
  // And again, now that it has been opened and everything in it has been looked at.
  for (const instance of fs.readdirSync(path.join(root, 'capsules'))) {
    const entries = indexed(root, instance);
    compare(ledger, instance, entries, 'in the index after the vault was opened');
    checkFiles(root, instance, entries);
  }
}

/**
 * Fails unless each capsule in the index has its file. A file that no entry names may only be what a capsule in the
 * index was before it was stored again: its process was killed before it could remove it.
 *
 * @param {string} root
 * @param {string} instance
 * @param {Entry[]} entries
 */
function checkFiles(root, instance, entries) {
  const byFilename = new Map(entries.map((entry) => [entry.filename, entry]));
  for (const name of wholeCapsuleFiles(root, instance)) {
    if (byFilename.delete(name)) continue;
    const { uuid } = JSON.parse(fs.readFileSync(path.join(root, 'capsules', instance, name), 'utf8')).metadata;
    const isListed = entries.some((entry) => entry.uuid === uuid);
    assert.ok(isListed, `the file ${name} holds ${uuid}, which is not in the index of ${instance}`);
  }
  assert.deepStrictEqual(
    [...byFilename.keys()],
    [],
    `files that the index of ${instance} names and that are not there`,
  );
}

/**
 * What an instance's index holds; nothing, if it never came to have one.
 *
 * @param {string} root
 * @param {string} instance
 */
function indexed(root, instance) {
  const hasIndex = fs.existsSync(path.join(root, 'indexes', `${instance}_index.json`));
  return hasIndex ? Object.values(readIndex(root, instance).capsules) : [];
}

/**
 * @param {Vault} vault
 * @param {string} instance
 * @param {Ledger} ledger
 * @param {Map<string, { text: string, tags: string[] }>} found gets what is there
 */
async function checkInstance(vault, instance, ledger, found) {
  const entries = await vault.listCapsules(instance);
  for (const entry of entries) {
    assert.deepStrictEqual(Object.keys(entry).sort(), [...ENTRY_KEYS].sort(), `members of a listed ${entry.uuid}`);
  }
  compare(ledger, instance, entries, 'listed');
  for (const { uuid, tags, fingerprint_hash, file_size } of entries) {
    const result = await vault.retrieveCapsule(instance, { uuid });
    const { success, capsuleJson, integrityValid, errorMessage } = result;
    const outcome = { success, integrityValid, errorMessage: errorMessage ?? null };
    assert.deepStrictEqual(
      outcome,
      { success: true, integrityValid: true, errorMessage: null },
      `retrieved ${ledger.story(uuid)}`,
    );
    const text = String(capsuleJson);
    assert.ok(ledger.known(uuid).texts.has(text), `another text than was stored: ${ledger.story(uuid)}\n${text}`);
    assert.deepStrictEqual(
      { fingerprint_hash, file_size },
      { fingerprint_hash: JSON.parse(text).metadata.fingerprint_hash, file_size: Buffer.byteLength(text) },
      `the entry tells of another text than is there: ${ledger.story(uuid)}`,
    );
    found.set(uuid, { text, tags });
  }
  for (const [uuid, known] of ledger.capsules) {
    if (known.instance === instance && !found.has(uuid)) {
      const { success } = await vault.retrieveCapsule(instance, { uuid });
      assert.strictEqual(success, false, `retrieved, but not listed: ${ledger.story(uuid)}`);
    }
  }
  for (const tag of new Set(entries.flatMap(({ tags }) => tags))) {
    assert.deepStrictEqual(
      (await vault.listCapsules(instance, { tag })).map(({ uuid }) => uuid),
      entries.filter(({ tags }) => tags.includes(tag)).map(({ uuid }) => uuid),
      `${instance} by the tag ${tag}`,
    );
    const { success, metadata } = await vault.retrieveCapsule(instance, { tag });
    assert.ok(success && metadata?.tags.includes(tag), `${instance}: the latest with the tag ${tag}`);
  }
  const latest = await vault.retrieveCapsule(instance);
  assert.strictEqual(latest.success, entries.length > 0, `${instance}: the latest of ${entries.length}`);
}

/**
 * @param {Ledger} ledger
 * @param {string} instance
 * @param {Pick<Entry, 'uuid' | 'tags'>[]} entries
 * @param {string} where
 */
function compare(ledger, instance, entries, where) {
  const byUuid = new Map(entries.map((entry) => [entry.uuid, entry]));
  assert.strictEqual(byUuid.size, entries.length, `a capsule twice, ${where}, of ${instance}`);
  for (const uuid of byUuid.keys()) {
    assert.strictEqual(ledger.known(uuid).instance, instance, `${where}: ${ledger.story(uuid)}`);
  }
  for (const [uuid, known] of ledger.capsules) {
    if (known.instance !== instance) continue;
    const entry = byUuid.get(uuid);
    if (known.there !== 'maybe') {
      assert.strictEqual(entry ? 'yes' : 'no', known.there, `stored and not deleted, ${where}: ${ledger.story(uuid)}`);
    }
    if (!entry) continue;
    for (const tag of entry.tags) {
      assert.ok(known.tags.has(tag), `a tag ${tag} that nobody gave, ${where}: ${ledger.story(uuid)}`);
    }
    for (const [tag, certainty] of known.tags) {
      if (certainty === 'maybe') continue;
      /** @type {Certainty} */
      const isThere = entry.tags.includes(tag) ? 'yes' : 'no';
      assert.strictEqual(isThere, certainty, `the tag ${tag}, ${where}: ${ledger.story(uuid)}`);
    }
  }
}

test(`${ROUNDS * 2} processes are killed, and nothing that was acknowledged is lost`, {
  timeout: 60_000 + ROUNDS * 3_000,
}, async (t) => {
  const dice = new Dice(SEED);
  let [vault, ledger] = [temporaryVault(t), new Ledger()];
  let acknowledged = 0;
  for (let round = 0; round < ROUNDS; round++) {
    if (round > 0 && round % ROUNDS_OF_A_VAULT === 0) {
      fs.rmSync(vault.root, { recursive: true });
      [vault, ledger] = [temporaryVault(t), new Ledger()];
    }
    const inVault = round % ROUNDS_OF_A_VAULT;
    const writers = [0, 1].map((side) => new Writer(vault.root, inVault * 2 + side, SEED + round * 2 + side, ledger));
    try {
      // The second goes on after the first is killed: who dies must not keep others from working.
      for (const writer of dice.fraction() < 0.5 ? writers : writers.reverse()) {
        await writer.killAfter(dice.between(0, MOST_ACKNOWLEDGED), dice.between(0, MOST_TURNS));
      }
      await checkVault(vault.root, ledger);
    } catch (error) {
      /** @type {Error} */ (error).message += `\n(round ${round}, VVAULT_CRASH_SEED=${SEED})`;
      throw error;
    } finally {
      await Promise.all(writers.map((writer) => writer.kill()));
    }
    if (inVault === ROUNDS_OF_A_VAULT - 1 || round === ROUNDS - 1) {
      for (const { history } of ledger.capsules.values()) {
        acknowledged += history.filter((line) => line.includes(': done ')).length;
      }
    }
  }
  t.diagnostic(`${acknowledged} acknowledged operations`);
});
