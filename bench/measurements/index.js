'use strict';

/**
 * What one contestant does in its own process for the suite `index`. Every task gives plain data.
 */

const fs = require('node:fs');
const { createHash } = require('node:crypto');
const path = require('node:path');
const { setImmediate: nextTurn, setTimeout: sleep } = require('node:timers/promises');

const { capsulesPathOf, isCapsuleName, memoryOf } = require('../contestants/memories');
const { runFloor } = require('../floor');
const { IndexWriter } = require('../index-writer');
const { residentMemory, settledMemory } = require('../probes');
const { KINDS, answer, questionsOf, readRows } = require('../questions');
const { median, percentile } = require('../statistics');

/** How many questions of a kind the right answers are worked out for. */
const CHECKED = 12;
const ALL_ROWS_REPEATS = 5;
const LEAST_CALLS = 3;
/** Fewer have no p99; who is slow gets so many times the time to reach as many. */
const CALLS_FOR_P99 = 100;
const MORE_TIME = 4;
/** For how long a cache folder or the memory must stay as it is. */
const SETTLING_MS = 500;
const MOST_LOOKS = 20;

/**
 * @typedef {object} Parameters
 * @property {string} module path of the contestant's module
 * @property {object} vault handed to its `create`
 * @property {import('../questions').Shape} shape
 * @property {string[]} kinds of questions that it answers
 */

/** @param {() => Promise<unknown>} work */
async function timed(work) {
  const begin = performance.now();
  const value = await work();
  return { value, time: performance.now() - begin };
}

/**
 * Asks one question after another, with a turn of the event loop between, for `milliseconds` at least.
 * @param {{ call: (question: object) => Promise<object[]> }} contestant
 * @param {Iterator<object>} questions
 * @param {number} milliseconds
 */
async function askFor(milliseconds, contestant, questions) {
  const times = [];
  const begin = performance.now();
  const enough = () =>
    performance.now() - begin > (times.length < CALLS_FOR_P99 ? milliseconds * MORE_TIME : milliseconds);
  while (times.length < LEAST_CALLS || !enough()) {
    const question = questions.next().value;
    times.push((await timed(() => contestant.call(question))).time);
    await nextTurn();
  }
  const p99 = times.length < CALLS_FOR_P99 ? undefined : percentile(times, 0.99);
  return { count: times.length, p50: median(times), p99 };
}

/** @param {object[]} rows */
function digestOf(rows) {
  // Whether an absent member is `undefined` or not there is all the same, and so is the order of members.
  const ordered = (_key, value) =>
    value && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)))
      : value;
  return createHash('sha256').update(JSON.stringify(rows, ordered)).digest('hex').slice(0, 16);
}

/**
 * Fills every store from the files, and says what the right answers are.
 * @param {{ vault: { root: string }, shape: import('../questions').Shape, stores: { key: string, module: string }[],
 *   textPath?: string }} parameters `textPath`: where all rows go as one text
 */
async function prepare({ vault, shape, stores, textPath }) {
  const fills = stores.map(({ key, module }) => ({ key, time: 0, ...require(module).fill(vault) }));
  const checks = KINDS.map((kind) => {
    const questions = questionsOf(kind, shape);
    return Array.from({ length: CHECKED }, () => ({ question: questions.next().value, found: [] }));
  });
  const report = { digests: {}, fills: {} };
  for (const userId of shape.users) {
    const rows = readRows(vault.root, userId);
    report.first ??= digestOf(answer(rows, { userId, limit: 10 }));
    for (const check of checks.flat().filter(({ question }) => question.userId === userId)) {
      check.found = answer(rows, check.question);
    }
    for (const fill of fills) {
      fill.time += (await timed(async () => fill.add(userId, rows))).time;
    }
    if (textPath) {
      fs.writeFileSync(textPath, JSON.stringify(rows));
    }
  }
  for (const [index, kind] of KINDS.entries()) {
    report.digests[kind] = checks[index].map(({ found }) => digestOf(found));
  }
  for (const fill of fills) {
    const { value: bytes, time } = await timed(async () => fill.done());
    report.fills[fill.key] = { time: fill.time + time, bytes };
  }
  return report;
}

/**
 * Questions of every kind, quietly and then while another process adds capsules.
 * @param {Parameters & { milliseconds: number, checked?: number, rests?: boolean,
 *   adding?: { milliseconds: number, database?: string }, secondName?: boolean }} parameters `rests`: it has work to do
 *   in the background after a first answer; `secondName`: one file gets a second name meanwhile, whose changes no
 *   notification of the folder would tell
 */
async function questions({ module, vault, shape, kinds, milliseconds, checked = CHECKED, rests, adding, secondName }) {
  const removeSecondName = secondName ? giveSecondName(vault.root, shape.users[0]) : undefined;
  try {
    const contestant = await require(module).create(vault);
    const report = { digests: {}, quiet: {} };
    for (const userId of shape.users) {
      await contestant.call({ userId, limit: 10 });
    }
    report.memoryAfterReading = rests ? await restingMemory() : await settledMemory();
    const asked = new Map(kinds.map((kind) => [kind, questionsOf(kind, shape)]));
    for (const [kind, wanted] of asked) {
      // They are also the ones that come before those that count.
      report.digests[kind] = [];
      while (report.digests[kind].length < checked) {
        report.digests[kind].push(digestOf(await contestant.call(wanted.next().value)));
      }
      report.quiet[kind] = await askFor(milliseconds, contestant, wanted);
    }
    report.freshness = await contestant.freshness?.();
    report.memoryAfterQuestions = await settledMemory();
    report.peakMemory = residentMemory().peak;
    if (adding) {
      Object.assign(report, await askWhileAdding(contestant, asked, shape.users[0], vault, adding));
    }
    await contestant.close();
    return report;
  } finally {
    removeSecondName?.();
  }
}

/** Resident memory once the contestant has nothing to do in the background any more: it stays as it is. */
async function restingMemory() {
  let before = Number.POSITIVE_INFINITY;
  let now = await settledMemory();
  for (let look = 0; look < MOST_LOOKS && Math.abs(now - before) > now * 0.01; look += 1) {
    await sleep(SETTLING_MS);
    before = now;
    now = await settledMemory();
  }
  return now;
}

async function askWhileAdding(contestant, asked, userId, { root }, { milliseconds, database }) {
  const writer = await IndexWriter.start({ root, userId, database });
  const report = { adding: {} };
  // The drop-in tells of files that are half there, as Chatty does.
  console.warn = () => {};
  try {
    for (const [kind, wanted] of asked) {
      report.adding[kind] = await askFor(milliseconds, contestant, wanted);
    }
    const { count, last } = await writer.pause();
    report.added = count;
    const [newest] = await contestant.call({ userId, limit: 10 });
    report.sawLast = newest.id === last;
  } finally {
    await writer.end();
  }
  return report;
}

/**
 * @param {string} root
 * @param {string} userId
 */
function giveSecondName(root, userId) {
  const capsulesPath = capsulesPathOf({ root, userId });
  const other = `${root}-second-name`;
  fs.rmSync(other, { force: true });
  fs.linkSync(path.join(capsulesPath, fs.readdirSync(capsulesPath).find(isCapsuleName)), other);
  return () => fs.rmSync(other, { force: true });
}

/**
 * From opening to the first answer.
 * @param {Parameters} parameters
 */
async function opening({ module, vault, shape }) {
  const { value: loaded, time: loadTime } = await timed(async () => require(module));
  const question = { userId: shape.users[0], limit: 10 };
  const begin = performance.now();
  const contestant = await loaded.create(vault);
  const openTime = performance.now() - begin;
  const rows = await contestant.call(question);
  const time = performance.now() - begin;
  const again = await timed(() => contestant.call(question));
  // Of several users, what the others cost too.
  for (const userId of shape.users.slice(1)) {
    await contestant.call({ userId, limit: 10 });
  }
  const everyUserTime = performance.now() - begin;
  const memory = await settledMemory();
  await contestant.close();
  return {
    loadTime,
    openTime,
    time,
    everyUserTime,
    secondCall: again.time,
    digest: digestOf(rows),
    memoryAfterReading: memory,
  };
}

/**
 * The floor in the place of an opening: the process has loaded the contestant just the same, so as much time has passed
 * since the files were last read.
 * @param {{ module: string, operation: 'read' | 'stat', folders: string[] }} parameters
 */
async function floor({ module, operation, folders }) {
  require(module);
  let time = 0;
  for (const folder of folders) {
    time += (await runFloor(operation, folder, 1)).milliseconds[0];
  }
  return { time };
}

/**
 * The process whose persistent index later ones find: opens, reads every user's memories, closes.
 * @param {Parameters} parameters
 */
async function leaveIndex({ module, vault, shape }) {
  const contestant = await require(module).create(vault);
  let rows;
  for (const userId of shape.users) {
    const found = await contestant.call({ userId, limit: 10 });
    rows ??= found;
  }
  const { time: closeTime } = await timed(() => contestant.close());
  return { closeTime, digest: digestOf(rows), bytes: await settledBytesIn(vault.cacheDir) };
}

/**
 * What a folder holds once something is there and nothing is added any more: the drop-in has nothing that could be closed.
 * @param {string} folder
 */
async function settledBytesIn(folder) {
  let before = 0;
  let now = bytesIn(folder);
  for (let look = 0; look < MOST_LOOKS && (now === 0 || now !== before); look += 1) {
    await sleep(SETTLING_MS);
    before = now;
    now = bytesIn(folder);
  }
  return now;
}

/** @param {string} folder */
function bytesIn(folder) {
  if (!fs.existsSync(folder)) {
    return 0;
  }
  return fs
    .readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((item) => item.isFile())
    .reduce((sum, item) => sum + sizeOf(path.join(item.parentPath ?? item.path, item.name)), 0);
}

/** @param {string} file which may have been temporary */
function sizeOf(file) {
  return fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/** @param {() => Promise<object[]>} call */
async function timesOfAll(call) {
  const times = [];
  let count = 0;
  for (let repeat = 0; repeat < ALL_ROWS_REPEATS; repeat += 1) {
    const { value, time } = await timed(call);
    count = value.length;
    times.push(time);
    await nextTurn();
  }
  return { p50: median(times), count };
}

/**
 * All memories of a user, of a contestant that has been asked before.
 * @param {Parameters} parameters
 */
async function everything({ module, vault, shape }) {
  const contestant = await require(module).create(vault);
  const [userId] = shape.users;
  await contestant.call({ userId, limit: 10 });
  const report = await timesOfAll(() => contestant.call({ userId, limit: 0 }));
  await contestant.close();
  return report;
}

/**
 * `JSON.parse` of the same rows as one text; and the same, with each memory built from its row.
 * @param {{ textPath: string }} parameters
 */
async function parseRows({ textPath }) {
  const text = fs.readFileSync(textPath, 'utf8');
  const memories = JSON.stringify(JSON.parse(text).map((row) => memoryOf(row, row.filename)));
  return {
    parsed: await timesOfAll(async () => JSON.parse(memories)),
    built: await timesOfAll(async () => JSON.parse(text).map((row) => memoryOf(row, row.filename))),
  };
}

module.exports = { tasks: { everything, floor, leaveIndex, opening, parseRows, prepare, questions } };
