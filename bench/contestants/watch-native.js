'use strict';

/**
 * vvault-native: a watched vault, whose events carry the memories. It also judges each file's hash, which the others do not.
 */

const path = require('node:path');

/**
 * @param {import('./watched-files').Place} place
 * @param {import('./watched-files').Listener} listener
 */
async function create({ root }, listener) {
  const { Vault } = require(path.join(__dirname, '..', '..'));
  const vault = await Vault.open(root, { watch: true });
  for (const kind of ['imported', 'updated']) {
    vault.on(`capsule:${kind}`, ({ memories }) => listener.memories(memories));
  }
  vault.on('capsule:rejected', () => listener.half());
  vault.on('error', (error) => listener.error(error));
  return { close: () => vault.close() };
}

module.exports = { create };
