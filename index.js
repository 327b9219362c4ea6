'use strict';

// First of all: V8 optimizes what it rehearses while the rest is loaded.
require('./lib/reading');
const { createCapsuleHandler } = require('./lib/capsule-handler');
const { CapsuleLoader } = require('./lib/capsule-loader');
const { readMemories } = require('./lib/read-memories');
const { Vault } = require('./lib/vault');
const { VVAULTClient } = require('./lib/vvault-client');

module.exports = { CapsuleLoader, VVAULTClient, Vault, createCapsuleHandler, readMemories };
