'use strict';

/** A number below it counts seconds, as Python does: so many milliseconds have passed in 1973. */
const SECONDS = 1e11;
const ISO = /^(\d{4}-\d\d-\d\d)(?:[T ]((?!24)\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(?:(Z)|([+-]\d\d):?(\d\d))?)?$/;

/**
 * A capsule's time in milliseconds since 1970, NaN if it is none, as the engine has it: ISO 8601, also as Python's `str`
 * writes it, or a number. One without a zone is UTC, so that nothing depends on the machine.
 *
 * @param {unknown} timestamp
 * @returns {number}
 */
function timeOfCapsule(timestamp) {
  if (typeof timestamp === 'number') {
    return new Date(Math.abs(timestamp) < SECONDS ? timestamp * 1000 : timestamp).getTime();
  }
  const found = typeof timestamp === 'string' ? ISO.exec(timestamp) : null;
  if (found === null) return Number.NaN;
  const [, day, clock = '00:00', , hours = '+00', minutes = '00'] = found;
  // V8 goes on counting where a month has ended.
  const isDay = new Date(Date.parse(day)).getUTCDate() === Number(day.slice(-2));
  return isDay ? Date.parse(`${day}T${clock}${hours}:${minutes}`) : Number.NaN;
}

module.exports = { timeOfCapsule };
