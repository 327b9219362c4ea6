'use strict';

const { CapsuleLoader } = require('./lib/capsule-loader');
const { readMemories } = require('./lib/read-memories');
const { Vault } = require('./lib/vault');

module.exports = { CapsuleLoader, Vault, readMemories };
