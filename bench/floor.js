'use strict';

/**
 * The machine's floor: runs `examples/floor.rs`.
 */

const { execFile, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');

const { REPOSITORY_ROOT } = require('./harness');

const PROGRAM = path.join(
  process.env.CARGO_TARGET_DIR ?? path.join(REPOSITORY_ROOT, 'target'),
  'release',
  'examples',
  process.platform === 'win32' ? 'floor.exe' : 'floor',
);

/**
 * Builds the floor program unless it is there.
 * @param {(text: string) => void} log
 * @returns {boolean} whether there is one
 */
function ensureFloor(log) {
  if (process.platform !== 'linux') {
    log('the floor program measures Linux system calls only: left out');
    return false;
  }
  if (!fs.existsSync(PROGRAM)) {
    log('building the floor program');
    spawnSync('cargo', ['build', '--release', '--example', 'floor'], { cwd: REPOSITORY_ROOT, stdio: ['ignore', 2, 2] });
  }
  return fs.existsSync(PROGRAM);
}

/**
 * A process reads once, as one that makes its first call does: its threads and its memory are new, too.
 *
 * @param {'read' | 'stat'} operation
 * @param {string} folder
 * @param {number} rounds
 * @returns {Promise<{ milliseconds: number[], files: number, bytes: number }>}
 */
async function runFloor(operation, folder, rounds) {
  const inProcess = operation === 'read' ? 1 : rounds;
  const reports = [];
  for (let done = 0; done < rounds; done += inProcess) {
    const { stdout } = await promisify(execFile)(PROGRAM, [operation, folder, '--rounds', String(inProcess)]);
    reports.push(JSON.parse(stdout));
  }
  return { ...reports[0], milliseconds: reports.flatMap(({ milliseconds }) => milliseconds) };
}

module.exports = { ensureFloor, runFloor };
