'use strict';

// What is done again and again leaves nothing behind: memory, threads, file descriptors. `scripts/test-leaks.js` does it a
// million times.

const assert = require('node:assert');
const { test } = require('node:test');

const { growthOf, heldWhile } = require('./support/leaks');

const MEGABYTE = 1024 * 1024;

for (const [what, rounds] of /** @type {const} */ ([
  ['reads', 2000],
  ['opens', 60],
  ['forgotten', 200],
  ['refusals', 400],
])) {
  test(`${what}, ${rounds} times`, { timeout: 120_000 }, async () => {
    let moments = await heldWhile(what, rounds);
    // On a loaded machine the allocator may take as much by chance. A leak is there every time.
    for (let again = 0; again < 2 && growthOf(moments, 'rss') >= MEGABYTE / 2; again += 1) {
      moments = await heldWhile(what, rounds);
    }
    const [settled, end] = [moments[2], moments[moments.length - 1]];
    const told = JSON.stringify(moments, null, 1);
    // Threads that come on a loaded machine bring their stacks with them.
    assert.ok(growthOf(moments, 'rss') < MEGABYTE / 2, told);
    assert.ok(growthOf(moments, 'heapUsed') < MEGABYTE / 4, told);
    // The blocking threads of the pool come as they are needed, more of them where others have the cores, and stay for ten
    // seconds. One that each round left behind would be seen: there are 40 rounds and more behind the settled moment.
    assert.ok(end.threads - settled.threads <= 32, told);
    assert.ok(end.descriptors - settled.descriptors <= 1, told);
  });
}
