'use strict';

/**
 * Noticing a file that another process writes: vvault-native beside chokidar, @parcel/watcher and bare `fs.watch`, all of them
 * reading and parsing it and handing its memories to a callback, and beside the machine's floor, inotify in C. Every
 * contestant gets its turn in a process of its own, round by round.
 */

const fs = require('node:fs');
const path = require('node:path');

const { ensureWatchFloor } = require('../floor-watch');
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
const { median, percentile } = require('../statistics');
const { USER_ID, ensureVault, temporaryRoot } = require('../vaults');

const MEASUREMENTS = path.join(__dirname, '..', 'measurements', 'watch.js');
const STORM = 10_000;
const ALONE = 200;
const ALONE_BUDGET_MS = 2_000;
const FEWER_ROUNDS = 3;
const CONSTRUCT_MEMORIES = 50;
const CAPSULES = ['users', USER_ID, 'capsules'];
const SHARED_MEMORY = '/dev/shm';
const SHARED_MEMORY_NEEDED = 2 ** 29;
const WAYS = { rename: 'written beside their places and renamed', direct: 'written in place' };

const NATIVE = 'native';
const FLOOR = 'floor';

/**
 * @typedef {object} Contestant
 * @property {string} key
 * @property {string} label as in the tables
 * @property {string} module path of its module
 * @property {object} [extra] parameters of its own
 * @property {string} [needs] the package that must be installed
 */

/** @type {Contestant[]} */
const CONTESTANTS = [
  { key: NATIVE, label: '**vvault-native**', module: 'watch-native' },
  { key: 'chokidar', label: 'chokidar 6', module: 'watch-chokidar', needs: 'chokidar' },
  {
    key: 'chokidar-finish',
    label: 'chokidar 6, `awaitWriteFinish` of 100 ms',
    module: 'watch-chokidar',
    extra: { awaitWriteFinish: { stabilityThreshold: 100, pollInterval: 20 } },
    needs: 'chokidar',
  },
  {
    key: 'chokidar-5',
    label: 'chokidar 5',
    module: 'watch-chokidar',
    extra: { version: 5 },
    needs: 'chokidar-5',
  },
  { key: 'parcel', label: '@parcel/watcher', module: 'watch-parcel', needs: '@parcel/watcher' },
  { key: 'fs', label: '`fs.watch`, bare', module: 'watch-fs' },
  { key: FLOOR, label: '**floor**: inotify in C, every byte read', module: 'watch-floor' },
].map((contestant) => ({
  ...contestant,
  module: path.join(__dirname, '..', 'contestants', `${contestant.module}.js`),
}));

/**
 * @param {{ sizes: number[], rounds: number, hasNative: boolean, log: (text: string) => void }} context
 * @returns {Promise<{ data: object, markdown: string }>}
 */
async function run(context) {
  const { Vault } = context.hasNative ? require(REPOSITORY_ROOT) : {};
  const program = ensureWatchFloor();
  const isPresent = ({ key, needs }) => {
    if (key === NATIVE) {
      return typeof Vault === 'function';
    }
    return key === FLOOR ? program !== undefined : needs === undefined || isInstalled(needs);
  };
  const present = CONTESTANTS.filter(isPresent).map((contestant) =>
    contestant.key === FLOOR ? { ...contestant, extra: { program } } : contestant,
  );
  const count = Math.min(STORM, Math.max(...context.sizes));
  const crowdPath = fs.mkdtempSync(path.join(watchedRoot(), 'vvault-native-bench-'));
  try {
    fs.cpSync(ensureVault(count).root, crowdPath, { recursive: true });
    const data = await measureAll(present, context, count, crowdPath);
    data.missing = CONTESTANTS.filter((contestant) => !isPresent(contestant)).map(({ label }) => label);
    return { data, markdown: describe(data) };
  } finally {
    fs.rmSync(crowdPath, { recursive: true, force: true });
  }
}

/**
 * @param {Contestant[]} present
 * @param {{ rounds: number, sizes: number[], log: (text: string) => void }} context
 * @param {number} count
 * @param {string} crowdPath a vault of so many files
 */
async function measureAll(present, context, count, crowdPath) {
  const data = { count };
  data.alone = await measureAlone(present, context, 'alone, an empty folder', withNewVault);
  data.crowd = await measureAlone(present, context, `alone, ${count} files there`, (use) => withCrowd(crowdPath, use));
  data.construct = await measureAlone(present, context, 'alone, construct capsules', withNewConstructs);
  data.storms = {};
  for (const way of Object.keys(WAYS)) {
    data.storms[way] = await measureStorm(present, context, count, way);
  }
  return data;
}

/**
 * Where the watched folders are made: in memory where there is room, so that a storm comes as fast as it can and no wait for a
 * disk is measured.
 */
function watchedRoot() {
  if (process.platform === 'linux' && fs.existsSync(SHARED_MEMORY)) {
    const { bavail, bsize } = fs.statfsSync(SHARED_MEMORY);
    if (bavail * bsize > SHARED_MEMORY_NEEDED) {
      return SHARED_MEMORY;
    }
  }
  fs.mkdirSync(temporaryRoot(), { recursive: true });
  return temporaryRoot();
}

/**
 * Some export no way for `require`: looked for, not loaded.
 * @param {string} name
 */
function isInstalled(name) {
  return fs.existsSync(path.join(__dirname, '..', 'node_modules', name, 'package.json'));
}

/**
 * @typedef {{ root: string, folder: string, suffix: string, memories: number }} Place
 * @typedef {(use: (place: Place) => Promise<object>) => Promise<object>} WithPlace
 */

/**
 * @param {string[]} below where in the vault the files arrive
 * @param {{ suffix: string, memories: number }} files
 * @param {(place: Place) => Promise<object>} use
 */
async function withFolder(below, files, use) {
  const root = fs.mkdtempSync(path.join(watchedRoot(), 'vvault-native-bench-'));
  try {
    const folder = path.join(root, ...below);
    fs.mkdirSync(folder, { recursive: true });
    return await use({ root, folder, ...files });
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
}

/** @type {WithPlace} */
function withNewVault(use) {
  return withFolder(CAPSULES, { suffix: '.json', memories: 1 }, use);
}

/** @type {WithPlace} */
function withNewConstructs(use) {
  return withFolder(['capsules', 'Nova'], { suffix: '.capsule', memories: CONSTRUCT_MEMORIES }, use);
}

/**
 * What is written there is removed again by the measurement.
 * @param {string} root
 * @param {(place: Place) => Promise<object>} use
 */
async function withCrowd(root, use) {
  return use({ root, folder: path.join(root, ...CAPSULES), suffix: '.json', memories: 1 });
}

/**
 * @param {Contestant[]} present
 * @param {{ rounds: number, log: (text: string) => void }} context
 * @param {string} name
 * @param {(contestant: Contestant) => Promise<object>} work
 * @param {(contestant: Contestant) => number} rounds
 */
async function measure(present, { log }, name, work, rounds) {
  const turns = present.map((contestant) => ({
    key: contestant.key,
    rounds: rounds(contestant),
    run: () => work(contestant),
  }));
  return Object.fromEntries(await takeTurns(turns, { log: (text) => log(`${name}, ${text}`) }));
}

/**
 * @param {Contestant[]} present
 * @param {{ rounds: number, sizes: number[], log: (text: string) => void }} context
 * @param {string} name
 * @param {WithPlace} withPlace
 */
function measureAlone(present, context, name, withPlace) {
  const count = Math.min(ALONE, Math.max(...context.sizes));
  const work = ({ module, extra }) =>
    withPlace(({ memories, ...place }) =>
      runInChild(MEASUREMENTS, 'alone', {
        module,
        place: { ...place, ...extra },
        count,
        memories,
        budget: ALONE_BUDGET_MS,
      }),
    );
  return measure(present, context, name, work, () => Math.min(context.rounds, FEWER_ROUNDS));
}

/**
 * @param {Contestant[]} present
 * @param {{ rounds: number, log: (text: string) => void }} context
 * @param {number} count
 * @param {keyof WAYS} way
 */
async function measureStorm(present, context, count, way) {
  const work = (task) => (contestant) =>
    withNewVault(({ memories, ...place }) =>
      runInChild(MEASUREMENTS, task, {
        module: contestant.module,
        place: { ...place, ...contestant.extra },
        count,
        memories,
        way,
      }),
    );
  const name = `storm of ${count}, ${way}`;
  const isOurs = ({ key }) => key === NATIVE || key === FLOOR;
  const timings = await measure(present, context, name, work('storm'), (contestant) =>
    isOurs(contestant) ? context.rounds : Math.min(context.rounds, FEWER_ROUNDS),
  );
  // Stalls are measured in other processes than times: the probe's timer costs processor time.
  const withLoop = present.filter(({ key }) => key !== FLOOR);
  const stalls = await measure(withLoop, context, `${name}, stalls`, work('stormStalls'), (contestant) =>
    isOurs(contestant) ? Math.min(context.rounds, FEWER_ROUNDS) : 1,
  );
  const { idle } = await measure([{ key: 'idle' }], context, `${name}, stalls`, work('idleStalls'), () =>
    Math.min(context.rounds, FEWER_ROUNDS),
  );
  return { timings, stalls, idle };
}

/** @param {object} data */
function describe({ count, missing, alone, crowd, construct, storms }) {
  const stormSummaries = Object.fromEntries(
    Object.entries(storms).map(([way, { timings, stalls }]) => [
      way,
      summaryOf(timings, (reports, key) => stormOf(reports, stalls[key] ?? [])),
    ]),
  );
  const summaries = [alone, crowd, construct].map((reports) => summaryOf(reports, aloneOf));
  return [
    '## Noticing what another process writes',
    ...(missing.length > 0 ? [`Left out, because not there: ${missing.join(', ')}.`] : []),
    "From the writer's close or rename to the callback that is given the parsed memories. The JavaScript watchers watch the " +
      'one folder, read each file that they are told of and parse it; vvault-native watches the whole vault, and checks hashes.',
    ...describeAlone(count, summaries),
    ...Object.keys(WAYS).flatMap((way) => describeStorm(count, way, stormSummaries[way])),
    ...describeRequirement(count, summaries, stormSummaries, Object.values(storms).map(idleOf)),
  ].join('\n\n');
}

/**
 * @template Summary
 * @param {Record<string, object[]>} reports
 * @param {(reports: object[], key: string) => Summary} summarize
 * @returns {Record<string, Summary>}
 */
function summaryOf(reports, summarize) {
  return Object.fromEntries(Object.entries(reports).map(([key, list]) => [key, summarize(list, key)]));
}

/**
 * @param {object[]} reports
 * @param {string} name
 */
function sum(reports, name) {
  return reports.reduce((total, report) => total + report[name], 0);
}

/** @param {object[]} reports */
function faultsOf(reports) {
  return {
    missed: sum(reports, 'missed'),
    twice: sum(reports, 'twice'),
    half: sum(reports, 'half'),
    wrong: sum(reports, 'wrong'),
    errors: [...new Set(reports.flatMap(({ errors }) => errors))],
    endedByItself: reports.every(({ endedByItself }) => endedByItself),
  };
}

/**
 * All times of all rounds together.
 * @param {object[]} reports
 */
function aloneOf(reports) {
  const times = reports.flatMap((report) => report.times);
  return {
    written: times.length,
    p50: median(times),
    // Of fewer the p99 would only be the longest.
    p99: times.length >= 100 ? percentile(times, 0.99) : undefined,
    ready: median(reports.map(({ ready }) => ready)),
    ...faultsOf(reports),
  };
}

/**
 * @param {object[]} reports
 * @param {object[]} stallReports
 */
function stormOf(reports, stallReports) {
  const over = (name) => median(reports.map((report) => report[name]));
  const worst = (numbers) => percentile(numbers, 1);
  const stalls = stallReports.map(({ stall }) => stall);
  return {
    storms: reports.length + stallReports.length,
    duration: over('duration'),
    p50: over('p50'),
    p99: over('p99'),
    worstP99: worst(reports.map(({ p99 }) => p99)),
    longest: over('longest'),
    microseconds: over('microseconds'),
    memoryBefore: over('memoryBefore'),
    peakMemory: over('peakMemory'),
    stall: median(stalls.map(({ longest }) => longest)),
    worstStall: worst(stalls.map(({ longest }) => longest)),
    busy: median(stalls.map(({ busy }) => busy)),
    ...faultsOf([...reports, ...stallReports]),
  };
}

/** @param {{ p50?: number, p99?: number }} times */
function formatTimes({ p50, p99 }) {
  return Number.isFinite(p99) ? `${formatTime(p50)} / ${formatTime(p99)}` : formatTime(p50);
}

/** @param {number} count */
function formatCount(count) {
  return count === 0 ? '0' : `**${count.toLocaleString('en')}**`;
}

/** What is wrong with what was told, beside missed, twice and half. @param {ReturnType<typeof faultsOf>} faults */
function formatTrouble({ wrong, errors, endedByItself }) {
  const troubles = [
    ...(wrong > 0 ? [`${wrong} with wrong memories`] : []),
    ...(errors.length > 0 ? [`told: ${errors.slice(0, 2).join('; ')}`] : []),
    ...(endedByItself ? [] : ['the process did not end']),
  ];
  return troubles.join(', ') || NOTHING;
}

/**
 * @param {number} count
 * @param {Record<string, ReturnType<typeof aloneOf>>[]} summaries
 */
function describeAlone(count, [alone, crowd, construct]) {
  const timeCells = (summary, key) => [
    formatTimes(summary[key]),
    key === FLOOR ? '1×' : formatRatio(summary[key].p50, summary[FLOOR]?.p50),
    key === NATIVE || key === FLOOR ? NOTHING : formatRatio(summary[key].p50, summary[NATIVE]?.p50),
  ];
  const rows = CONTESTANTS.filter(({ key }) => alone[key]).map(({ key, label }) => {
    const each = [alone[key], crowd[key], construct[key]];
    return [
      label,
      formatTime(crowd[key].ready),
      ...timeCells(alone, key),
      ...timeCells(crowd, key),
      ...timeCells(construct, key),
      ...['missed', 'twice', 'half'].map((name) => formatCount(sum(each, name))),
      formatTrouble({
        wrong: sum(each, 'wrong'),
        errors: [...new Set(each.flatMap(({ errors }) => errors))],
        endedByItself: each.every(({ endedByItself }) => endedByItself),
      }),
    ];
  });
  const ratios = ['of the floor', "vvault-native's"];
  return [
    '### One file at a time',
    'Half of them written in place, half beside it and renamed; p50 / p99. Memories of 6.5 KB; construct capsules of 20 KB with ' +
      `${CONSTRUCT_MEMORIES} memories and a fingerprint. "vvault-native's": how many times as long as vvault-native. Missed, told twice, ` +
      'handed over half: of all three.',
    markdownTable(
      [
        '',
        `ready, with ${count.toLocaleString('en')} files`,
        'empty folder',
        ...ratios,
        `${count.toLocaleString('en')} files there`,
        ...ratios,
        'construct capsule',
        ...ratios,
        'missed',
        'twice',
        'half',
        'trouble',
      ],
      rows,
    ),
  ];
}

/**
 * @param {number} count
 * @param {keyof WAYS} way
 * @param {Record<string, ReturnType<typeof stormOf>>} storm
 */
function describeStorm(count, way, storm) {
  const rows = CONTESTANTS.filter(({ key }) => storm[key]).map(({ key, label }) => {
    const summary = storm[key];
    return [
      label,
      (summary.storms * count).toLocaleString('en'),
      ...['missed', 'twice', 'half'].map((name) => formatCount(summary[name])),
      formatTimes(summary),
      formatTime(summary.longest),
      key === FLOOR ? '1×' : formatRatio(summary.p99, storm[FLOOR]?.p99),
      key === NATIVE || key === FLOOR ? NOTHING : formatRatio(summary.p99, storm[NATIVE]?.p99),
      formatStall(summary),
      formatTime(summary.microseconds / 1000 / count),
      key === FLOOR ? '1×' : formatRatio(summary.microseconds, storm[FLOOR]?.microseconds),
      formatMegabytes(summary.memoryBefore),
      formatMegabytes(summary.peakMemory),
      formatTime(summary.duration),
      formatTrouble(summary),
    ];
  });
  return [
    `### A storm of ${count.toLocaleString('en')} files, ${WAYS[way]}`,
    markdownTable(
      [
        '',
        'written',
        'missed',
        'twice',
        'half',
        'p50 / p99',
        'longest',
        'of the floor, p99',
        "vvault-native's, p99",
        'stall',
        'processor time for each',
        'of the floor',
        'RSS, before',
        'RSS, peak',
        'the writer took',
        'trouble',
      ],
      rows,
    ),
  ];
}

/** @param {{ stall?: number, worstStall?: number, busy?: number }} summary */
function formatStall({ stall, worstStall, busy }) {
  return Number.isFinite(stall)
    ? `${formatTime(stall)} (${formatTime(worstStall)}), busy ${formatTime(busy)}`
    : NOTHING;
}

/** @param {{ idle: { stall: { longest: number } }[] }} storm */
function idleOf({ idle }) {
  const longest = idle.map(({ stall }) => stall.longest);
  return { stall: median(longest), worstStall: percentile(longest, 1) };
}

/**
 * @param {number} count
 * @param {Record<string, ReturnType<typeof aloneOf>>[]} summaries
 * @param {Record<string, Record<string, ReturnType<typeof stormOf>>>} storms
 * @param {ReturnType<typeof idleOf>[]} idle
 */
function describeRequirement(count, [alone, crowd, construct], storms, idle) {
  if (!alone[NATIVE]) {
    return [];
  }
  const both = Object.values(storms).map((storm) => storm[NATIVE]);
  const worst = (name, storms = both) => formatTime(Math.max(...storms.map((storm) => storm[name])));
  return [
    '### What is asked, and what was measured',
    markdownTable(
      ['', 'asked', 'measured'],
      [
        ['alone, p50', 'at most 1 ms', formatTime(alone[NATIVE].p50)],
        [`alone, p50, ${count.toLocaleString('en')} files there`, 'at most 1 ms', formatTime(crowd[NATIVE].p50)],
        ['alone, p50, construct capsule', NOTHING, formatTime(construct[NATIVE].p50)],
        ['storms, missed', '0', formatCount(sum(both, 'missed'))],
        ['storms, twice', '0', formatCount(sum(both, 'twice'))],
        ['storms, half', '0', formatCount(sum(both, 'half'))],
        ['storms, p99 (worst round)', 'at most 100 ms', `${worst('p99')} (${worst('worstP99')})`],
        ['storms, event-loop stall (worst round)', 'at most 10 ms', `${worst('stall')} (${worst('worstStall')})`],
        [
          '… of a process that does nothing, beside the same writer',
          NOTHING,
          `${worst('stall', idle)} (${worst('worstStall', idle)})`,
        ],
      ],
    ),
  ];
}

module.exports = { run };
