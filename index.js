'use strict';

const { CapsuleLoader } = require('./lib/capsule-loader');
const { readMemories } = require('./lib/read-memories');

module.exports = { CapsuleLoader, readMemories };
