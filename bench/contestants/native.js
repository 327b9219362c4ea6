'use strict';

/**
 * vvault-native itself, as Chatty calls it.
 */

const path = require('node:path');

const { connectorConfig } = require('../vaults');
const { readMemories } = require(path.join(__dirname, '..', '..'));

/** @param {{ root: string, userId: string, cacheDir?: string }} vault `cacheDir`: instead of the system's cache folder */
function create(vault) {
  if (vault.cacheDir) {
    process.env.VVAULT_CACHE_DIR = vault.cacheDir;
  }
  const config = connectorConfig(vault.root);
  return {
    call: ({ userId = vault.userId, ...options }) => readMemories(config, userId, options),
    freshness: () => readMemories.freshness(config, vault.userId),
    async close() {},
  };
}

module.exports = { create };
