'use strict';

/**
 * What the JavaScript watchers have in common: a file that something happened to is read and parsed, and its memories are
 * told.
 */

const fs = require('node:fs');
const path = require('node:path');

const { POOL_WIDTH, memoryOf } = require('./memories');

/**
 * @typedef {object} Place what is to be watched
 * @property {string} root of the vault
 * @property {string} folder in it, where the files arrive
 * @property {'.json' | '.capsule'} suffix of their names; others are none of ours
 *
 * @typedef {object} Listener
 * @property {(memories: { content: string }[]) => void} memories those of one file
 * @property {() => void} half a file was handed over that can't be parsed
 * @property {(error: Error) => void} error the watcher told that it is in trouble
 */

/**
 * Gives what is to be called for each event: at most `POOL_WIDTH` files are read at once, the others wait in order.
 * @param {Place} place
 * @param {Listener} listener
 * @returns {(file: string) => void}
 */
function readerOf({ suffix }, listener) {
  const waiting = [];
  let next = 0;
  let running = 0;
  const begin = () => {
    while (running < POOL_WIDTH && next < waiting.length) {
      const file = waiting[next];
      next += 1;
      running += 1;
      fs.readFile(file, 'utf8', (error, text) => {
        running -= 1;
        if (!error) {
          tell(file, text, listener);
        } else if (error.code !== 'ENOENT') {
          listener.error(error);
        }
        begin();
      });
    }
    if (next === waiting.length) {
      waiting.length = 0;
      next = 0;
    }
  };
  return (file) => {
    if (file.endsWith(suffix)) {
      waiting.push(file);
      begin();
    }
  };
}

/**
 * @param {string} file
 * @param {string} text
 * @param {Listener} listener
 */
function tell(file, text, listener) {
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch {
    listener.half();
    return;
  }
  listener.memories(file.endsWith('.json') ? [memoryOf(parsed, path.basename(file))] : memoriesOf(parsed));
}

/** @param {{ memory: Record<string, unknown> }} capsule a construct's */
function memoriesOf({ memory }) {
  const memories = [];
  for (const [kind, texts] of Object.entries(memory)) {
    if (Array.isArray(texts)) {
      memories.push(...texts.map((content) => ({ kind, content })));
    }
  }
  return memories;
}

module.exports = { readerOf };
