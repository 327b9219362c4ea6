'use strict';

/** @typedef {import('node:test').TestContext} TestContext */

/** @type {WeakMap<TestContext, (() => unknown)[]>} */
const planned = new WeakMap();

/**
 * Does something when a test ends, the last planned first: what uses a folder is over when the folder is removed. Unlike
 * with `after`, each is done whatever the others do: nothing that holds the process stays because a removal failed.
 *
 * @param {TestContext} test
 * @param {() => unknown} action
 */
function atEnd(test, action) {
  const actions = planned.get(test) ?? [];
  if (actions.length === 0) {
    planned.set(test, actions);
    test.after(async () => {
      /** @type {unknown[]} */
      const errors = [];
      for (const action of actions.reverse()) {
        try {
          await action();
        } catch (error) {
          errors.push(error);
        }
      }
      if (errors.length > 0) throw errors.length === 1 ? errors[0] : new AggregateError(errors);
    });
  }
  actions.push(action);
}

/**
 * Gives this process its time zone back when a test ends.
 *
 * @param {TestContext} test
 */
function keepTimeZone(test) {
  const zone = process.env.TZ;
  atEnd(test, () => {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  });
}

/**
 * The end of a process, which is killed when the test ends before it.
 *
 * @param {TestContext} test
 * @param {import('node:child_process').ChildProcess} child
 * @returns {Promise<[number | null, NodeJS.Signals | null]>} Its exit code, or the signal that ended it.
 */
function endOf(test, child) {
  /** @type {Promise<[number | null, NodeJS.Signals | null]>} */
  const closed = new Promise((resolve) => child.once('close', (code, signal) => resolve([code, signal])));
  atEnd(test, () => {
    child.kill('SIGKILL');
    return closed;
  });
  return closed;
}

module.exports = { atEnd, endOf, keepTimeZone };
