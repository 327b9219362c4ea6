'use strict';

/**
 * `npm run bench`: runs the suites of `suites/`, prints their tables, and keeps them in `results/`.
 *
 * `node bench/run.js [--sizes 1000,10000,100000] [--rounds 5] [--only read] [--quick] [--million]`
 */

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');

const { ensureFloor } = require('./floor');
const { REPOSITORY_ROOT, formatMegabytes, machineFacts } = require('./harness');

const SUITES_FOLDER = path.join(__dirname, 'suites');
const RESULTS_FOLDER = path.join(__dirname, 'results');

function readArguments() {
  const { values } = parseArgs({
    options: {
      sizes: { type: 'string' },
      rounds: { type: 'string' },
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      million: { type: 'boolean', default: false },
    },
  });
  const sizes = (values.sizes ?? (values.quick ? '1000' : '1000,10000,100000')).split(',').map(Number);
  const rounds = Number(values.rounds ?? (values.quick ? 2 : 5));
  if (![...sizes, rounds].every((number) => Number.isSafeInteger(number) && number > 0)) {
    throw new Error('--sizes and --rounds take whole numbers above 0');
  }
  const available = fs
    .readdirSync(SUITES_FOLDER)
    .filter((name) => name.endsWith('.js'))
    .map((name) => path.basename(name, '.js'))
    .sort();
  const suites = values.only ? values.only.split(',') : available;
  const unknown = suites.filter((suite) => !available.includes(suite));
  if (unknown.length > 0) {
    throw new Error(`no suite called ${unknown.join(', ')}; there are ${available.join(', ')}`);
  }
  return { sizes, rounds, suites, million: values.million };
}

/** Tells what goes on: on one line when a person is looking, else only the main steps. */
function makeLog() {
  if (!process.stderr.isTTY) {
    return (text) => process.stderr.write(`${text}\n`);
  }
  return (text) => process.stderr.write(`\r\x1b[K${text}`);
}

/** Whether `code` runs through in a Node.js process of its own: a broken addon must not take the benchmark along. */
function works(code) {
  return spawnSync(process.execPath, ['-e', code], { cwd: __dirname, stdio: 'ignore' }).status === 0;
}

const SQLITE_CHECK = 'new (require("better-sqlite3"))(":memory:").close()';
const LMDB_CHECK = `require('lmdb').open({ path: require('node:os').tmpdir() + '/vvault-native-bench-lmdb-check' }).close()`;
const NATIVE_CHECK = `if (typeof require(${JSON.stringify(REPOSITORY_ROOT)}).readMemories !== "function") throw 1`;

/** @param {(text: string) => void} log */
function ensureCompetitors(log) {
  if (!works(SQLITE_CHECK) || !works(LMDB_CHECK)) {
    log('installing what vvault-native is measured against (compiles better-sqlite3, about a minute)');
    spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: __dirname, stdio: ['ignore', 2, 2] });
  }
  return { hasSqlite: works(SQLITE_CHECK), hasLmdb: works(LMDB_CHECK) };
}

/** The addon files that were measured: which, how large, how old. */
function addonFiles() {
  const folder = path.join(REPOSITORY_ROOT, 'binding');
  if (!fs.existsSync(folder)) {
    return [];
  }
  return fs
    .readdirSync(folder)
    .filter((name) => name.endsWith('.node'))
    .map((name) => {
      const { size, mtime } = fs.statSync(path.join(folder, name));
      return { name, bytes: size, modified: mtime.toISOString() };
    });
}

async function main() {
  const { sizes, rounds, suites, million } = readArguments();
  const log = makeLog();
  const machine = { ...machineFacts(), addon: addonFiles() };
  const context = {
    sizes,
    rounds,
    log,
    million,
    ...ensureCompetitors(log),
    hasFloor: ensureFloor(log),
    hasNative: works(NATIVE_CHECK),
  };
  const results = { machine, sizes, rounds, suites: {} };
  const parts = [
    '# Benchmark',
    `${machine.date}, commit ${machine.commit ?? 'none'}${machine.uncommittedChanges ? ' with uncommitted changes' : ''}; ` +
      `Node.js ${machine.node}, ${machine.system}, ${machine.processor}, ${machine.cores} cores, ${formatMegabytes(machine.memoryBytes)}, load average before ${machine.loadBefore.toFixed(2)}. ` +
      `Medians of ${rounds} interleaved rounds (at most 3 from 50,000 files on, Chatty's way once), every one in a new process, page cache warm.`,
  ];
  for (const [present, name] of [
    [context.hasSqlite, 'better-sqlite3: could not be installed'],
    [context.hasFloor, 'the floor: could not be built'],
  ]) {
    if (!present) {
      parts.push(`Left out: ${name}.`);
    }
  }
  fs.mkdirSync(RESULTS_FOLDER, { recursive: true });
  for (const name of suites) {
    const { data, markdown, files = {} } = await require(path.join(SUITES_FOLDER, `${name}.js`)).run(context);
    results.suites[name] = data;
    parts.push(markdown);
    for (const [file, text] of Object.entries(files)) {
      fs.writeFileSync(path.join(RESULTS_FOLDER, file), text);
    }
  }
  const report = `${parts.join('\n\n')}\n`;
  fs.writeFileSync(path.join(RESULTS_FOLDER, 'latest.json'), `${JSON.stringify(results, null, 2)}\n`);
  fs.writeFileSync(path.join(RESULTS_FOLDER, 'latest.md'), report);
  log('');
  process.stdout.write(report);
}

main().catch((error) => {
  process.stderr.write(`\nbench: ${error?.stack ?? error}\n`);
  process.exitCode = 1;
});
