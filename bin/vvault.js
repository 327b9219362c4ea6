#!/usr/bin/env node
'use strict';

const { main } = require('../lib/command');

main(process.argv.slice(2)).then((code) => {
  // Not `process.exit`: what is still to be written comes out.
  process.exitCode = code;
});
