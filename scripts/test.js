'use strict';

// Runs every test: those in Rust with debug assertions and overflow checks, those in JavaScript on the built package.

const { javaScriptTests, runSteps, succeeds } = require('./steps');

/** A file that takes longer has hung and fails; one whose tests are done ends, also where a failed one left a process. */
const LIMITS = ['--test-timeout=300000', '--test-force-exit'];

runSteps([
  { name: 'Rust tests', run: () => succeeds('cargo', 'test', '--locked') },
  {
    name: 'JavaScript tests',
    run: () => succeeds(process.execPath, '--test', '--test-reporter=spec', ...LIMITS, ...javaScriptTests()),
  },
]);
