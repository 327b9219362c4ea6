'use strict';

/**
 * What every suite needs: contestants in processes of their own, rounds in which they take turns, medians, tables.
 */

const { execFileSync, fork } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { temporaryRoot } = require('./vaults');

const REPOSITORY_ROOT = path.join(__dirname, '..');
const CHILD_SCRIPT = path.join(__dirname, 'child.js');
const CHILD_TIME_LIMIT_MS = 300_000;
const EXIT_TIME_LIMIT_MS = 5_000;

/**
 * Runs `task` of `module` in a process of its own and gives what it reports.
 * The process starts with an empty `XDG_CACHE_HOME`, so that nothing kept on disk by an earlier one helps it.
 * @param {string} module path of a module that exports `tasks`
 * @param {string} task name of one of them
 * @param {object} parameters anything that JSON can carry
 * @param {{ timeLimit?: number }} [options] `timeLimit` in milliseconds, after which the process is killed
 * @returns {Promise<object>} the task's report, with `endedByItself` added
 */
function runInChild(module, task, parameters, { timeLimit = CHILD_TIME_LIMIT_MS } = {}) {
  fs.mkdirSync(temporaryRoot(), { recursive: true });
  const cacheHome = fs.mkdtempSync(path.join(temporaryRoot(), 'cache-'));
  const { VVAULT_CACHE_DIR: _chosen, ...environment } = process.env;
  return new Promise((resolve, reject) => {
    const child = fork(CHILD_SCRIPT, [module, task, JSON.stringify(parameters)], {
      env: { ...environment, XDG_CACHE_HOME: cacheHome },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    let report;
    let endedByItself = true;
    let timer = setTimeout(() => child.kill('SIGKILL'), timeLimit);
    child.on('message', (message) => {
      report = message;
      clearTimeout(timer);
      timer = setTimeout(() => {
        endedByItself = false;
        child.kill('SIGKILL');
      }, EXIT_TIME_LIMIT_MS);
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      fs.rmSync(cacheHome, { recursive: true, force: true });
      if (!report) {
        reject(
          new Error(`${task} ended without a report (${signal ?? `code ${code}`}): ${JSON.stringify(parameters)}`),
        );
      } else if (report.error) {
        reject(new Error(report.error));
      } else {
        resolve({ ...report.result, endedByItself });
      }
    });
  });
}

/**
 * Lets contestants take turns: round by round, each round beginning with another one, so that a slow spell of the
 * machine hits all of them alike.
 * @template Report
 * @param {Array<{ key: string, rounds: number, run: () => Promise<Report> }>} turns
 * @param {{ beforeTurn?: () => Promise<void>, log: (text: string) => void }} options
 * @returns {Promise<Map<string, Report[]>>} the reports of each, in order of rounds
 */
async function takeTurns(turns, { beforeTurn, log }) {
  const reports = new Map(turns.map(({ key }) => [key, []]));
  const rounds = Math.max(0, ...turns.map((turn) => turn.rounds));
  for (let round = 0; round < rounds; round += 1) {
    for (let position = 0; position < turns.length; position += 1) {
      const turn = turns[(position + round) % turns.length];
      if (round < turn.rounds) {
        await beforeTurn?.();
        log(`round ${round + 1} of ${rounds}: ${turn.key}`);
        reports.get(turn.key).push(await turn.run());
      }
    }
  }
  return reports;
}

/** What stands in a table where there is nothing to tell. */
const NOTHING = '–';

/** @param {number | undefined} number */
function threeDigits(number) {
  return number >= 100 ? number.toFixed(0) : number >= 10 ? number.toFixed(1) : number.toFixed(2);
}

/** @param {number | undefined} milliseconds */
function formatTime(milliseconds) {
  if (!Number.isFinite(milliseconds)) {
    return NOTHING;
  }
  if (milliseconds < 1) {
    return `${threeDigits(milliseconds * 1000)} µs`;
  }
  return milliseconds < 1000 ? `${threeDigits(milliseconds)} ms` : `${threeDigits(milliseconds / 1000)} s`;
}

/** @param {number | undefined} bytes */
function formatMegabytes(bytes) {
  return Number.isFinite(bytes) ? `${threeDigits(bytes / 2 ** 20)} MB` : NOTHING;
}

/**
 * @param {number | undefined} value
 * @param {number | undefined} base
 */
function formatRatio(value, base) {
  if (!Number.isFinite(value) || !Number.isFinite(base) || base <= 0) {
    return NOTHING;
  }
  const ratio = value / base;
  return `${ratio >= 1000 ? Math.round(ratio).toLocaleString('en') : ratio < 0.1 ? Number(ratio.toPrecision(2)) : threeDigits(ratio)}×`;
}

/**
 * @param {string[]} head
 * @param {string[][]} rows
 */
function markdownTable(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** What was measured on, and what of. */
function machineFacts() {
  const cores = os.cpus();
  return {
    date: new Date().toISOString(),
    commit: gitFact(['rev-parse', '--short', 'HEAD']),
    uncommittedChanges: Boolean(gitFact(['status', '--porcelain', '--untracked-files=no'])),
    node: process.version,
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    processor: cores[0]?.model ?? 'unknown',
    cores: cores.length,
    memoryBytes: os.totalmem(),
    // What else the machine was doing: figures taken beside a compiler are worth little.
    loadBefore: os.loadavg()[0],
  };
}

/** @param {string[]} words */
function gitFact(words) {
  try {
    return (
      execFileSync('git', words, {
        cwd: REPOSITORY_ROOT,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim() || null
    );
  } catch {
    return null;
  }
}

module.exports = {
  NOTHING,
  REPOSITORY_ROOT,
  formatMegabytes,
  formatRatio,
  formatTime,
  machineFacts,
  markdownTable,
  runInChild,
  takeTurns,
};
