'use strict';

/**
 * Medians and percentiles. Whatever is no finite number is left out; of nothing, both are `undefined`.
 */

/**
 * @param {number[]} numbers
 * @param {number} share from 0 to 1
 * @returns {number | undefined} the smallest number that at least this share does not exceed
 */
function percentile(numbers, share) {
  const sorted = numbers.filter((number) => Number.isFinite(number)).sort((left, right) => left - right);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
}

/**
 * @param {number[]} numbers
 * @returns {number | undefined} the middle one, or the mean of the two in the middle
 */
function median(numbers) {
  const sorted = numbers.filter((number) => Number.isFinite(number)).sort((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? sorted[middle]
    : sorted.length === 0
      ? undefined
      : (sorted[middle - 1] + sorted[middle]) / 2;
}

module.exports = { median, percentile };
