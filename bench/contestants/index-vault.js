'use strict';

/**
 * vvault-native: an open vault, watched or not, with the persistent index of `cacheDir` or without any.
 */

const path = require('node:path');

const { Vault } = require(path.join(__dirname, '..', '..'));

/** @param {{ root: string, users: string[], watch: boolean, cacheDir: string | null }} parameters */
async function create({ root, users, watch, cacheDir }) {
  const vault = await Vault.open(root, { watch, cacheDir });
  return {
    /** @param {import('../questions').Question} question */
    call: ({ userId, ...options }) => vault.readMemories(userId, options),
    freshness: () => vault.freshness(users[0]),
    close: () => vault.close(),
  };
}

module.exports = { create };
