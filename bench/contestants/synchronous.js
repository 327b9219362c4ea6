'use strict';

/**
 * The quickest plain JavaScript of all, at the price of a stopped event loop: a loop of `readFileSync`.
 */

const fs = require('node:fs');
const path = require('node:path');

const { capsulesPathOf, isCapsuleName, memoryOf, newestByMoment } = require('./memories');

/** @param {{ root: string, userId: string }} vault */
function create(vault) {
  const capsulesPath = capsulesPathOf(vault);
  return {
    async call({ limit }) {
      const memories = [];
      for (const filename of fs.readdirSync(capsulesPath).filter(isCapsuleName)) {
        memories.push(memoryOf(JSON.parse(fs.readFileSync(path.join(capsulesPath, filename), 'utf8')), filename));
      }
      return newestByMoment(memories, limit);
    },
    async close() {},
  };
}

module.exports = { create };
