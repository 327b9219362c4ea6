'use strict';

/**
 * The other process that writes into a watched folder, on request: `WatchWriter.start` forks this file. It keeps the moment
 * of each file to itself until the end, so that nobody who watches has messages to read meanwhile.
 *
 * A file's moment is right before the call that makes it whole: the close of one written in place, the rename of one written
 * beside its place.
 */

const { fork } = require('node:child_process');
const { createHash } = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');

const { capsuleFilename, makeCapsule, timestampOf, uuidOf } = require('../__test__/support/construct-capsules');
const { ensureVault } = require('./vaults');

/** Memories are varied from so many. */
const PATTERNS = 100;
const CONSTRUCT_MEMORIES = 50;
const CONSTRUCT_MEMORY_LENGTH = 360;

/** @typedef {'direct' | 'rename'} Way */

class WatchWriter {
  #child;

  /**
   * @param {import('node:child_process').ChildProcess} child
   * @param {string[]} names of the files, by number
   */
  constructor(child, names) {
    this.#child = child;
    this.names = names;
  }

  /**
   * @param {{ folder: string, suffix: '.json' | '.capsule', count: number }} files how many will be written where, at most
   * @returns {Promise<WatchWriter>} once all of them are ready to be written
   */
  static async start(files) {
    const child = fork(__filename, { execArgv: [] });
    child.send(['prepare', files]);
    const [names] = await once(child, 'message');
    return new WatchWriter(child, names);
  }

  /**
   * Asks for one file and does not wait for it.
   * @param {number} number
   * @param {Way} way
   */
  write(number, way) {
    this.#child.send(['write', number, way]);
  }

  /**
   * All files, as fast as it can.
   * @param {Way} way
   * @returns {Promise<number>} milliseconds that it took
   */
  async storm(way) {
    this.#child.send(['storm', way]);
    return (await once(this.#child, 'message'))[0];
  }

  /** @returns {Promise<(number | null)[]>} by number: the file's moment, in nanoseconds of the clock of `process.hrtime` */
  async finish() {
    this.#child.send(['finish']);
    const [moments] = await once(this.#child, 'message');
    this.#child.disconnect();
    return moments;
  }
}

/**
 * The number of a file, by what it holds: the text of its first memory.
 * @param {string} content
 */
function numberOf(content) {
  return Number(/^#(\d+) /.exec(content)?.[1]);
}

/**
 * @param {'.json' | '.capsule'} suffix
 * @param {number} count
 * @returns {{ name: string, bytes: Buffer }[]}
 */
function filesOf(suffix, count) {
  const make = suffix === '.json' ? memoryMaker() : constructFile;
  return Array.from({ length: count }, (_, number) => make(number));
}

function memoryMaker() {
  const { capsulesPath } = ensureVault(PATTERNS, { label: 'patterns' });
  const patterns = fs
    .readdirSync(capsulesPath)
    .map((name) => JSON.parse(fs.readFileSync(path.join(capsulesPath, name), 'utf8')));
  return (number) => {
    const pattern = patterns[number % patterns.length];
    const raw = `#${number} ${pattern.raw}`;
    const hash = createHash('sha256').update(raw).digest('hex');
    const name = `watched_${String(number).padStart(6, '0')}`;
    const text = JSON.stringify({ ...pattern, memory_id: name, raw, raw_sha256: hash }, null, 2);
    return { name: `${name}.json`, bytes: Buffer.from(text) };
  };
}

/** @param {number} number */
function constructFile(number) {
  const timestamp = timestampOf(number * 1000);
  const memories = Array.from({ length: CONSTRUCT_MEMORIES }, (_, line) =>
    `#${number} ${line}. what was said that evening at the harbour, `.padEnd(
      CONSTRUCT_MEMORY_LENGTH,
      'word for word; ',
    ),
  );
  const text = makeCapsule({ instanceName: 'Nova', uuid: uuidOf(1, number), timestamp, memories });
  return { name: capsuleFilename('Nova', timestamp), bytes: Buffer.from(text) };
}

function serve() {
  let files = [];
  let folder = '';
  let moments = [];
  const write = (number, way) => {
    const { name, bytes } = files[number];
    const target = path.join(folder, name);
    const written = way === 'rename' ? `${target}.tmp` : target;
    const file = fs.openSync(written, 'w');
    fs.writeSync(file, bytes);
    if (way === 'rename') {
      fs.closeSync(file);
      moments[number] = Number(process.hrtime.bigint());
      fs.renameSync(written, target);
    } else {
      moments[number] = Number(process.hrtime.bigint());
      fs.closeSync(file);
    }
  };
  const requests = {
    prepare(wish) {
      folder = wish.folder;
      files = filesOf(wish.suffix, wish.count);
      moments = new Array(wish.count).fill(null);
      process.send(files.map(({ name }) => name));
    },
    write,
    storm(way) {
      const began = performance.now();
      for (let number = 0; number < files.length; number += 1) {
        write(number, way);
      }
      process.send(performance.now() - began);
    },
    finish() {
      process.send(moments);
    },
  };
  process.on('message', ([request, ...parameters]) => requests[request](...parameters));
}

if (require.main === module) {
  serve();
}

module.exports = { WatchWriter, numberOf };
