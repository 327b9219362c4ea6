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
  return withToldProgress(output, unit, (tell) => {
    let done = 0;
    tell({ done, total });
    return work(() => {
      done += 1;
      tell({ done, total });
    });
  });
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
        if (total < MANY) return;
        bar = barOf(unit);
        bar.start(total, done, { rate: 0 });
      }
      bar.setTotal(total);
      const seconds = Math.max(0.001, (performance.now() - began) / 1000);
      bar.update(done, { rate: Math.round(done / seconds) });
    });
  } finally {
    bar?.stop();
  }
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
