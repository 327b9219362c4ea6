'use strict';

/** A small generator of pseudo-random numbers (mulberry32): the same seed gives the same numbers on every machine. */
class Dice {
  #state;

  /** @param {number} seed */
  constructor(seed) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) >>> 0;
  }

  /** @returns {number} from 0 up to, not including, 1 */
  fraction() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  /**
   * @param {number} least
   * @param {number} most
   * @returns {number} a whole number, both ends included
   */
  between(least, most) {
    return least + Math.floor(this.fraction() * (most - least + 1));
  }

  /**
   * @template T
   * @param {readonly T[]} choices not empty
   * @returns {T}
   */
  pick(choices) {
    return choices[this.between(0, choices.length - 1)];
  }
}

module.exports = { Dice };
