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
  const width = process.stderr.columns || 80;
  const bar = new SingleBar({
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
  const began = performance.now();
  let done = 0;
  const rate = () => Math.round(done / Math.max(0.001, (performance.now() - began) / 1000));
  bar.start(total, 0, { rate: 0 });
  try {
    return await work(() => {
      done += 1;
      bar.update(done, { rate: rate() });
    });
  } finally {
    bar.stop();
  }
}

module.exports = { withProgress };
