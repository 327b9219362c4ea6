'use strict';

/**
 * Reading the newest ten memories: vvault-native beside what a Node.js developer would use, and beside the machine's
 * floor. At each size the contestants take turns round by round, each in a new process with the page cache warm.
 */

const fs = require('node:fs');
const path = require('node:path');

const { runFloor } = require('../floor');
const {
  NOTHING,
  formatMegabytes,
  formatRatio,
  formatTime,
  markdownTable,
  runInChild,
  takeTurns,
} = require('../harness');
const { median, percentile } = require('../statistics');
const { ensureVault } = require('../vaults');

const MEASUREMENTS = path.join(__dirname, '..', 'measurements', 'read.js');
/** From so many files on, slow contestants get fewer rounds. */
const LARGE = 50_000;
const REQUIREMENT_SIZE = 10_000;
const FRESHNESS_FILES = 20;
const FRESHNESS_CYCLES = 25;

/**
 * @typedef {object} Contestant
 * @property {string} key
 * @property {string} label as in the tables
 * @property {string} module path of its module
 * @property {object} [extra] parameters of its own
 * @property {(size: number) => number} repeats repeated calls in each process, at most
 * @property {boolean} [afterWrites] whether a call after a write is another thing than a repeated call
 * @property {boolean} [allRows] whether calls for all memories are measured
 * @property {boolean} [slow] whether one round has to do for a large vault
 */

/** @type {Contestant[]} */
const CONTESTANTS = [
  { key: 'nothing', label: 'empty process', module: 'nothing', repeats: () => 1000 },
  {
    key: 'chatty',
    label: "Chatty's way: `readFile` one by one",
    module: 'chatty',
    repeats: (size) => (size >= LARGE ? 0 : size > 1000 ? 1 : 3),
    slow: true,
  },
  {
    key: 'pooled',
    label: 'plain: pooled `readFile`, 64 at once',
    module: 'pooled',
    repeats: (size) => (size >= LARGE ? 1 : 3),
  },
  {
    key: 'synchronous',
    label: 'plain: `readFileSync` loop',
    module: 'synchronous',
    repeats: (size) => (size >= LARGE ? 1 : 3),
  },
  {
    key: 'cached-sync',
    label: 'cache checked by `statSync`',
    module: 'cached',
    extra: { checking: 'sync' },
    repeats: () => 50,
    afterWrites: true,
  },
  {
    key: 'cached-pooled',
    label: 'cache checked by pooled `stat`',
    module: 'cached',
    extra: { checking: 'pooled' },
    repeats: () => 50,
    afterWrites: true,
  },
  { key: 'sqlite', label: 'better-sqlite3, filled before', module: 'sqlite', repeats: () => 1000, allRows: true },
  {
    key: 'native',
    label: '**vvault-native**',
    module: 'native',
    repeats: () => 1000,
    afterWrites: true,
    allRows: true,
  },
].map((contestant) => ({
  ...contestant,
  module: path.join(__dirname, '..', 'contestants', `${contestant.module}.js`),
}));

/**
 * @param {{ sizes: number[], rounds: number, hasFloor: boolean, hasSqlite: boolean, hasNative: boolean, log: (text: string) => void }} context
 * @returns {Promise<{ data: object, markdown: string }>}
 */
async function run(context) {
  const present = CONTESTANTS.filter(
    ({ key }) => (key !== 'sqlite' || context.hasSqlite) && (key !== 'native' || context.hasNative),
  );
  const data = { sizes: [] };
  for (const size of context.sizes) {
    data.sizes.push(await measureSize(size, present, context));
  }
  data.freshness = await measureFreshness(present, context);
  return { data, markdown: describe(data, context) };
}

/**
 * @param {number} size
 * @param {Contestant[]} present
 */
async function measureSize(size, present, { rounds, hasFloor, hasSqlite, log }) {
  log(`${size} files: making the vault`);
  const vault = ensureVault(size);
  const textPath = `${vault.root}-rows.json`;
  const large = size >= LARGE;
  const parametersOf = ({ module, extra, repeats, afterWrites = false, allRows = false }) => ({
    module,
    vault: { root: vault.root, userId: vault.userId, ...extra },
    repeats: repeats(size),
    afterWrites,
    allRows,
  });
  const byKey = (key) => CONTESTANTS.find((contestant) => contestant.key === key);
  const turn = (key, count, task, parameters) => ({
    key,
    rounds: count,
    run: () => runInChild(MEASUREMENTS, task, parameters),
  });

  log(`${size} files: the right answers`);
  const reference = await runInChild(MEASUREMENTS, 'reference', { ...parametersOf(byKey('synchronous')), textPath });

  const timingRounds = ({ slow }) => (large ? Math.min(rounds, slow ? 1 : 3) : rounds);
  const turns = present.map((contestant) =>
    turn(contestant.key, timingRounds(contestant), 'timing', parametersOf(contestant)),
  );
  turns.push(turn('parse', timingRounds({}), 'parseRows', { textPath }));
  if (hasSqlite) {
    turns.unshift(turn('fill', timingRounds({}), 'fillDatabase', parametersOf(byKey('sqlite'))));
  }
  const repetitions = large ? 3 : 7;
  const beforeTurn = async () => readEveryFile(vault.capsulesPath);
  if (hasFloor) {
    turns.push({
      key: 'floor-stat',
      rounds: timingRounds({}),
      run: () => runFloor('stat', vault.capsulesPath, repetitions),
    });
    const compared = present.find(({ key }) => key === 'native') ?? byKey('nothing');
    turns.push({
      key: 'first-and-floor',
      rounds: timingRounds({}),
      run: () =>
        firstCallsBesideFloor({ ...parametersOf(compared), folder: vault.capsulesPath }, repetitions, beforeTurn),
    });
  }
  // Before the rounds and not among the turns, so that each query has a whole database whoever begins.
  if (hasSqlite) {
    await runInChild(MEASUREMENTS, 'fillDatabase', parametersOf(byKey('sqlite')));
  }
  const timings = await takeTurns(turns, { beforeTurn, log: (text) => log(`${size} files, times, ${text}`) });

  // Stalls are measured in other processes than times: the probe's timer must not slow what is timed.
  // One in six of an empty process is twice the usual one: who is compared with it is measured as often as first calls.
  const isCompared = ({ key }) => key === 'native' || key === 'nothing';
  const stallRounds = (one) =>
    (isCompared(one) ? repetitions : 1) * (large && !isCompared(one) ? 1 : Math.min(rounds, 3));
  const stallTurns = present.map((contestant) =>
    turn(contestant.key, stallRounds(contestant), 'stalls', parametersOf(contestant)),
  );
  stallTurns.push(turn('parts', stallRounds({ key: 'parts' }), 'parseParts', { textPath }));
  const stalls = await takeTurns(stallTurns, { beforeTurn, log: (text) => log(`${size} files, stalls, ${text}`) });
  return {
    size,
    bytes: vault.bytes,
    reference,
    timings: Object.fromEntries(timings),
    stalls: Object.fromEntries(stalls),
  };
}

/**
 * First calls and the read floor by turns, each right after the files were read.
 * @param {object} parameters of the contestant
 * @param {number} repetitions
 * @param {() => Promise<void>} before
 * @returns {Promise<Record<'firstCall' | 'readFloor', number[]>>} times in milliseconds
 */
async function firstCallsBesideFloor(parameters, repetitions, before) {
  const times = { firstCall: [], readFloor: [] };
  for (let repetition = 0; repetition < repetitions; repetition += 1) {
    for (const task of ['readFloor', 'firstCall']) {
      await before();
      times[task].push((await runInChild(MEASUREMENTS, task, parameters)).time);
    }
  }
  return times;
}

/**
 * Warms the page cache.
 * @param {string} folder
 */
function readEveryFile(folder) {
  for (const name of fs.readdirSync(folder)) {
    fs.readFileSync(path.join(folder, name));
  }
}

/** @param {Contestant[]} present */
async function measureFreshness(present, { log, hasSqlite }) {
  const reports = {};
  for (const { key, module, extra } of present.filter((contestant) => contestant.key !== 'nothing')) {
    log(`freshness: ${key}`);
    const { root, userId, capsulesPath } = ensureVault(FRESHNESS_FILES, { label: 'fresh', anew: true });
    const parameters = { module, vault: { root, userId, ...extra }, capsulesPath, cycles: FRESHNESS_CYCLES };
    if (key === 'sqlite' && hasSqlite) {
      await runInChild(MEASUREMENTS, 'fillDatabase', parameters);
    }
    reports[key] = await runInChild(MEASUREMENTS, 'freshness', parameters);
  }
  return reports;
}

/** @param {object} data */
function describe(data, { hasNative }) {
  const missing = hasNative ? [] : ['vvault-native: **not built**; `npm run build` first.'];
  const parts = ['## Reading the newest 10', ...missing];
  for (const measured of data.sizes) {
    parts.push(...describeSize(summaryOf(measured)));
  }
  parts.push(...describeFreshness(data.freshness));
  const asked = data.sizes.find(({ size }) => size === REQUIREMENT_SIZE);
  if (asked && hasNative) {
    parts.push(...describeRequirement(summaryOf(asked)));
  }
  return parts.join('\n\n');
}

/** Medians over the rounds, from what the processes reported. */
function summaryOf({ size, bytes, reference, timings, stalls }) {
  const besideFloor = timings['first-and-floor'] ?? [];
  const readFloor = median(besideFloor.flatMap((times) => times.readFloor));
  const statFloor = median((timings['floor-stat'] ?? []).flatMap(({ milliseconds }) => milliseconds));
  const stallsOver = (reports, name) => ({
    typical: median(reports.map((report) => report[name]?.longest)),
    worst: percentile(
      reports.map((report) => report[name]?.longest),
      1,
    ),
    busy: median(reports.map((report) => report[name]?.busy)),
  });
  const contestants = CONTESTANTS.filter(({ key }) => timings[key]).map(({ key, label }) => {
    const reports = timings[key];
    const over = (read) => median(reports.map(read));
    const stallOf = (name) => stallsOver(stalls[key], name);
    const callsOf = (name) => ({
      typical: over((report) => report[name]?.p50),
      // Of fewer calls the p99 would only be the longest.
      rare: over((report) => (report[name]?.count >= 100 ? report[name].p99 : undefined)),
    });
    return {
      key,
      label,
      load: over(({ loadTime }) => loadTime),
      first:
        key === 'native' && besideFloor.length > 0
          ? median(besideFloor.flatMap((times) => times.firstCall))
          : over(({ firstCall }) => firstCall),
      repeated: callsOf('repeatedCalls'),
      afterWrite: callsOf('callsAfterWrite'),
      allRows: callsOf('allRowsCalls'),
      firstStall: stallOf('firstCall'),
      repeatedStall: stallOf('repeatedCalls'),
      allRowsStall: stallOf('allRowsCalls'),
      peak: over(({ peakMemory }) => peakMemory),
      settled: over(({ settledMemory }) => settledMemory),
      allRowsPeak: over(({ allRowsPeakMemory }) => allRowsPeakMemory),
      rightRows: reports.every(({ rows }) => rows === reference.rows),
      rightAllRows: reports.every(({ allRows }) => allRows === undefined || allRows === reference.allRows),
      endedByItself: [...reports, ...stalls[key]].every(({ endedByItself }) => endedByItself),
    };
  });
  const parse = {
    typical: median(timings.parse.map(({ calls }) => calls.p50)),
    // It runs on the event loop from end to end, so what it takes is what it stalls.
    longest: median(timings.parse.map(({ calls }) => calls.longest)),
    worst: percentile(
      timings.parse.map(({ calls }) => calls.longest),
      1,
    ),
  };
  const parts = {
    typical: median(stalls.parts.map(({ calls }) => calls.p50)),
    stall: stallsOver(stalls.parts, 'stall'),
    rightRows: stalls.parts.every(({ allRows }) => allRows === reference.allRows),
  };
  const fill = timings.fill && {
    time: median(timings.fill.map(({ time }) => time)),
    peak: median(timings.fill.map(({ peakMemory }) => peakMemory)),
  };
  const find = (key) => contestants.find((contestant) => contestant.key === key);
  return { size, bytes, contestants, find, parse, parts, fill, readFloor, statFloor };
}

/** @param {{ typical: number, worst: number, busy: number }} stall */
function formatStall({ typical, worst, busy }) {
  return Number.isFinite(typical) ? `${formatTime(typical)} (${formatTime(worst)}), busy ${formatTime(busy)}` : NOTHING;
}

/** @param {{ typical: number, rare: number }} calls */
function formatCalls({ typical, rare }) {
  return Number.isFinite(rare) ? `${formatTime(typical)} / ${formatTime(rare)}` : formatTime(typical);
}

/** @param {ReturnType<typeof summaryOf>} summary */
function describeSize({ size, bytes, contestants, find, parse, parts, fill, readFloor, statFloor }) {
  const chatty = find('chatty');
  const real = contestants.filter(({ key }) => key !== 'nothing');
  const times = real.map(({ key, label, load, first, repeated, afterWrite, rightRows, endedByItself }) => [
    label,
    formatTime(load),
    formatTime(first),
    formatRatio(chatty.first, first),
    formatRatio(first, readFloor),
    formatCalls(repeated),
    formatRatio(key === 'chatty' ? undefined : chatty.first, repeated.typical),
    formatRatio(repeated.typical, statFloor),
    formatTime(afterWrite.typical),
    rightRows ? (endedByItself ? 'yes' : 'yes, but the process did not end') : '**no**',
  ]);
  const floors = [
    [
      '**floor**: list and read every byte, 2 threads',
      NOTHING,
      formatTime(readFloor),
      formatRatio(chatty.first, readFloor),
      '1×',
      ...Array(5).fill(NOTHING),
    ],
    [
      '**floor**: list and stat every file, 2 threads',
      ...Array(4).fill(NOTHING),
      formatTime(statFloor),
      formatRatio(chatty.first, statFloor),
      '1×',
      NOTHING,
      NOTHING,
    ],
  ];
  const costs = contestants.map(({ label, firstStall, repeatedStall, peak, settled }) => [
    label,
    formatStall(firstStall),
    formatStall(repeatedStall),
    formatMegabytes(peak),
    formatMegabytes(settled),
  ]);
  const allRows = contestants
    .filter((contestant) => Number.isFinite(contestant.allRows.typical))
    .map((contestant) => [
      contestant.label,
      formatCalls(contestant.allRows),
      formatRatio(contestant.allRows.typical, parse.typical),
      formatStall(contestant.allRowsStall),
      formatMegabytes(contestant.allRowsPeak),
      contestant.rightAllRows ? 'yes' : '**no**',
    ]);
  allRows.push([
    '`JSON.parse` of the same rows as one text',
    formatTime(parse.typical),
    '1×',
    formatStall({ typical: parse.longest, worst: parse.worst, busy: parse.longest }),
    NOTHING,
    'yes',
  ]);
  allRows.push([
    '`JSON.parse` of them in parts, a turn after each',
    formatTime(parts.typical),
    formatRatio(parts.typical, parse.typical),
    formatStall(parts.stall),
    NOTHING,
    parts.rightRows ? 'yes' : '**no**',
  ]);
  return [
    `### ${size.toLocaleString('en')} files (${formatMegabytes(bytes)})`,
    markdownTable(
      [
        '',
        'load',
        'first call',
        "faster than Chatty's",
        'of read floor',
        'repeated call, p50 / p99',
        "faster than Chatty's",
        'of stat floor',
        'call after a write',
        'rows right',
      ],
      [...times, ...floors],
    ),
    ...(fill
      ? [`Filling better-sqlite3 beforehand: ${formatTime(fill.time)}, ${formatMegabytes(fill.peak)} at its peak.`]
      : []),
    'Event-loop stall (median over the rounds of the longest, the worst round in brackets, and for how long at most the thread ' +
      'itself was at work) and resident memory:',
    markdownTable(['', 'stall, first call', 'stall, repeated calls', 'RSS, peak', 'RSS, settled'], costs),
    `All ${size.toLocaleString('en')} memories in one call (\`limit: 0\`):`,
    markdownTable(['', 'call', 'of `JSON.parse`', 'stall', 'RSS, peak', 'rows right'], allRows),
  ];
}

/** @param {Record<string, { changes: number, stale: number, failures: Record<string, number> }>} reports */
function describeFreshness(reports) {
  const rows = CONTESTANTS.filter(({ key }) => reports[key]).map(({ key, label }) => {
    const { changes, stale, failures } = reports[key];
    const detail = Object.entries(failures)
      .map(([kind, count]) => `${count} ${kind}`)
      .join(', ');
    return [label, `${stale} of ${changes}`, detail || NOTHING];
  });
  return [
    '### Stale answers',
    'A file is written, renamed over, added or removed, and a call follows at once; so often it did not see the change:',
    markdownTable(['', 'stale', 'which'], rows),
  ];
}

/** @param {ReturnType<typeof summaryOf>} summary */
function describeRequirement({ size, find, readFloor, statFloor }) {
  const native = find('native');
  const chatty = find('chatty');
  return [
    `### What is asked at ${size.toLocaleString('en')} files, and what was measured`,
    markdownTable(
      ['', 'asked', 'measured'],
      [
        ["first call, faster than Chatty's way", 'at least 40×', formatRatio(chatty.first, native.first)],
        ['first call, of the read floor', 'at most 1.5×', formatRatio(native.first, readFloor)],
        [
          'repeated always-fresh call, of the stat floor',
          'at most 1.5×',
          formatRatio(native.repeated.typical, statFloor),
        ],
        ['resident memory, peak', `below ${formatMegabytes(chatty.peak)}`, formatMegabytes(native.peak)],
        ['resident memory, settled', `below ${formatMegabytes(chatty.settled)}`, formatMegabytes(native.settled)],
        ['event-loop stall, first call', 'at most 5 ms', formatStall(native.firstStall)],
        ['event-loop stall, repeated calls', 'at most 5 ms', formatStall(native.repeatedStall)],
        ['event-loop stall, `limit: 0`', 'at most 5 ms', formatStall(native.allRowsStall)],
      ],
    ),
  ];
}

module.exports = { run };
