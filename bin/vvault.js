#!/usr/bin/env node
'use strict';

const { main } = require('../lib/command');

main(process.argv.slice(2)).then((code) => {
  // Not `process.exit`: what is still to be written comes out. What could not be written has set a code of its own.
  if (code !== 0) process.exitCode = code;
});
