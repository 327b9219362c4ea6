'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const REPOSITORY = path.join(__dirname, '..');

/**
 * @typedef {object} Step
 * @property {string} name
 * @property {string} [leftOut] Why it is not run.
 * @property {() => boolean} [run] Whether all is well; prints what is not.
 */

/**
 * Runs a program in the repository, its output going to ours.
 *
 * @param {string} command
 * @param {...string} rest
 * @returns {boolean} Whether it ended well.
 */
function succeeds(command, ...rest) {
  const isScript = process.platform === 'win32' && command === 'npx';
  const { status, error } = spawnSync(command, rest, {
    cwd: REPOSITORY,
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: isScript,
  });
  if (error) console.error(`${command}: ${error.message}`);
  return status === 0;
}

/** The files of the JavaScript tests, from the repository. */
function javaScriptTests() {
  return fs
    .readdirSync(path.join(REPOSITORY, '__test__'))
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => path.join('__test__', name));
}

/**
 * Runs all steps, also those after one that fails, and prints how each ended. The process fails if one did.
 *
 * @param {Step[]} steps
 */
function runSteps(steps) {
  const rows = steps.map(({ name, leftOut, run }) => {
    if (run === undefined) return { name, ended: `left out: ${leftOut}` };
    console.log(`\n── ${name}`);
    const start = performance.now();
    const isWell = run();
    if (!isWell) process.exitCode = 1;
    return { name, ended: `${isWell ? 'ok' : 'FAILED'}, ${((performance.now() - start) / 1000).toFixed(1)} s` };
  });
  const width = Math.max(...rows.map(({ name }) => name.length));
  console.log('');
  for (const { name, ended } of rows) console.log(`${name.padEnd(width)}  ${ended}`);
}

module.exports = { REPOSITORY, javaScriptTests, runSteps, succeeds };
