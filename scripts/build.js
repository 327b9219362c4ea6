'use strict';

// Makes a fresh clone ready: installs the development packages if they are not there as locked, then compiles.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const root = path.join(__dirname, '..');
const run = (/** @type {string} */ command, /** @type {string[]} */ ...rest) =>
  execFileSync(command, rest, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' });

const lock = path.join(root, 'package-lock.json');
const installed = path.join(root, 'node_modules', '.installed-lock.json');
const isInstalled = fs.existsSync(installed) && fs.readFileSync(installed).equals(fs.readFileSync(lock));
if (!isInstalled) {
  // Not `npm ci`: it refuses a lock file that lacks other platforms' optional binaries, and not every registry has them.
  run('npm', 'install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund');
  fs.copyFileSync(lock, installed);
}
const generated = ['--output-dir', 'binding', '--js', 'index.js', '--dts', 'index.d.ts'];
run('npx', '--no-install', 'napi', 'build', '--platform', '--release', ...generated);
