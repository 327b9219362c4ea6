'use strict';

/**
 * The index: how a vault answers, opens and grows, at several sizes, beside databases that hold the same rows, plain
 * JavaScript, and the machine's floors. Every figure is of a process of its own, with the page cache warm.
 */

const fs = require('node:fs');
const path = require('node:path');

const { drawChart } = require('../chart');
const { capsulesPathOf } = require('../contestants/memories');
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
const { KINDS, shapeOf } = require('../questions');
const { median } = require('../statistics');
const { MEMORIES_PER_SESSION, ensureVault, ensureVaultOfUsers } = require('../vaults');

const MEASUREMENTS = path.join(__dirname, '..', 'measurements', 'index.js');
const CHART = 'index.svg';
/** From so many files on, slow contestants get one round. */
const LARGE = 50_000;
const MOST_ROUNDS = 3;
/** So often in a round each of ours is opened, and the floors are taken. */
const OPENINGS = 5;
const OPENINGS_OF_LARGE = 3;
const MILLION_USERS = 100;
const MILLION_PER_USER = 10_000;
/** A million files may take their time. */
const MILLION_TIME_LIMIT_MS = 1_800_000;
const REQUIREMENT_SIZE = 10_000;
/** For how long the questions of each kind are asked. */
const QUIET_MS = 100;
const ADDING_MS = 150;
/** Of slow contestants fewer answers are checked, and fewer come before those that count. */
const SLOW_CHECKED = 1;
/** What the drop-in takes no tags for. */
const KINDS_OF_DROP_IN = KINDS.filter((kind) => !kind.includes('tag'));

const contestant = (name) => path.join(__dirname, '..', 'contestants', `${name}.js`);
const DATABASES = { sqlite: contestant('index-sqlite'), lmdb: contestant('index-lmdb') };

const OURS = [contestant('index-vault'), contestant('native')];

/**
 * @typedef {object} Asked who is asked questions
 * @property {string} key
 * @property {string} label as in the tables
 * @property {string} module path of its module
 * @property {object} [extra] parameters of its own
 * @property {string[]} kinds of questions that it answers
 * @property {boolean} [adding] whether it is also asked while another process adds capsules
 * @property {string} [database] its name among `DATABASES`, if rows must be added to that instead of files
 * @property {boolean} [secondName] see `questions` of the measurements
 * @property {boolean} [rests] whether it has work to do in the background after a first answer, which is waited for
 * @property {boolean} [slow] whether a call takes longer the more files there are
 * @property {boolean} [oneUser] whether it takes vaults of one user only
 */

/** @type {Asked[]} */
const ASKED = [
  { key: 'nothing', label: 'empty process', module: contestant('nothing'), kinds: [] },
  {
    key: 'vault',
    label: '**vvault-native**, watching vault',
    module: contestant('index-vault'),
    extra: { watch: true },
    kinds: KINDS,
    adding: true,
    rests: true,
  },
  {
    key: 'vault-in-memory',
    label: '**vvault-native**, watching vault, `cacheDir: null`',
    module: contestant('index-vault'),
    extra: { watch: true, cacheDir: null },
    kinds: [],
  },
  {
    key: 'drop-in',
    label: '**vvault-native**, drop-in `readMemories`',
    module: contestant('native'),
    kinds: KINDS_OF_DROP_IN,
    adding: true,
    rests: true,
  },
  {
    key: 'swept',
    label: '**vvault-native**, drop-in, by the sweep',
    module: contestant('native'),
    kinds: ['newest'],
    secondName: true,
    slow: true,
    oneUser: true,
  },
  {
    key: 'sqlite-worker',
    label: 'better-sqlite3 in a worker thread, asked by `postMessage`',
    module: contestant('index-worker'),
    extra: { worker: DATABASES.sqlite },
    kinds: KINDS,
    adding: true,
    database: 'sqlite',
  },
  {
    key: 'sqlite',
    label: 'better-sqlite3 on the event loop, answered by `await Promise.resolve()`',
    module: DATABASES.sqlite,
    kinds: KINDS,
    adding: true,
    database: 'sqlite',
  },
  {
    key: 'lmdb-worker',
    label: 'lmdb in a worker thread, asked by `postMessage`',
    module: contestant('index-worker'),
    extra: { worker: DATABASES.lmdb },
    kinds: KINDS,
    adding: true,
    database: 'lmdb',
  },
  {
    key: 'lmdb',
    label: 'lmdb on the event loop, answered by `await Promise.resolve()`',
    module: DATABASES.lmdb,
    kinds: KINDS,
    adding: true,
    database: 'lmdb',
  },
  {
    key: 'array',
    label: 'plain: array kept by `fs.watch`, stale for a moment',
    module: contestant('index-array'),
    kinds: KINDS,
    adding: true,
    oneUser: true,
  },
  {
    key: 'cached',
    label: 'plain: cache checked by `statSync`',
    module: contestant('cached'),
    extra: { checking: 'sync' },
    kinds: ['newest'],
    adding: true,
    slow: true,
    oneUser: true,
  },
];

const vaultOpening = (key, label, extra) => ({
  key,
  label,
  module: contestant('index-vault'),
  extra,
  leaves: extra.cacheDir !== null,
});

/** Who is opened with what an earlier process has left; those with `leaves`, in a cache folder. */
const REOPENED = [
  vaultOpening('reopened', '**vvault-native**', { watch: false }),
  vaultOpening('reopened-watching', '**vvault-native**, watching', { watch: true }),
  {
    key: 'reopened-drop-in',
    label: '**vvault-native**, drop-in `readMemories`',
    module: contestant('native'),
    leaves: true,
  },
  { key: 'sqlite-opened', label: 'better-sqlite3 (checks nothing)', module: DATABASES.sqlite, database: 'sqlite' },
  { key: 'lmdb-opened', label: 'lmdb (checks nothing)', module: DATABASES.lmdb, database: 'lmdb' },
  {
    key: 'snapshot',
    label: 'plain: JSON cache file, every file checked by `statSync`',
    module: contestant('index-snapshot'),
    slow: true,
    oneUser: true,
  },
];

/** Who is opened with nothing. */
const COLD = [
  vaultOpening('cold', '**vvault-native**', { watch: false, cacheDir: null }),
  vaultOpening('cold-watching', '**vvault-native**, watching', { watch: true, cacheDir: null }),
  { key: 'cold-drop-in', label: '**vvault-native**, drop-in `readMemories`', module: contestant('native') },
];

const EVERYTHING = ASKED.filter(({ key }) => ['vault', 'drop-in', 'sqlite-worker', 'sqlite', 'lmdb'].includes(key)).map(
  (asked) => ({ ...asked, key: `all-${asked.key}` }),
);

/**
 * @typedef {object} Context
 * @property {number[]} sizes
 * @property {number} rounds
 * @property {boolean} million whether a vault of a million small files is measured too, once
 * @property {boolean} hasFloor
 * @property {boolean} hasSqlite
 * @property {boolean} hasLmdb
 * @property {boolean} hasNative
 * @property {(text: string) => void} log
 */

/**
 * @param {Context} context
 * @returns {Promise<{ data: object, markdown: string, files: Record<string, string> }>}
 */
async function run(context) {
  const measured = [];
  for (const size of context.sizes) {
    context.log(`index, ${size} files: making the vault`);
    const { root, userId, count, bytes } = ensureVault(size);
    measured.push(await measureVault({ root, users: [userId], count, bytes }, context.rounds, context));
  }
  if (context.million) {
    context.log('index, 1,000,000 files: making the vault');
    measured.push(await measureVault(ensureVaultOfUsers(MILLION_USERS, MILLION_PER_USER), 1, context));
  }
  const summaries = measured.map(summaryOf);
  return {
    data: { measured, summaries },
    markdown: describe(summaries, context),
    files: { [CHART]: chartOf(summaries.filter(({ users }) => users === 1)) },
  };
}

/**
 * @param {{ root: string, users: string[], count: number, bytes: number }} vault
 * @param {number} rounds
 * @param {Context} context
 */
async function measureVault({ root, users, count, bytes }, rounds, context) {
  const log = (text) => context.log(`index, ${count} files: ${text}`);
  const oneUser = users.length === 1;
  const isLarge = count >= LARGE;
  const shape = shapeOf({ root, users, perUser: count / users.length, memoriesPerSession: MEMORIES_PER_SESSION });
  const textPath = oneUser ? `${root}-index.json` : undefined;
  const vaultOf = (extra) => ({ root, users, userId: users[0], textPath, ...extra });

  const runTask = (task, parameters) =>
    runInChild(
      MEASUREMENTS,
      task,
      { shape, ...parameters },
      { timeLimit: oneUser ? undefined : MILLION_TIME_LIMIT_MS },
    );
  const isPresent = ({ key, module, database = key, oneUser: onlyOne = false }) =>
    (oneUser || !onlyOne) &&
    (context.hasNative || !OURS.includes(module)) &&
    (context.hasSqlite || database !== 'sqlite') &&
    (context.hasLmdb || database !== 'lmdb');
  const roundsOf = ({ slow = false }) => (isLarge && slow ? 1 : Math.min(rounds, MOST_ROUNDS));
  const turnOf = (task, one, parameters = {}) => ({
    key: one.key,
    rounds: roundsOf(one),
    run: () => runTask(task, { module: one.module, vault: vaultOf(one.extra), ...parameters }),
  });
  const openingRounds = roundsOf({}) * (!oneUser ? 1 : isLarge ? OPENINGS_OF_LARGE : OPENINGS);
  const folders = users.map((userId) => capsulesPathOf({ root, userId }));
  const floorTurns = [
    ...['stat', 'read'].map((operation) => ({
      key: `opening-${operation}-floor`,
      rounds: context.hasFloor ? openingRounds : 0,
      run: () => runTask('floor', { module: contestant('index-vault'), operation, folders }),
    })),
    {
      key: 'stat-floor',
      rounds: context.hasFloor ? roundsOf({}) : 0,
      run: async () => {
        const reports = [];
        for (const folder of folders) {
          reports.push(await runFloor('stat', folder, oneUser && !isLarge ? 7 : 3));
        }
        return { time: reports.reduce((sum, { milliseconds }) => sum + median(milliseconds), 0) };
      },
    },
  ];

  log('filling the databases');
  const stores = [
    ...Object.entries(DATABASES).map(([key, module]) => ({ key, module })),
    { key: 'snapshot', module: contestant('index-snapshot'), oneUser: true },
  ].filter(isPresent);
  const prepared = await runTask('prepare', { vault: { root }, stores, textPath });

  // First what needs a vault that nothing has changed since the stores were filled.
  const cacheRoot = `${root}-indexes`;
  fs.rmSync(cacheRoot, { recursive: true, force: true });
  const reopened = REOPENED.filter(isPresent).map((one) => {
    const cacheDir = path.join(cacheRoot, one.key);
    return one.leaves ? { ...one, extra: { ...one.extra, cacheDir } } : one;
  });
  const indexes = {};
  for (const one of reopened.filter(({ leaves }) => leaves)) {
    log(`leaving an index: ${one.key}`);
    indexes[one.key] = await runTask('leaveIndex', { module: one.module, vault: vaultOf(one.extra) });
  }
  const take = (turns, what, beforeTurn) => takeTurns(turns, { beforeTurn, log: (text) => log(`${what}, ${text}`) });
  const openingTurns = [...reopened, ...COLD.filter(isPresent)].map((one) => {
    const turn = turnOf('opening', one);
    return OURS.includes(one.module) ? { ...turn, rounds: openingRounds } : turn;
  });
  readEveryFile(folders);
  // Of a million files that would take longer than all the rest.
  const beforeOpening = oneUser ? async () => readEveryFile(folders) : undefined;
  const openings = await take([...openingTurns, ...floorTurns], 'opening', beforeOpening);
  fs.rmSync(cacheRoot, { recursive: true, force: true });

  const everything = await take(
    oneUser
      ? [
          ...EVERYTHING.filter(isPresent).map((one) => turnOf('everything', one)),
          turnOf('parseRows', { key: 'parse', slow: true }, { textPath }),
        ]
      : [],
    'all memories',
  );

  const questions = await take(
    ASKED.filter(isPresent).map((one) =>
      turnOf('questions', one, {
        shape: one.key === 'nothing' ? { ...shape, users: users.slice(0, 1) } : shape,
        kinds: one.kinds,
        rests: one.rests,
        milliseconds: QUIET_MS,
        checked: isLarge && one.slow ? SLOW_CHECKED : undefined,
        secondName: one.secondName,
        adding: one.adding && { milliseconds: ADDING_MS, database: DATABASES[one.database] },
      }),
    ),
    'questions',
  );
  return {
    count,
    bytes,
    users: users.length,
    prepared,
    indexes,
    reports: Object.fromEntries([...openings, ...everything, ...questions].filter(([, reports]) => reports.length > 0)),
  };
}

/**
 * Warms the page cache, and as far as the files fit in them the processor's.
 * @param {string[]} folders
 */
function readEveryFile(folders) {
  for (const folder of folders) {
    for (const name of fs.readdirSync(folder)) {
      fs.readFileSync(path.join(folder, name));
    }
  }
}

/** Medians over the rounds, from what the processes reported. */
function summaryOf({ count, bytes, users, prepared, indexes, reports }) {
  const over = (key, read) => median((reports[key] ?? []).map(read));
  const calls = (key, read) => ({
    p50: over(key, (report) => read(report)?.p50),
    p99: over(key, (report) => read(report)?.p99),
  });
  const empty = over('nothing', ({ memoryAfterReading }) => memoryAfterReading);
  const memoryOf = (key) => {
    const settled = over(key, ({ memoryAfterReading }) => memoryAfterReading);
    const afterQuestions = over(key, ({ memoryAfterQuestions }) => memoryAfterQuestions);
    return { settled, afterQuestions, each: (settled - empty) / count };
  };
  const isRight = (report) =>
    report.digests === undefined
      ? report.digest === prepared.first
      : Object.entries(report.digests).every(([kind, digests]) =>
          digests.every((digest, index) => digest === prepared.digests[kind][index]),
        );
  const asked = {};
  for (const { key, kinds } of ASKED.filter((one) => reports[one.key])) {
    const byKind = (name) =>
      Object.fromEntries(kinds.map((kind) => [kind, calls(key, (report) => report[name]?.[kind])]));
    asked[key] = {
      quiet: byKind('quiet'),
      adding: byKind('adding'),
      freshness: reports[key][0].freshness,
      sawLast: reports[key].map(({ sawLast }) => sawLast),
      memory: memoryOf(key),
      peak: over(key, ({ peakMemory }) => peakMemory),
      right: reports[key].every(isRight),
      endedByItself: reports[key].every(({ endedByItself }) => endedByItself),
    };
  }
  const opened = {};
  for (const { key } of [...REOPENED, ...COLD].filter((one) => reports[one.key])) {
    opened[key] = {
      load: over(key, ({ loadTime }) => loadTime),
      open: over(key, ({ openTime }) => openTime),
      first: over(key, ({ time }) => time),
      // With one user, the first answer is all there is to it.
      whole: over(key, ({ time, everyUserTime }) => (users === 1 ? time : everyUserTime)),
      second: over(key, ({ secondCall }) => secondCall),
      memory: memoryOf(key),
      right: reports[key].every(isRight),
      index: indexes[key]?.bytes,
    };
  }
  const everything = Object.fromEntries(EVERYTHING.map(({ key }) => [key, over(key, ({ p50 }) => p50)]));
  return {
    count,
    bytes,
    users,
    asked,
    opened,
    everything,
    allCounted: EVERYTHING.every(({ key }) => (reports[key] ?? []).every((report) => report.count === count)),
    parsed: over('parse', ({ parsed }) => parsed.p50),
    built: over('parse', ({ built }) => built.p50),
    fills: prepared.fills,
    empty,
    statFloor: over('stat-floor', ({ time }) => time),
    openingFloors: {
      stat: over('opening-stat-floor', ({ time }) => time),
      read: over('opening-read-floor', ({ time }) => time),
    },
  };
}

/** @param {{ p50?: number, p99?: number } | undefined} times */
function formatCalls(times) {
  if (!Number.isFinite(times?.p50)) {
    return NOTHING;
  }
  return Number.isFinite(times.p99) ? `${formatTime(times.p50)} / ${formatTime(times.p99)}` : formatTime(times.p50);
}

/** @param {number | undefined} bytes */
function formatBytes(bytes) {
  return Number.isFinite(bytes) ? Math.round(bytes).toLocaleString('en') : NOTHING;
}

/**
 * @param {ReturnType<typeof summaryOf>[]} summaries
 * @param {Context} context
 */
function describe(summaries, { hasNative, hasLmdb }) {
  const missing = [
    ...(hasNative ? [] : ['vvault-native: **not built**; `npm run build` first.']),
    ...(hasLmdb ? [] : ['Left out: lmdb could not be installed.']),
  ];
  return [
    '## The index',
    ...missing,
    `![How the figures grow with the vault](${CHART})`,
    ...describeGrowth(summaries),
    ...(hasNative ? describeRequirement(summaries) : []),
    ...summaries.flatMap(describeVault),
  ].join('\n\n');
}

/** @param {ReturnType<typeof summaryOf>} summary */
function describeVault(summary) {
  const { count, bytes, users, asked, opened, everything, parsed, built, fills, empty, statFloor, openingFloors } =
    summary;
  const present = ASKED.filter(({ key }) => asked[key]);
  const many = users > 1;
  const rightOf = ({ right, endedByItself = true }) =>
    right ? (endedByItself ? 'yes' : 'yes, but the process did not end') : '**no**';
  const questionRows = present
    .filter(({ kinds }) => kinds.length > 1)
    .map(({ key, label }) => [label, ...KINDS.map((kind) => formatCalls(asked[key].quiet[kind])), rightOf(asked[key])]);
  const addingRows = present
    .filter(({ kinds, adding }) => adding && kinds.length > 1)
    .map(({ key, label }) => [
      label,
      ...KINDS.map((kind) => formatCalls(asked[key].adding[kind])),
      asked[key].sawLast.every(Boolean) ? 'yes' : '**no**',
    ]);
  const freshRows = present
    .filter(({ key }) => ['drop-in', 'swept', 'cached'].includes(key))
    .map(({ key, label }) => [
      label,
      asked[key].freshness ?? NOTHING,
      formatCalls(asked[key].quiet.newest),
      formatRatio(asked[key].quiet.newest.p50, statFloor),
      formatCalls(asked[key].adding.newest),
      rightOf(asked[key]),
    ]);
  const openingRows = (list, floor) =>
    list
      .filter(({ key }) => opened[key])
      .map(({ key, label }) => [
        opened[key].index === 0 ? `${label} (**no persistent index is there**)` : label,
        formatTime(opened[key].load),
        formatTime(opened[key].open),
        formatTime(opened[key].first),
        ...(many ? [formatTime(opened[key].whole)] : []),
        formatRatio(opened[key].whole, floor),
        formatTime(opened[key].second),
        formatBytes(opened[key].memory.each),
        opened[key].index ? formatMegabytes(opened[key].index) : NOTHING,
        rightOf(opened[key]),
      ]);
  const openingHead = (floorName) => [
    '',
    'load',
    'open',
    'open and first answer',
    ...(many ? ['and one of every user'] : []),
    `of ${floorName} floor`,
    'next answer',
    'RSS for each memory',
    'index on disk',
    'rows right',
  ];
  const floorRow = (name, time) => [
    `**floor**: ${name}, 2 threads`,
    ...Array(many ? 3 : 2).fill(NOTHING),
    formatTime(time),
    '1×',
    ...Array(4).fill(NOTHING),
  ];
  const memoryRow = (label, { memory, peak }) => [
    label,
    formatMegabytes(memory.settled),
    formatBytes(memory.each),
    formatMegabytes(memory.afterQuestions),
    formatMegabytes(peak),
  ];
  const memoryRows = [
    ...REOPENED.filter(({ key, leaves }) => leaves && opened[key]).map(({ key, label }) =>
      memoryRow(`${label}, reopened`, opened[key]),
    ),
    ...present
      .filter(({ key }) => key !== 'nothing' && key !== 'swept')
      .map(({ key, label }) => memoryRow(label, asked[key])),
  ];
  const filled = Object.entries(fills)
    .map(([key, { time, bytes: size }]) => `${key} ${formatTime(time)} (${formatMegabytes(size)})`)
    .join(', ');
  return [
    `### ${count.toLocaleString('en')} files (${formatMegabytes(bytes)})${many ? ` of ${users} users` : ''}`,
    `Newest ten, p50 / p99, each question with another role, session, tag or hundredth of the time${many ? ', and another user' : ''}:`,
    markdownTable(['', ...KINDS, 'rows right'], questionRows),
    'The same while another process adds a capsule (or, to a database, its row) every 3 ms:',
    markdownTable(['', ...KINDS, 'the last one seen'], addingRows),
    'Always fresh, newest ten, p50 / p99:',
    markdownTable(
      ['', 'fresh by', 'repeated', 'of stat floor', 'while another process adds', 'rows right'],
      [
        ...freshRows,
        ['**floor**: list and stat every file, 2 threads', NOTHING, formatTime(statFloor), '1×', NOTHING, NOTHING],
      ],
    ),
    'Opening in a new process what an earlier one left, unchanged:',
    markdownTable(openingHead('stat'), [
      ...openingRows(REOPENED, openingFloors.stat),
      floorRow('list and stat every file', openingFloors.stat),
    ]),
    `Filled beforehand: ${filled}.`,
    'Opening with nothing left:',
    markdownTable(openingHead('read'), [
      ...openingRows(COLD, openingFloors.read),
      floorRow('list and read every byte', openingFloors.read),
    ]),
    ...(many
      ? []
      : [
          `All ${count.toLocaleString('en')} memories in one call (\`limit: 0\`)${summary.allCounted ? '' : ' – **not all of them came**'}:`,
          markdownTable(
            ['', 'call', 'of parsing and building'],
            [
              ...EVERYTHING.filter(({ key }) => Number.isFinite(everything[key])).map(({ key, label }) => [
                label,
                formatTime(everything[key]),
                formatRatio(everything[key], built),
              ]),
              ['`JSON.parse` of the same memories as one text', formatTime(parsed), formatRatio(parsed, built)],
              ['`JSON.parse` of the same rows, and each memory built', formatTime(built), '1×'],
            ],
          ),
        ]),
    `Resident memory, settled (an empty process: ${formatMegabytes(empty)}):`,
    markdownTable(['', 'after the first answer', 'bytes for each memory', 'after all questions', 'peak'], memoryRows),
  ];
}

/** The slowest kind of question by its p50: `p50` and `p99` of it. */
function slowestOf(calls) {
  return Object.values(calls).reduce(
    (slowest, one) => (one.p50 > (slowest?.p50 ?? 0) ? one : slowest),
    /** @type {{ p50?: number, p99?: number } | undefined} */ (undefined),
  );
}

const DATABASE_SERIES = ['sqlite-worker', 'sqlite', 'lmdb-worker', 'lmdb'];
const MEMORY_SERIES = ['vault', 'drop-in', 'sqlite', 'lmdb', 'array', 'cached'];

/** @typedef {(summary: ReturnType<typeof summaryOf>) => number | undefined} Figure */

/**
 * @param {string[]} keys of those who are asked
 * @param {(asked: object) => number | undefined} read
 * @returns {Record<string, Figure>}
 */
function linesOf(keys, read) {
  return Object.fromEntries(keys.map((key) => [key, ({ asked }) => asked[key] && read(asked[key])]));
}

/**
 * What is followed over the sizes: in the table and, but for the last, in the chart.
 * @type {{ title: string, format: (value: number) => string, lines: Record<string, Figure> }[]}
 */
const FIGURES = [
  {
    title: 'Newest ten, p50',
    format: formatTime,
    lines: linesOf(['vault', 'drop-in', ...DATABASE_SERIES, 'array'], (one) => one.quiet.newest?.p50),
  },
  {
    title: 'Slowest kind of filter, p50',
    format: formatTime,
    lines: linesOf(['vault', ...DATABASE_SERIES, 'array'], ({ quiet }) => slowestOf(quiet)?.p50),
  },
  {
    title: 'Newest ten while others add, p99',
    format: formatTime,
    lines: linesOf(['vault', 'drop-in', ...DATABASE_SERIES, 'array'], (one) => one.adding.newest?.p99),
  },
  {
    title: 'Reopening, to first answer',
    format: formatTime,
    lines: {
      vault: ({ opened }) => opened['reopened-watching']?.whole,
      'drop-in': ({ opened }) => opened['reopened-drop-in']?.whole,
      sqlite: ({ opened }) => opened['sqlite-opened']?.whole,
      lmdb: ({ opened }) => opened['lmdb-opened']?.whole,
      array: ({ opened }) => opened.snapshot?.whole,
      floor: ({ openingFloors }) => openingFloors.stat,
    },
  },
  {
    title: 'Nothing cached, to first answer',
    format: formatTime,
    lines: {
      vault: ({ opened }) => opened['cold-watching']?.whole,
      'drop-in': ({ opened }) => opened['cold-drop-in']?.whole,
      floor: ({ openingFloors }) => openingFloors.read,
    },
  },
  {
    title: 'Resident bytes for each memory',
    format: formatBytes,
    lines: {
      reopened: ({ opened }) => opened['reopened-watching']?.memory.each,
      ...linesOf(MEMORY_SERIES, ({ memory }) => memory.each),
    },
  },
  {
    title: 'All memories in one call',
    format: formatTime,
    lines: {
      ...Object.fromEntries(
        EVERYTHING.map(({ key }) => [key.slice('all-'.length), ({ everything }) => everything[key]]),
      ),
      parse: ({ built }) => built,
    },
  },
];

/** @type {Record<string, import('../chart').Series>} */
const SERIES = {
  vault: { label: 'vvault-native, watching', colour: '#c1121f', strong: true },
  'drop-in': { label: 'vvault-native, drop-in', colour: '#f08a24', strong: true },
  reopened: { label: 'vvault-native, watching, reopened', colour: '#c1121f', dashed: true },
  'sqlite-worker': { label: 'better-sqlite3 in a worker thread', colour: '#1d5fa8' },
  sqlite: { label: 'better-sqlite3 on the event loop', colour: '#1d5fa8', dashed: true },
  'lmdb-worker': { label: 'lmdb in a worker thread', colour: '#2a8f5b' },
  lmdb: { label: 'lmdb on the event loop', colour: '#2a8f5b', dashed: true },
  array: { label: 'plain JavaScript, array or JSON cache file', colour: '#8d5bb0' },
  cached: { label: 'plain JavaScript, cache checked by `statSync`', colour: '#8d5bb0', dashed: true },
  parse: { label: '`JSON.parse` of the same rows, and building', colour: '#777', dashed: true },
  floor: { label: 'the machine\u2019s floor, 2 threads', colour: '#777', dashed: true },
};

/** @param {ReturnType<typeof summaryOf>[]} summaries of vaults of one user */
function chartOf(summaries) {
  const panels = FIGURES.slice(0, -1).map(({ title, format, lines }) => ({
    title,
    format,
    lines: Object.fromEntries(
      Object.entries(lines).map(([key, read]) => [
        key,
        summaries.map((summary) => [summary.count, read(summary)]).filter(([, value]) => value > 0),
      ]),
    ),
  }));
  return drawChart({
    title: 'How vvault-native grows with the vault',
    note: 'Files in the vault from left to right; both scales are logarithmic; lower is better. Made by npm run bench.',
    series: SERIES,
    panels,
  });
}

/** @param {ReturnType<typeof summaryOf>} summary */
function nameOf({ count, users }) {
  return `${count.toLocaleString('en')}${users > 1 ? ` of ${users} users` : ''}`;
}

/** @param {ReturnType<typeof summaryOf>[]} summaries */
function describeGrowth(summaries) {
  const rows = FIGURES.flatMap(({ title, format, lines }) =>
    Object.entries(lines)
      .map(([key, read]) => ({ key, values: summaries.map(read) }))
      .filter(({ values }) => values.some(Number.isFinite))
      .map(({ key, values }, index) => [
        index === 0 ? title : '',
        SERIES[key].strong ? `**${SERIES[key].label}**` : SERIES[key].label,
        ...values.map((value) => (Number.isFinite(value) ? format(value) : NOTHING)),
      ]),
  );
  return [
    '### How each figure grows with the vault',
    'Reopening: the databases and the array check nothing, the JSON cache file checks every file.',
    markdownTable(['', '', ...summaries.map(nameOf)], rows),
  ];
}

/** @param {ReturnType<typeof summaryOf>[]} summaries */
function describeRequirement(summaries) {
  const worst = (calls, name) => Math.max(...Object.values(calls).map((one) => one[name] ?? Number.NaN));
  const quiet = (summary) => summary.asked.vault.quiet;
  const adding = (summary) => summary.asked.vault.adding;
  const against = (calls, others) => others && Math.max(...KINDS.map((kind) => calls[kind].p50 / others[kind].p50));
  /** @typedef {[name: string, asked: string, figure: (summary: ReturnType<typeof summaryOf>) => string]} Row */
  /** @type {(name: string, asked: string, kind: string, floor: 'stat' | 'read') => Row} */
  const opening = (name, asked, kind, floor) => [
    name,
    asked,
    (one) => formatRatio(one.opened[kind]?.whole, one.openingFloors[floor]),
  ];
  /** @type {Row[]} */
  const rows = [
    ['watching, newest ten, slowest kind, p50', 'at most 50 µs', (one) => formatTime(worst(quiet(one), 'p50'))],
    ['… p99', 'at most 500 µs', (one) => formatTime(worst(quiet(one), 'p99'))],
    [
      '… p50, of better-sqlite3 in a worker thread',
      'at most 1×',
      (one) => formatRatio(against(quiet(one), one.asked['sqlite-worker']?.quiet), 1),
    ],
    ['… while another process adds, p50', 'at most 50 µs', (one) => formatTime(worst(adding(one), 'p50'))],
    ['… p99', 'at most 500 µs', (one) => formatTime(worst(adding(one), 'p99'))],
    opening('reopening, of the stat floor', 'at most 2×', 'reopened', 'stat'),
    opening('reopening, drop-in, of the stat floor', 'at most 2×', 'reopened-drop-in', 'stat'),
    opening('reopening, watching, of the stat floor', 'at most 2×', 'reopened-watching', 'stat'),
    ['drop-in, repeated, p50', 'at most 100 µs', ({ asked }) => formatTime(asked['drop-in'].quiet.newest.p50)],
    [
      'drop-in by the sweep, of the stat floor',
      'at most 1.3×',
      ({ asked, statFloor }) => formatRatio(asked.swept?.quiet.newest.p50, statFloor),
    ],
    opening('nothing cached, of the read floor', 'at most 1.3×', 'cold', 'read'),
    opening('nothing cached, drop-in, of the read floor', 'at most 1.3×', 'cold-drop-in', 'read'),
    [
      'all memories, of parsing and building',
      `below 1× at ${REQUIREMENT_SIZE.toLocaleString('en')}`,
      ({ everything, built }) => formatRatio(everything['all-vault'], built),
    ],
    ['bytes for each memory, watching', 'reported', ({ asked }) => formatBytes(asked.vault.memory.each)],
    [
      'bytes for each memory, watching, reopened',
      'reported',
      ({ opened }) => formatBytes(opened['reopened-watching']?.memory.each),
    ],
  ];
  return [
    '### What is asked of the index, and what was measured',
    markdownTable(
      ['', 'asked', ...summaries.map(nameOf)],
      rows.map(([name, asked, figure]) => [name, asked, ...summaries.map(figure)]),
    ),
  ];
}

module.exports = { run };
