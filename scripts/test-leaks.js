'use strict';

// The leak test at length, some minutes: a million reads, thousands of watched vaults. Prints what is held on the way, and
// fails if it grows.

const { growthOf, heldWhile } = require('../__test__/support/leaks');

/** @type {['reads' | 'opens' | 'forgotten' | 'refusals', number][]} Eight reads a round, five refusals. */
const TASKS = [
  ['reads', 125_000],
  ['opens', 5_000],
  ['forgotten', 20_000],
  ['refusals', 10_000],
];
const MEGABYTE = 1024 * 1024;

async function main() {
  for (const [what, rounds] of TASKS) {
    const start = performance.now();
    const moments = await heldWhile(what, rounds);
    console.log(`\n${what}, ${rounds} rounds, ${((performance.now() - start) / 1000).toFixed(0)} s`);
    for (const { rss, heapUsed, threads, descriptors } of moments) {
      const [resident, heap] = [rss, heapUsed].map((bytes) => `${(bytes / MEGABYTE).toFixed(1)} MiB`);
      console.log(`  resident ${resident}  heap ${heap}  threads ${threads}  descriptors ${descriptors}`);
    }
    const [settled, end] = [moments[2], moments[moments.length - 1]];
    const hasGrown =
      growthOf(moments, 'rss') > MEGABYTE || // of thousands of rounds
      end.threads - settled.threads > 3 ||
      end.descriptors - settled.descriptors > 1;
    if (hasGrown) {
      console.log('  GROWN');
      process.exitCode = 1;
    }
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
