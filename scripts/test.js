'use strict';

// Runs every test: those in Rust with debug assertions and overflow checks, those in JavaScript on the built package.

const fs = require('node:fs');
const path = require('node:path');

const { REPOSITORY, runSteps, succeeds } = require('./steps');

const tests = fs
  .readdirSync(path.join(REPOSITORY, '__test__'))
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => path.join('__test__', name));

runSteps([
  { name: 'Rust tests', run: () => succeeds('cargo', 'test', '--locked') },
  { name: 'JavaScript tests', run: () => succeeds(process.execPath, '--test', '--test-reporter=spec', ...tests) },
]);
