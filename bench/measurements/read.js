'use strict';

/**
 * What one contestant does in its own process for the suite `read`. Every task takes the contestant's module, the
 * vault, and how often to repeat; and gives plain data.
 */

const { fork } = require('node:child_process');
const { createHash } = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { setImmediate: nextTurn } = require('node:timers/promises');

const { runFloor } = require('../floor');
const { StallProbe, residentMemory, settledMemory } = require('../probes');
const { median, percentile } = require('../statistics');

/** Repeated calls stop after this long, whatever their count. */
const REPEAT_BUDGET_MS = 1500;
const NEWEST = 10;
const ALL = 0;
const ALL_ROWS_REPEATS = 5;
const ROWS_IN_PART = 128;
const PART_END = ',\n';
const WRITES_BEFORE_CALLS = 15;

/**
 * @typedef {object} Parameters
 * @property {string} module path of the contestant's module
 * @property {object} vault handed to its `create`
 * @property {number} repeats how many repeated calls at most
 * @property {boolean} afterWrites whether to measure calls that follow a write
 * @property {boolean} allRows whether to measure calls for all memories
 */

/** @param {() => Promise<unknown>} work */
async function timed(work) {
  const begin = performance.now();
  const value = await work();
  return { value, time: performance.now() - begin };
}

/**
 * Calls `work` again and again, with a turn of the event loop between: also a synchronous contestant lets go after each.
 * @param {number} count at most so often
 * @param {() => Promise<unknown>} work
 * @param {() => void} [prepare] done before each, and not timed
 * @returns {Promise<{ count: number, p50: number, p99: number, longest: number }>} of the times
 */
async function timesOf(count, work, prepare) {
  const times = [];
  const end = performance.now() + REPEAT_BUDGET_MS;
  while (times.length < count && (times.length === 0 || performance.now() < end)) {
    prepare?.();
    times.push((await timed(work)).time);
    await nextTurn();
  }
  return { count: times.length, p50: median(times), p99: percentile(times, 0.99), longest: percentile(times, 1) };
}

/**
 * A short name for what a call gave; keys in any order, `undefined` ones left out.
 * @param {object[]} rows
 */
function digestOf(rows) {
  const ordered = (_key, value) =>
    value && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)))
      : value;
  return `${rows.length}:${createHash('sha256').update(JSON.stringify(rows, ordered)).digest('hex').slice(0, 16)}`;
}

/**
 * Something that puts one of the vault's files there again, with the same bytes: another one each time. By renaming, so
 * that a run that is broken off leaves every file whole.
 * @param {{ root: string, userId: string }} vault
 */
function rewriterOf({ root, userId }) {
  const capsulesPath = path.join(root, 'users', userId, 'capsules');
  const filenames = fs.readdirSync(capsulesPath);
  let index = 0;
  return () => {
    const filePath = path.join(capsulesPath, filenames[(index * 7919) % filenames.length]);
    index += 1;
    fs.writeFileSync(`${filePath}.part`, fs.readFileSync(filePath));
    fs.renameSync(`${filePath}.part`, filePath);
  };
}

/** @param {Parameters} parameters */
async function timing({ module, vault, repeats, afterWrites, allRows }) {
  const { value: contestant, time: loadTime } = await timed(async () => require(module).create(vault));
  const newest = () => contestant.call({ limit: NEWEST });
  const report = { loadTime };

  const first = await timed(newest);
  report.firstCall = first.time;
  report.rows = digestOf(first.value);
  first.value = undefined;
  if (repeats > 0) {
    report.repeatedCalls = await timesOf(repeats, newest);
  }
  report.settledMemory = await settledMemory();
  report.peakMemory = residentMemory().peak;

  if (afterWrites) {
    report.callsAfterWrite = await timesOf(WRITES_BEFORE_CALLS, newest, rewriterOf(vault));
  }
  if (allRows) {
    report.allRowsCalls = await timesOf(ALL_ROWS_REPEATS, () => contestant.call({ limit: ALL }));
    report.allRows = digestOf(await contestant.call({ limit: ALL }));
    report.allRowsPeakMemory = residentMemory().peak;
  }
  await contestant.close();
  return report;
}

/**
 * One first call, and no more.
 * @param {Parameters} parameters
 */
async function firstCall({ module, vault }) {
  const contestant = require(module).create(vault);
  const { time } = await timed(() => contestant.call({ limit: NEWEST }));
  await contestant.close();
  return { time };
}

/**
 * The floor in the place of a first call: the process has loaded the contestant just the same, so as much time has passed
 * since the files were last read.
 * @param {Parameters & { folder: string }} parameters
 */
async function readFloor({ module, vault, folder }) {
  const contestant = require(module).create(vault);
  const { milliseconds } = await runFloor('read', folder, 1);
  await contestant.close();
  return { time: milliseconds[0] };
}

/** @param {Parameters} parameters */
async function stalls({ module, vault, repeats, allRows }) {
  const contestant = require(module).create(vault);
  const newest = () => contestant.call({ limit: NEWEST });
  const report = {};
  report.firstCall = await StallProbe.during(newest);
  if (repeats > 0) {
    report.repeatedCalls = await StallProbe.during(() => timesOf(repeats, newest));
  }
  if (allRows) {
    report.allRowsCalls = await StallProbe.during(() =>
      timesOf(ALL_ROWS_REPEATS, () => contestant.call({ limit: ALL })),
    );
  }
  await contestant.close();
  return report;
}

/**
 * Whether a call sees every write that ended before it began: each kind of change, by this process and by another, is
 * followed at once by a call.
 * @param {Parameters & { cycles: number, capsulesPath: string }} parameters
 */
async function freshness({ module, vault, cycles, capsulesPath }) {
  const writer = fork(path.join(__dirname, '..', 'writer.js'));
  const writers = {
    'this process': (steps) => require('../writer').apply(steps),
    'another process': async (steps) => {
      writer.send(steps);
      await once(writer, 'message');
    },
  };
  const contestant = require(module).create(vault);
  const target = path.join(capsulesPath, fs.readdirSync(capsulesPath).sort().at(-1));
  const original = fs.readFileSync(target, 'utf8');
  const extra = path.join(capsulesPath, 'zz_added_000000000001.json');
  const textSaying = (words) =>
    JSON.stringify({ ...JSON.parse(original), created_ts: '2031-01-01T00:00:00Z', raw: words }, null, 2);
  const failures = {};
  let changes = 0;
  const expect = async (kind, found) => {
    changes += 1;
    const rows = await contestant.call({ limit: NEWEST });
    if (!found(rows)) {
      failures[kind] = (failures[kind] ?? 0) + 1;
    }
  };
  const saying = (words) => (rows) => rows[0].content === words;

  await contestant.call({ limit: NEWEST });
  for (const [writerName, write] of Object.entries(writers)) {
    for (let cycle = 0; cycle < cycles; cycle += 1) {
      const stamp = String(changes).padStart(6, '0');
      await write([['write', target, textSaying(`in place ${stamp}`)]]);
      await expect(`written in place by ${writerName}`, saying(`in place ${stamp}`));
      await write([
        ['write', `${target}.part`, textSaying(`renamed  ${stamp}`)],
        ['rename', `${target}.part`, target],
      ]);
      await expect(`renamed over by ${writerName}`, saying(`renamed  ${stamp}`));
      await write([['write', extra, textSaying('added').replace('2031', '2032')]]);
      await expect(`added by ${writerName}`, saying('added'));
      await write([['remove', extra]]);
      await expect(`removed by ${writerName}`, saying(`renamed  ${stamp}`));
    }
  }
  writer.disconnect();
  await contestant.close();
  return { changes, stale: Object.values(failures).reduce((sum, count) => sum + count, 0), failures };
}

/** @param {{ module: string, vault: object }} parameters */
async function fillDatabase({ module, vault }) {
  const time = require(module).fill(vault);
  return { time, peakMemory: residentMemory().peak };
}

/**
 * `JSON.parse` of all rows as one text: the quickest known way to make so many objects, and all of it a stall.
 * @param {{ textPath: string }} parameters
 */
async function parseRows({ textPath }) {
  const text = fs.readFileSync(textPath, 'utf8');
  return { calls: await timesOf(ALL_ROWS_REPEATS, async () => JSON.parse(text)), allRows: digestOf(JSON.parse(text)) };
}

/**
 * Writes the text for `parseRows` and `parseParts`, and says what the right answers are: made by the plain reader.
 * @param {Parameters & { textPath: string }} parameters
 */
async function reference({ module, vault, textPath }) {
  const contestant = require(module).create(vault);
  const all = await contestant.call({ limit: ALL });
  const parts = [];
  for (let from = 0; from < all.length; from += ROWS_IN_PART) {
    parts.push(JSON.stringify(all.slice(from, from + ROWS_IN_PART)).slice(1, -1));
  }
  fs.writeFileSync(textPath, `[${parts.join(PART_END)}]`);
  return { rows: digestOf(all.slice(0, NEWEST)), allRows: digestOf(all) };
}

/**
 * `JSON.parse` of all rows in parts, with a turn of the event loop after each: what it stalls for all the same is V8's
 * garbage collector, which makes room for so many objects.
 * @param {{ textPath: string }} parameters
 */
async function parseParts({ textPath }) {
  // As bytes: the heap is as empty in the beginning as others' is.
  const text = fs.readFileSync(textPath);
  const parse = async () => {
    const rows = [];
    for (let from = 1; from < text.length; ) {
      const end = text.indexOf(PART_END, from);
      const next = end < 0 ? text.length : end + PART_END.length;
      rows.push(JSON.parse(`[${text.toString('utf8', from, end < 0 ? text.length - 1 : end)}]`));
      from = next;
      await nextTurn();
    }
    return [].concat(...rows);
  };
  const report = {};
  report.stall = await StallProbe.during(async () => {
    report.calls = await timesOf(ALL_ROWS_REPEATS, parse);
  });
  report.allRows = digestOf(await parse());
  return report;
}

module.exports = {
  tasks: { timing, firstCall, readFloor, stalls, freshness, fillDatabase, parseParts, parseRows, reference },
};
