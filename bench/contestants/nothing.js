'use strict';

/**
 * A process that does nothing but wait, and then answers with nothing: what memory and stalls amount to before anybody has
 * done anything.
 */

const { setTimeout: sleep } = require('node:timers/promises');

function create() {
  let hasWaited = false;
  return {
    async call() {
      if (!hasWaited) await sleep(100);
      hasWaited = true;
      return [];
    },
    async close() {},
  };
}

module.exports = { create };
