'use strict';

/**
 * The quickest plain JavaScript that leaves the event loop alone: `readFile`, 64 at once, by callbacks (measured here
 * quicker than the same with promises).
 */

const fs = require('node:fs');
const path = require('node:path');

const { POOL_WIDTH, capsulesPathOf, isCapsuleName, memoryOf, newestByMoment, pooled } = require('./memories');

/** @param {{ root: string, userId: string }} vault */
function create(vault) {
  const capsulesPath = capsulesPathOf(vault);
  return {
    async call({ limit }) {
      const filenames = (await fs.promises.readdir(capsulesPath)).filter(isCapsuleName);
      const memories = new Array(filenames.length);
      await pooled([...filenames.keys()], POOL_WIDTH, (index, done) => {
        fs.readFile(path.join(capsulesPath, filenames[index]), 'utf8', (error, text) => {
          if (!error) {
            memories[index] = memoryOf(JSON.parse(text), filenames[index]);
          }
          done(error);
        });
      });
      return newestByMoment(memories, limit);
    },
    async close() {},
  };
}

module.exports = { create };
