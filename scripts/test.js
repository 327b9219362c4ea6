'use strict';

// Runs every test: those in Rust with debug assertions and overflow checks, those in JavaScript on the built package.

const { javaScriptTests, runSteps, succeeds } = require('./steps');

runSteps([
  { name: 'Rust tests', run: () => succeeds('cargo', 'test', '--locked') },
  {
    name: 'JavaScript tests',
    run: () => succeeds(process.execPath, '--test', '--test-reporter=spec', ...javaScriptTests()),
  },
]);
