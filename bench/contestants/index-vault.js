'use strict';

/**
 * vvault-native: an open vault, watched or not, with its persistent index in `cacheDir` (`null`: without any; not given: in the
 * system's cache folder).
 */

const path = require('node:path');

const { Vault } = require(path.join(__dirname, '..', '..'));

/** @param {{ root: string, users: string[], watch: boolean, cacheDir?: string | null }} parameters */
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
