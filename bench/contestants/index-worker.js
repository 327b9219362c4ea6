'use strict';

/**
 * Another contestant in a worker thread of its own, asked by `postMessage`: so a synchronous database leaves the event
 * loop alone.
 */

const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');

/** @param {{ worker: string }} vault `worker`: path of the other contestant's module */
function create(vault) {
  const worker = new Worker(__filename, { workerData: vault });
  /** @type {Map<number, { resolve: (rows: object[]) => void, reject: (error: Error) => void }>} */
  const waiting = new Map();
  let number = 0;
  worker.on('message', ({ number: answered, rows, error }) => {
    const { resolve, reject } = waiting.get(answered);
    waiting.delete(answered);
    if (error) {
      reject(error);
    } else {
      resolve(rows);
    }
  });
  return {
    /** @param {import('../questions').Question} question */
    call: (question) =>
      new Promise((resolve, reject) => {
        number += 1;
        waiting.set(number, { resolve, reject });
        worker.postMessage({ number, question });
      }),
    close: () => worker.terminate(),
  };
}

if (!isMainThread) {
  const contestant = require(workerData.worker).create(workerData);
  parentPort.on('message', async ({ number, question }) => {
    try {
      parentPort.postMessage({ number, rows: await contestant.call(question) });
    } catch (error) {
      parentPort.postMessage({ number, error });
    }
  });
}

module.exports = { create };
