'use strict';

/**
 * Storing, retrieving, listing and verifying construct capsules: vvault-native beside Python's VVAULTCore, where it is
 * at hand, and beside the machine's floor. Every contestant gets its turn in a process of its own, round by round; what
 * is stored goes into a copy of the prepared vault.
 */

const fs = require('node:fs');
const path = require('node:path');

const { ensureConstructVault, laterCapsules, withCopyOf } = require('../construct-vaults');
const {
  NOTHING,
  REPOSITORY_ROOT,
  formatMegabytes,
  formatRatio,
  formatTime,
  markdownTable,
  runInChild,
  takeTurns,
} = require('../harness');
const { pythonCore, runPythonCore } = require('../python-core');
const { median, percentile } = require('../statistics');
const { temporaryRoot } = require('../vaults');

const MEASUREMENTS = path.join(__dirname, '..', 'measurements', 'store.js');
const HISTORIES = [10, 1_000, 10_000];
const AT_ONCE = 32;
const FLOOR_THREADS = 2;
/** Stores in one process; few beside the smallest history's size, so that it stays small. */
const SINGLE_STORES = 20;
const BUDGET_MS = 2_000;
const RETRIEVALS = 200;
const LISTS = 20;
const VERIFICATIONS = 3;

const NATIVE = '**vvault-native**';
const PYTHON = "Python's VVAULTCore";

/**
 * @param {{ sizes: number[], rounds: number, hasNative: boolean, log: (text: string) => void }} context
 * @returns {Promise<{ data: object, markdown: string }>}
 */
async function run(context) {
  const { Vault } = context.hasNative ? require(REPOSITORY_ROOT) : {};
  const present = {
    ...context,
    hasNative: typeof Vault === 'function',
    hasVerify: typeof Vault?.prototype.verifyCapsules === 'function',
    hasPython: pythonCore() !== undefined,
  };
  const largest = Math.max(...context.sizes);
  const histories = HISTORIES.filter((count) => count <= Math.max(largest, HISTORIES[0]));
  const data = { storing: [], retrieving: [] };
  for (const count of histories) {
    data.storing.push(await measureStoring(count, present));
  }
  for (const count of histories) {
    data.retrieving.push(await measureRetrieving(count, present));
  }
  data.listing = await measureListing(histories.at(-1), present);
  data.verifying = await measureVerifying(histories.at(-1), present);
  return { data, markdown: describe(data, present) };
}

/**
 * The turns of one measurement: of the contestants that are there, each `run` gives a report.
 * @param {Record<string, (() => Promise<object>) | false>} contestants
 * @param {{ rounds: number, log: (text: string) => void }} context
 * @param {string} name
 */
async function measure(contestants, { rounds, log }, name) {
  const turns = Object.entries(contestants)
    .filter(([, work]) => work)
    .map(([key, work]) => ({ key, rounds, run: work }));
  return Object.fromEntries(await takeTurns(turns, { log: (text) => log(`${name}, ${text}`) }));
}

/** @param {number} count */
async function measureStoring(count, context) {
  context.log(`storing into ${count} versions: making the vault`);
  const vault = ensureConstructVault(count);
  const textsPath = path.join(temporaryRoot(), 'constructs-texts.json');
  const texts = laterCapsules(count, 1 + SINGLE_STORES + AT_ONCE);
  fs.writeFileSync(textsPath, JSON.stringify(texts));
  const parameters = { textsPath, atOnce: AT_ONCE, budget: BUDGET_MS };
  const inCopy = (work) => () => withCopyOf(vault, (copy) => work({ ...copy, ...parameters, withBatch: true }));
  const reports = await measure(
    {
      native: context.hasNative && inCopy((copy) => runInChild(MEASUREMENTS, 'store', copy)),
      stalls: context.hasNative && inCopy((copy) => runInChild(MEASUREMENTS, 'storeStalls', copy)),
      // So many stores one after the other would take it a quarter of a minute.
      python:
        context.hasPython && inCopy((copy) => runPythonCore('store', { ...copy, withBatch: count < HISTORIES.at(-1) })),
      floor: inCopy((copy) => runInChild(MEASUREMENTS, 'storeFloor', copy)),
    },
    context,
    `storing into ${count} versions`,
  );
  return { count, bytes: Buffer.byteLength(texts[0]), indexBytes: vault.indexBytes, reports };
}

/** @param {number} count */
async function measureRetrieving(count, context) {
  const vault = ensureConstructVault(count);
  const parameters = { repeats: RETRIEVALS, budget: BUDGET_MS };
  const inCopy = (work) => () => withCopyOf(vault, (copy) => work({ ...copy, ...parameters }));
  const reports = await measure(
    {
      native: context.hasNative && inCopy((copy) => runInChild(MEASUREMENTS, 'retrieve', copy)),
      python: context.hasPython && inCopy((copy) => runPythonCore('retrieve', copy)),
      floor: inCopy((copy) => runInChild(MEASUREMENTS, 'retrieveFloor', copy)),
    },
    context,
    `the latest of ${count} versions`,
  );
  return { count, reports };
}

/** @param {number} count */
async function measureListing(count, context) {
  const vault = ensureConstructVault(count);
  const parameters = { repeats: LISTS, budget: BUDGET_MS };
  const inCopy = (work) => () => withCopyOf(vault, (copy) => work({ ...copy, ...parameters }));
  const reports = await measure(
    {
      native: context.hasNative && inCopy((copy) => runInChild(MEASUREMENTS, 'list', copy)),
      python: context.hasPython && inCopy((copy) => runPythonCore('list', copy)),
      floor: inCopy((copy) => runInChild(MEASUREMENTS, 'listFloor', copy)),
    },
    context,
    `listing ${count} versions`,
  );
  return { count, indexBytes: vault.indexBytes, reports };
}

/** @param {number} count */
async function measureVerifying(count, context) {
  const vault = ensureConstructVault(count);
  const parameters = { repeats: VERIFICATIONS, budget: BUDGET_MS * 5 };
  const inCopy = (work) => () => withCopyOf(vault, (copy) => work({ ...copy, ...parameters }));
  const floor = (threads) => inCopy((copy) => runInChild(MEASUREMENTS, 'verifyFloor', { ...copy, threads }));
  const reports = await measure(
    {
      native: context.hasVerify && inCopy((copy) => runInChild(MEASUREMENTS, 'verify', copy)),
      python: context.hasPython && inCopy((copy) => runPythonCore('verify', copy)),
      floor: floor(1),
      floorThreads: floor(FLOOR_THREADS),
    },
    context,
    `verifying ${count} capsules`,
  );
  return { count, bytes: vault.bytes, reports };
}

/** @param {object} data */
function describe(data, { hasNative, hasPython, hasVerify }) {
  const notes = [];
  if (!hasNative) {
    notes.push('vvault-native: **no `Vault` in it**; `npm run build` first.');
  }
  if (!hasPython) {
    notes.push(`Left out: ${PYTHON} (\`VVAULT_PYTHON_CORE\` names no checkout of VVAULT).`);
  }
  if (hasNative && !hasVerify) {
    notes.push('Left out: verifying by vvault-native (there is no `Vault.verifyCapsules`).');
  }
  return [
    '## Construct capsules: storing, retrieving, listing, verifying',
    ...notes,
    ...describeStoring(data.storing),
    ...describeRetrieving(data.retrieving),
    ...describeListing(data.listing),
    ...describeVerifying(data.verifying),
  ].join('\n\n');
}

/**
 * Median and p95 of the calls of all rounds.
 * @param {object[] | undefined} reports
 * @param {string} [name] of the member that holds the times
 */
function callsOf(reports, name = 'times') {
  const times = (reports ?? []).flatMap((report) => report[name] ?? []);
  return { typical: median(times), rare: times.length >= 20 ? percentile(times, 0.95) : undefined };
}

/**
 * @param {object[] | undefined} reports
 * @param {string} name
 */
function medianOf(reports, name) {
  return median((reports ?? []).map((report) => report[name]));
}

/** @param {{ typical?: number, rare?: number }} calls */
function formatCalls({ typical, rare }) {
  return Number.isFinite(rare) ? `${formatTime(typical)} / ${formatTime(rare)}` : formatTime(typical);
}

/** @param {{ longest: number, busy: number }[]} stalls */
function formatStall(stalls) {
  const longest = stalls.map((stall) => stall.longest);
  return stalls.length > 0
    ? `${formatTime(median(longest))} (${formatTime(percentile(longest, 1))}), busy ${formatTime(median(stalls.map(({ busy }) => busy)))}`
    : NOTHING;
}

/** @param {number | undefined} milliseconds for all that were stored at once */
function formatRate(milliseconds) {
  return Number.isFinite(milliseconds)
    ? `${Math.round((AT_ONCE / milliseconds) * 1000).toLocaleString('en')}/s`
    : NOTHING;
}

/** @param {boolean | undefined} right */
function formatRight(right) {
  return right === undefined ? NOTHING : right ? 'yes' : '**no**';
}

/** @param {Array<{ count: number, bytes: number, indexBytes: number, reports: object }>} measured */
function describeStoring(measured) {
  const parts = ['### Storing one capsule'];
  for (const { count, bytes, indexBytes, reports } of measured) {
    const floor = callsOf(reports.floor, 'both').typical;
    const python = callsOf(reports.python).typical;
    const floorBatch = medianOf(reports.floor, 'batch');
    const rows = [];
    for (const [label, list] of [
      [NATIVE, reports.native],
      [`${PYTHON} (nothing synced, no lock)`, reports.python],
    ]) {
      if (list) {
        const calls = callsOf(list);
        const batch = medianOf(list, 'batch');
        rows.push([
          label,
          formatTime(medianOf(list, 'open')),
          formatTime(medianOf(list, 'first')),
          formatCalls(calls),
          formatRatio(calls.typical, floor),
          formatRatio(python, calls.typical),
          formatRate(batch),
          formatRatio(batch, floorBatch),
          formatRight(list.every(({ stored, listed }) => listed === count + stored)),
        ]);
      }
    }
    for (const [label, name, batch] of [
      ['**floor**: capsule written, synced, renamed', 'capsule'],
      ['**floor**: the same, and an index of this size', 'both', floorBatch],
      ['**floor**: the same, and both folders synced', 'folders'],
    ]) {
      const calls = callsOf(reports.floor, name);
      const ratios = [formatRatio(calls.typical, floor), formatRatio(python, calls.typical)];
      const together = [formatRate(batch), batch ? '1×' : NOTHING];
      rows.push([label, NOTHING, NOTHING, formatCalls(calls), ...ratios, ...together, NOTHING]);
    }
    parts.push(
      `Into ${count.toLocaleString('en')} versions (a capsule of ${bytes.toLocaleString('en')} bytes, an index of ${formatMegabytes(indexBytes)}):`,
      markdownTable(
        [
          '',
          'open',
          'first store',
          'store, p50 / p95',
          'of the floor with index',
          "faster than Python's",
          `${AT_ONCE} at once`,
          'of the floor at once',
          'all listed',
        ],
        rows,
      ),
    );
    if (reports.stalls) {
      const single = formatStall(reports.stalls.map((report) => report.single));
      const together = formatStall(reports.stalls.map((report) => report.together));
      parts.push(`Event-loop stall: ${single} storing one by one, ${together} storing ${AT_ONCE} at once.`);
    }
  }
  parts.push(
    `${PYTHON} stores the ${AT_ONCE} one after the other (left out at ${HISTORIES.at(-1).toLocaleString('en')}). The floor at once: ${AT_ONCE} capsules ` +
      'by the thread pool and then one index.',
  );
  return parts;
}

/** @param {Array<{ count: number, reports: object }>} measured */
function describeRetrieving(measured) {
  const rows = [];
  for (const { count, reports } of measured) {
    const floor = callsOf(reports.floor).typical;
    const python = callsOf(reports.python).typical;
    const uuids = new Set([...(reports.native ?? []), ...(reports.python ?? [])].map(({ uuid }) => uuid));
    for (const [label, list, answers] of [
      [NATIVE, reports.native, true],
      [PYTHON, reports.python, true],
      ['**floor**: stat of the index, capsule read, hashed, parsed', reports.floor, false],
    ]) {
      if (list) {
        const calls = callsOf(list);
        rows.push([
          count.toLocaleString('en'),
          label,
          formatTime(medianOf(list, 'first')),
          formatCalls(calls),
          formatRatio(calls.typical, floor),
          formatRatio(python, calls.typical),
          formatCalls(callsOf(list, 'timesAfterWrite')),
          answers ? formatRight(uuids.size === 1) : NOTHING,
        ]);
      }
    }
  }
  return [
    '### Retrieving the latest version',
    markdownTable(
      [
        'versions',
        '',
        'first call',
        'repeated, p50 / p95',
        'of the floor',
        "faster than Python's",
        'after the index was written',
        'the same one',
      ],
      rows,
    ),
  ];
}

/** @param {{ count: number, indexBytes: number, reports: object }} measured */
function describeListing({ count, indexBytes, reports }) {
  const floor = callsOf(reports.floor).typical;
  const python = callsOf(reports.python).typical;
  const rows = [
    [NATIVE, reports.native],
    [PYTHON, reports.python],
    ['**floor**: index read and `JSON.parse`d', reports.floor],
  ]
    .filter(([, list]) => list)
    .map(([label, list]) => {
      const calls = callsOf(list);
      return [
        label,
        formatTime(medianOf(list, 'open')),
        formatTime(medianOf(list, 'first')),
        formatCalls(calls),
        formatRatio(calls.typical, floor),
        formatRatio(python, calls.typical),
        formatCalls(callsOf(list, 'timesAfterWrite')),
        formatStall(list.flatMap(({ stall }) => stall ?? [])),
        formatMegabytes(medianOf(list, 'peakMemory')),
        formatRight(list.every(({ listed }) => listed === count)),
      ];
    });
  return [
    `### Listing ${count.toLocaleString('en')} versions (an index of ${formatMegabytes(indexBytes)})`,
    markdownTable(
      [
        '',
        'open',
        'first call',
        'repeated, p50 / p95',
        'of the floor',
        "faster than Python's",
        'after the index was written',
        'stall',
        'RSS, peak',
        'all listed',
      ],
      rows,
    ),
  ];
}

/** @param {{ count: number, bytes: number, reports: object }} measured */
function describeVerifying({ count, bytes, reports }) {
  const floor = callsOf(reports.floorThreads).typical;
  const python = callsOf(reports.python).typical;
  const rows = [
    [NATIVE, reports.native],
    [`${PYTHON} (its check of each file, no index)`, reports.python],
    ['**floor**: every byte read and SHA-256, 1 thread', reports.floor],
    [`**floor**: every byte read and SHA-256, ${FLOOR_THREADS} threads`, reports.floorThreads],
  ]
    .filter(([, list]) => list)
    .map(([label, list]) => {
      const { typical } = callsOf(list);
      return [
        label,
        formatTime(medianOf(list, 'first')),
        formatTime(typical),
        formatRatio(typical, floor),
        formatRatio(python, typical),
        `${Math.round((count / typical) * 1000).toLocaleString('en')}/s`,
        formatStall(list.flatMap(({ stall }) => stall ?? [])),
        formatRight(list.every(({ checked, sound = count }) => checked === count && sound === count)),
      ];
    });
  return [
    `### Verifying a vault of ${count.toLocaleString('en')} capsules (${formatMegabytes(bytes)})`,
    markdownTable(
      [
        '',
        'first call',
        'repeated',
        `of the floor, ${FLOOR_THREADS} threads`,
        "faster than Python's",
        'capsules',
        'stall',
        'all checked',
      ],
      rows,
    ),
  ];
}

module.exports = { run };
