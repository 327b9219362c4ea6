'use strict';

const { SingleBar } = require('cli-progress');

/** @typedef {InstanceType<typeof import('./output').Output>} Output */

/** Less than this is done before anybody has read the bar. */
const MANY = 20;

/**
 * Shows a person how far a long work is, at which rate, and how long it will take. It is gone when the work ends.
 *
 * @template T
 * @param {Output} output
 * @param {number} total
 * @param {string} unit What is counted, such as `files`.
 * @param {(step: () => void) => Promise<T>} work Calls `step` for each; prints nothing.
 * @returns {Promise<T>}
 */
async function withProgress(output, total, unit, work) {
  if (!output.isWatched || total < MANY) return work(() => {});
  const bar = barOf(unit);
  const began = performance.now();
  let done = 0;
  bar.start(total, 0, { rate: 0 });
  try {
    return await work(() => {
      done += 1;
      bar.update(done, { rate: rateOf(done, began) });
    });
  } finally {
    bar.stop();
  }
}

/**
 * The same of a work that tells by itself how far it has come, as opening a vault does.
 *
 * @template T
 * @param {Output} output
 * @param {string} unit
 * @param {(tell: (progress: { done: number, total: number }) => void) => Promise<T>} work Prints nothing.
 * @returns {Promise<T>}
 */
async function withToldProgress(output, unit, work) {
  if (!output.isWatched) return work(() => {});
  const began = performance.now();
  /** @type {SingleBar | undefined} */
  let bar;
  try {
    return await work(({ done, total }) => {
      if (!bar) {
        bar = barOf(unit);
        bar.start(total, done, { rate: 0 });
      }
      bar.setTotal(total);
      bar.update(done, { rate: rateOf(done, began) });
    });
  } finally {
    bar?.stop();
  }
}

/**
 * @param {number} done
 * @param {number} began
 */
function rateOf(done, began) {
  return Math.round(done / Math.max(0.001, (performance.now() - began) / 1000));
}

/** @param {string} unit */
function barOf(unit) {
  const width = process.stderr.columns || 80;
  return new SingleBar({
    stream: process.stderr,
    format: `{bar} {percentage}% {value}/{total} ${unit} {rate}/s {eta_formatted} left`,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: Math.max(5, Math.min(40, width - 60)),
    clearOnComplete: true,
    // Cuts the bar to the terminal instead of switching the terminal's own wrapping off.
    linewrap: true,
    etaBuffer: 100,
  });
}

module.exports = { withProgress, withToldProgress };
