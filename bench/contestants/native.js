'use strict';

/**
 * vvault-native itself, as Chatty calls it.
 */

const path = require('node:path');

const { connectorConfig } = require('../vaults');

/** @param {{ root: string, userId: string }} vault */
function create(vault) {
  const { readMemories } = require(path.join(__dirname, '..', '..'));
  const config = connectorConfig(vault.root);
  return {
    call: (options) => readMemories(config, vault.userId, options),
    async close() {},
  };
}

module.exports = { create };
