'use strict';

/**
 * A process that does nothing but wait: what memory and stalls amount to before anybody has done anything.
 */

const { setTimeout: sleep } = require('node:timers/promises');

function create() {
  return {
    async call() {
      await sleep(100);
      return [];
    },
    async close() {},
  };
}

module.exports = { create };
