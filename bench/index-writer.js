'use strict';

/**
 * The other process that adds capsules, one every few milliseconds, while questions are asked: `IndexWriter.start` forks
 * this file. It writes files, or rows into a contestant's database; and takes away again what it added.
 */

const { fork } = require('node:child_process');
const { createHash } = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');

const { capsulesPathOf, isCapsuleName } = require('./contestants/memories');
const { SESSION_PREFIX, rowOf } = require('./questions');

const INTERVAL_MS = 3;

class IndexWriter {
  #child;

  /** @param {import('node:child_process').ChildProcess} child */
  constructor(child) {
    this.#child = child;
  }

  /**
   * @param {{ root: string, userId: string, database?: string }} target `database`: path of the module of a contestant
   *   that has one, which gets the rows instead of the vault its files
   */
  static async start(target) {
    const child = fork(__filename, { execArgv: [] });
    child.send(['start', target]);
    await once(child, 'message');
    return new IndexWriter(child);
  }

  /** @returns {Promise<{ count: number, last: string }>} once no more is added: how many there are, and the newest one's id */
  async pause() {
    this.#child.send(['pause']);
    const [added] = await once(this.#child, 'message');
    return added;
  }

  /** @returns {Promise<void>} once everything that was added is gone */
  async end() {
    this.#child.send(['end']);
    await once(this.#child, 'exit');
  }
}

/**
 * Files as they come: written in place or beside it and renamed, by turns.
 * @param {{ root: string, userId: string }} target
 */
function filesOf({ root, userId }) {
  const folder = capsulesPathOf({ root, userId });
  let renamed = false;
  return {
    async add(_userId, { filename }, text) {
      const place = path.join(folder, filename);
      renamed = !renamed;
      if (renamed) {
        fs.writeFileSync(`${place}.tmp`, text);
        fs.renameSync(`${place}.tmp`, place);
      } else {
        fs.writeFileSync(place, text);
      }
    },
    async remove(_userId, { filename }) {
      fs.rmSync(path.join(folder, filename), { force: true });
    },
    async close() {},
  };
}

/** @param {{ root: string, userId: string, database?: string }} target */
async function addUntilTold(target) {
  const { root, userId, database } = target;
  const folder = capsulesPathOf({ root, userId });
  const store = database ? require(database).openForWriting({ root }) : filesOf(target);
  // The vault's newest, with another text and a later moment each time.
  const pattern = JSON.parse(
    fs.readFileSync(path.join(folder, fs.readdirSync(folder).filter(isCapsuleName).sort().at(-1)), 'utf8'),
  );
  const added = [];
  let paused = false;
  const addOne = async () => {
    const begin = performance.now();
    const raw = `Added while others ask, number ${added.length}.`;
    const identifier = `zz_added_${String(added.length).padStart(6, '0')}`;
    const capsule = {
      ...pattern,
      memory_id: identifier,
      source_id: `${SESSION_PREFIX}added`,
      created_ts: new Date(Date.parse(pattern.created_ts) + 1000 * (added.length + 1)).toISOString(),
      raw,
      raw_sha256: createHash('sha256').update(raw).digest('hex'),
    };
    const row = rowOf(capsule, `${identifier}.json`);
    added.push(row);
    await store.add(userId, row, JSON.stringify(capsule, null, 2));
    return begin;
  };
  const adding = (async () => {
    while (!paused) {
      const begin = await addOne();
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, INTERVAL_MS - (performance.now() - begin))));
    }
  })();
  const pause = async () => {
    paused = true;
    await adding;
    return { count: added.length, last: path.basename(added.at(-1).filename, '.json') };
  };
  const takeAway = async () => {
    await pause();
    for (const row of added) {
      await store.remove(userId, row);
    }
    await store.close();
  };
  let taken;
  const end = () => {
    taken ??= takeAway();
    return taken;
  };
  return { pause, end };
}

if (require.main === module) {
  let running;
  process.on('message', async ([what, target]) => {
    if (what === 'start') {
      running = await addUntilTold(target);
      process.send('started');
    } else if (what === 'pause') {
      process.send(await running.pause());
    } else {
      await running.end();
      process.disconnect();
    }
  });
  // Whoever asked is gone: what was added must not stay.
  process.on('disconnect', () => running?.end());
}

module.exports = { IndexWriter };
