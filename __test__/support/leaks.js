'use strict';

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

/** @typedef {{ rss: number, heapUsed: number, threads: number, descriptors: number }} Held */

/**
 * What a process of its own holds, at ten moments, while it does something again and again on a small vault.
 *
 * @param {'reads' | 'opens' | 'forgotten' | 'refusals'} what
 * @param {number} rounds
 * @returns {Promise<Held[]>}
 */
async function heldWhile(what, rounds) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'vvault-leaks-'));
  try {
    const folder = path.join(root, 'users', 'mira', 'capsules');
    fs.mkdirSync(folder, { recursive: true });
    for (let number = 0; number < 10; number += 1) {
      const capsule = {
        raw: `What Mira said, ${number}`,
        created_ts: `2025-01-0${number % 9}T00:00:00Z`,
        role: 'user',
      };
      fs.writeFileSync(path.join(folder, `memory-${number}.json`), JSON.stringify(capsule));
    }
    const program = path.join(__dirname, 'leak-child.js');
    // Of a fixed size, as V8's space of young objects grows by megabytes when it likes, and hides what is held for good.
    const child = spawn(
      process.execPath,
      ['--expose-gc', '--max-semi-space-size=1', program, what, String(rounds), root],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    let told = '';
    child.stdout.on('data', (piece) => {
      told += piece;
    });
    const [status] = await once(child, 'close');
    if (status !== 0) throw new Error(`${what} ended with status ${status}`);
    return JSON.parse(told);
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
}

/**
 * By how much it grows from one moment to the next: the median, as V8 and the allocator grow in steps at any time, and a
 * leak always.
 *
 * @param {Held[]} moments
 * @param {keyof Held} key
 */
function growthOf(moments, key) {
  const growth = moments.slice(1).map((moment, index) => moment[key] - moments[index][key]);
  return growth.sort((a, b) => a - b)[Math.floor(growth.length / 2)];
}

module.exports = { growthOf, heldWhile };
