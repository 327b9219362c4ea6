'use strict';

/**
 * What one contestant does in its own process for the suite `watch`: it is told of files that another process writes. Times
 * are milliseconds from a writer's close or rename to the callback that is given the parsed memories.
 */

const fs = require('node:fs');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const { StallProbe, residentMemory } = require('../probes');
const { median, percentile } = require('../statistics');
const { WatchWriter, numberOf } = require('../watch-writer');

/** Written first, one at a time, and not counted. */
const WARM_UP = 5;
const PAUSE_MS = 5;
/** A file that nobody told of for so long is missed. */
const PATIENCE_MS = 3_000;
/** After the last file, for those that come twice. */
const REST_MS = 500;
const LOOK_MS = 25;

/**
 * @typedef {object} Parameters
 * @property {string} module path of the contestant's module
 * @property {object} place what it watches: `Place` of contestants/watched-files.js, and what is its own
 * @property {number} count how many files
 * @property {number} memories in each file
 */

/** What a contestant told. */
class Told {
  /** When each file was told of first, in nanoseconds. @type {Map<number, number>} */
  moments = new Map();
  twice = 0;
  half = 0;
  /** Files that were told with other memories than they hold. */
  wrong = 0;
  /** @type {string[]} */
  errors = [];
  /** Numbers by file name. @type {Map<string, number>} */
  numbers = new Map();
  #memories;
  /** @type {(() => void) | undefined} */
  #wake;

  /** @param {number} memories in each file */
  constructor(memories) {
    this.#memories = memories;
  }

  /** @type {import('../contestants/watched-files').Listener} */
  get listener() {
    return {
      memories: (memories) => {
        const now = Number(process.hrtime.bigint());
        const number = numberOf(memories[0]?.content);
        if (memories.length !== this.#memories || Number.isNaN(number)) {
          this.wrong += 1;
        } else {
          this.#take(number, now);
        }
      },
      // The floor only: it does not understand what it reads.
      read: (name, moment) => this.#take(this.numbers.get(name), moment),
      half: () => {
        this.half += 1;
      },
      error: (error) => {
        this.errors.push(error.message);
      },
    };
  }

  #take(number, moment) {
    if (this.moments.has(number)) {
      this.twice += 1;
    } else {
      this.moments.set(number, moment);
      this.#wake?.();
    }
  }

  /**
   * @param {number} number
   * @returns {Promise<void>} when it was told of, or is taken for missed
   */
  async one(number) {
    if (!this.moments.has(number)) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, PATIENCE_MS);
        this.#wake = () => {
          if (this.moments.has(number)) {
            clearTimeout(timer);
            resolve();
          }
        };
      });
      this.#wake = undefined;
    }
  }

  /**
   * @param {number} count
   * @param {Promise<unknown>} written
   * @param {() => void} onProgress called after some were told of
   * @returns {Promise<void>} when all were told of, or the others are taken for missed
   */
  async all(count, written, onProgress) {
    let isWritten = false;
    written.then(() => {
      isWritten = true;
    });
    let seen = -1;
    let lastChange = performance.now();
    for (;;) {
      await sleep(LOOK_MS);
      const now = performance.now();
      const all = this.moments.size + this.twice + this.half;
      if (all !== seen || !isWritten) {
        seen = all;
        lastChange = now;
        onProgress();
      } else if (now - lastChange > (this.moments.size >= count ? REST_MS : PATIENCE_MS)) {
        return;
      }
    }
  }
}

/**
 * A contestant that watches, and somebody who writes.
 * @param {Parameters} parameters
 */
async function begin({ module, place, count, memories }) {
  const { folder, suffix } = place;
  const writer = await WatchWriter.start({ folder, suffix, count });
  const told = new Told(memories);
  told.numbers = new Map(writer.names.map((name, number) => [name, number]));
  const began = performance.now();
  const watching = await require(module).create(place, told.listener);
  return { writer, told, watching, ready: performance.now() - began };
}

/**
 * @param {Told} told
 * @param {(number | null)[]} written
 * @param {number} [first] file that counts
 */
function reportOf(told, written, first = 0) {
  const times = [];
  let missed = 0;
  for (let number = first; number < written.length; number += 1) {
    const moment = told.moments.get(number);
    if (written[number] === null) {
      continue;
    }
    if (moment === undefined) {
      missed += 1;
    }
    // Below 0 for who looks at every change, and saw the whole file before it was closed.
    times.push(moment === undefined ? null : Math.round((moment - written[number]) / 100) / 1e4);
  }
  const { twice, half, wrong, errors } = told;
  return { times, missed, twice, half, wrong, errors };
}

/**
 * One file at a time, every second one written in place, the others renamed.
 * @param {Parameters & { budget: number }} parameters none is begun later than `budget`, in milliseconds
 */
async function alone({ budget, ...parameters }) {
  const { writer, told, watching, ready } = await begin({ ...parameters, count: WARM_UP + parameters.count });
  const deadline = performance.now() + budget;
  for (let number = 0; number < WARM_UP + parameters.count; number += 1) {
    if (number > WARM_UP && performance.now() > deadline) {
      break;
    }
    writer.write(number, number % 2 === 0 ? 'direct' : 'rename');
    await told.one(number);
    await sleep(PAUSE_MS);
  }
  await sleep(REST_MS);
  return { ...(await end(parameters, { writer, told, watching }, WARM_UP)), ready };
}

/**
 * All files as fast as the writer can.
 * @param {Parameters & { way: import('../watch-writer').Way }} parameters
 */
async function storm({ way, ...parameters }) {
  const { writer, told, watching } = await begin(parameters);
  await sleep(REST_MS);
  const memoryBefore = residentMemory().now;
  const usageBefore = process.cpuUsage();
  let microseconds = 0;
  const duration = await weather(writer, way, told, parameters.count, () => {
    const { user, system } = process.cpuUsage(usageBefore);
    microseconds = user + system;
  });
  const own = { microseconds, memoryBefore, peakMemory: residentMemory().peak };
  const { times, others, ...report } = await end(parameters, { writer, told, watching });
  const [p50, p99, longest] = [median(times), percentile(times, 0.99), percentile(times, 1)];
  return { ...report, duration, p50, p99, longest, ...(others ?? own) };
}

/**
 * The event loop's longest stall in a storm.
 * @param {Parameters & { way: import('../watch-writer').Way }} parameters
 */
async function stormStalls({ way, ...parameters }) {
  const { writer, told, watching } = await begin(parameters);
  await sleep(REST_MS);
  const stall = await StallProbe.during(() => weather(writer, way, told, parameters.count, () => {}));
  const { missed, twice, half, wrong, errors } = await end(parameters, { writer, told, watching });
  return { stall, missed, twice, half, wrong, errors };
}

/**
 * The longest stall of an event loop that has nothing to do while somebody writes: what the machine itself takes.
 * @param {Parameters & { way: import('../watch-writer').Way }} parameters
 */
async function idleStalls({ way, place, count }) {
  const writer = await WatchWriter.start({ folder: place.folder, suffix: place.suffix, count });
  await sleep(REST_MS);
  const stall = await StallProbe.during(() => writer.storm(way));
  await writer.finish();
  removeFiles(writer, place);
  return { stall };
}

/**
 * @param {WatchWriter} writer
 * @param {import('../watch-writer').Way} way
 * @param {Told} told
 * @param {number} count
 * @param {() => void} onProgress
 * @returns {Promise<number>} milliseconds that the writer took
 */
async function weather(writer, way, told, count, onProgress) {
  const written = writer.storm(way);
  await told.all(count, written, onProgress);
  return written;
}

/**
 * @param {Parameters} parameters
 * @param {{ writer: WatchWriter, told: Told, watching: { close: () => Promise<object | undefined> } }} parties
 * @param {number} [first] file that counts
 */
async function end({ place }, { writer, told, watching }, first) {
  const written = await writer.finish();
  const others = await watching.close();
  removeFiles(writer, place);
  return { ...reportOf(told, written, first), others };
}

/**
 * @param {WatchWriter} writer
 * @param {{ folder: string }} place
 */
function removeFiles(writer, { folder }) {
  for (const name of writer.names) {
    fs.rmSync(path.join(folder, name), { force: true });
  }
}

module.exports = { tasks: { alone, idleStalls, storm, stormStalls } };
