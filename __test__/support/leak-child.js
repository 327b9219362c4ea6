'use strict';

// Does one thing again and again, and prints as JSON what the process holds at ten moments: `node --expose-gc leak-child.js
// WHAT ROUNDS VAULT`. What is held before the first tenth is done is not printed, as much of it comes with the first calls.

const fs = require('node:fs');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const { Vault, readMemories } = require('../..');

const [what, rounds, root] = [process.argv[2], Number(process.argv[3]), process.argv[4]];
const userId = 'mira';
const config = {
  vvaultPath: root,
  directories: { users: 'users', transcripts: 'transcripts', capsules: 'capsules' },
  logging: {},
};
/** So many calls at once, as they come to a server. */
const AT_ONCE = 8;

/** @type {Record<string, () => Promise<void>>} */
const TASKS = {
  async reads() {
    await Promise.all(Array.from({ length: AT_ONCE }, () => readMemories(config, userId, { limit: 5 })));
  },
  async opens() {
    const vault = await Vault.open(root, { watch: true, cacheDir: path.join(root, '.cache') });
    await vault.readMemories(userId);
    await vault.close();
  },
  // Never closed: they are collected, as their listeners are gone with them.
  async forgotten() {
    await (await Vault.open(root, { cacheDir: null })).readMemories(userId);
  },
  async refusals() {
    const vault = await Vault.open(root, { cacheDir: null });
    const failing = [
      () => vault.retrieveCapsule('../Nova'),
      () => vault.storeCapsule('{"metadata": {}}'),
      () => vault.readMemories('../mira'),
      () => Vault.open(path.join(root, 'nowhere')),
      () => Vault.open(root, { signal: AbortSignal.abort() }),
    ];
    for (const call of failing) await call().then(() => process.exit(9), Boolean);
    await vault.close();
  },
};

/** @param {string} place */
const countOf = (place) => (process.platform === 'linux' ? fs.readdirSync(place).length : 0);

async function held() {
  // Finalizers run in a turn of the event loop after the collection.
  for (let times = 0; times < 3; times += 1) {
    globalThis.gc?.();
    await sleep(5);
  }
  const { rss, heapUsed } = process.memoryUsage();
  return { rss, heapUsed, threads: countOf('/proc/self/task'), descriptors: countOf('/proc/self/fd') };
}

async function main() {
  const task = TASKS[what];
  const moments = [];
  for (let tenth = 0; tenth < 10; tenth += 1) {
    for (let round = 0; round < rounds / 10; round += 1) await task();
    moments.push(await held());
  }
  console.log(JSON.stringify(moments));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
