'use strict';

// Runs the JavaScript tests on each supported line of Node.js, as it comes from the npm registry:
//
//   node scripts/test-node-versions.js             on 20, 22, 24 and 26
//   node scripts/test-node-versions.js 22 24.1.0   on these

const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { REPOSITORY, javaScriptTests, runSteps } = require('./steps');

const LINES = ['20', '22', '24', '26'];
const CACHE = path.join(REPOSITORY, 'node_modules', '.cache', 'node-versions');

/**
 * A Node.js of this version, installed where it is not there yet. No install script runs: the package holds the program.
 *
 * @param {string} version
 * @returns {string} The program's path.
 */
function nodeOf(version) {
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const system = `${platform}-${process.arch}`;
  const name = system === 'darwin-arm64' ? `node-bin-${system}` : `node-${system}`;
  const folder = path.join(CACHE, version);
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'package.json'), '{ "private": true }\n');
  const install = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', `${name}@${version}`];
  execFileSync('npm', install, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'], shell: platform === 'win' });
  return path.join(folder, 'node_modules', name, 'bin', platform === 'win' ? 'node.exe' : 'node');
}

/** @param {string} version */
function test(version) {
  const node = nodeOf(version);
  const told = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout;
  console.log(`Node.js ${told}`);
  // Tests that start `node` by its name get this one too.
  const PATH = [path.dirname(node), process.env.PATH].join(path.delimiter);
  const { status } = spawnSync(node, ['--test', '--test-reporter=dot', ...javaScriptTests()], {
    cwd: REPOSITORY,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, PATH },
  });
  return status === 0;
}

const asked = process.argv.slice(2);
runSteps(
  (asked.length > 0 ? asked : LINES).map((version) => ({ name: `Node.js ${version}`, run: () => test(version) })),
);
