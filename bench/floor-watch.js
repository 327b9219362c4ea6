'use strict';

/**
 * Compiles `floor-watch.c`, where there is a compiler for it.
 */

const { spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const { temporaryRoot } = require('./vaults');

const SOURCE = path.join(__dirname, 'floor-watch.c');

/** @returns {string | undefined} the program */
function ensureWatchFloor() {
  if (process.platform !== 'linux') {
    return undefined;
  }
  const state = createHash('sha256').update(fs.readFileSync(SOURCE)).digest('hex').slice(0, 12);
  const program = path.join(temporaryRoot(), `floor-watch-${state}`);
  if (!fs.existsSync(program)) {
    fs.mkdirSync(temporaryRoot(), { recursive: true });
    spawnSync(process.env.CC ?? 'cc', ['-O2', '-o', program, SOURCE], { stdio: ['ignore', 'ignore', 2] });
  }
  return fs.existsSync(program) ? program : undefined;
}

module.exports = { ensureWatchFloor };
