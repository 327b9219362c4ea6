'use strict';

/**
 * The machine's floor: `floor-watch.c` waits for inotify and reads each file, in a process without JavaScript. Its own clock
 * counts, not when this process hears of it.
 */

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { createInterface } = require('node:readline');

/**
 * @param {import('./watched-files').Place & { program: string }} place
 * @param {import('./watched-files').Listener & { read: (name: string, nanoseconds: number) => void }} listener
 */
async function create({ program, folder, suffix }, listener) {
  const child = spawn(program, [folder, suffix], { stdio: ['pipe', 'pipe', 'inherit'] });
  let usage;
  const lines = createInterface({ input: child.stdout });
  const ready = once(lines, 'line');
  await ready;
  lines.on('line', (line) => {
    const [kind, ...rest] = line.split(' ');
    if (kind === 'read') {
      listener.read(rest[1], Number(rest[0]));
    } else if (kind === 'overflow') {
      listener.error(new Error('inotify queue overflow'));
    } else {
      usage = { microseconds: Number(rest[0]), peakMemory: Number(rest[1]) * 1024 };
    }
  });
  return {
    /** @returns {Promise<{ microseconds: number, peakMemory: number }>} what the program itself used */
    async close() {
      const closed = once(lines, 'close');
      child.stdin.end();
      await closed;
      return usage;
    },
  };
}

module.exports = { create };
