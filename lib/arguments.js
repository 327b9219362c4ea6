'use strict';

// What callers hand over: checked, with errors that say what is wrong.

const { refused, withCode } = require('./errors');

/**
 * @param {unknown} value
 * @param {string} name
 */
function text(value, name) {
  if (typeof value !== 'string' || value === '') throw refused(`${name} must be a non-empty string`);
  // It would become another.
  if (/\p{Surrogate}/u.test(value)) throw refused(`${name} must have no half of a surrogate pair`);
}

/**
 * Refuses what are no options, and a name that is written otherwise than an option's: it would be passed over in silence.
 *
 * @param {unknown} options
 * @param {readonly string[]} known
 */
function named(options, known) {
  if (typeof options !== 'object' || options === null) throw refused('options must be an object');
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const meant = known.find((own) => own.toLowerCase() === name.toLowerCase());
    if (meant) throw refused(`there is no option ${name}: it is called ${meant}`);
  }
}

/**
 * Refuses what are no options, and every name that is none: it might be the one that says whose.
 *
 * @param {unknown} options
 * @param {readonly string[]} known
 */
function exact(options, known) {
  named(options, known);
  const other = Object.keys(/** @type {object} */ (options)).find((name) => !known.includes(name));
  if (other !== undefined) throw refused(`there is no option ${other}: there are ${known.join(', ')}`);
}

/**
 * @param {unknown} value
 * @param {string} name
 */
function optionalText(value, name) {
  if (value !== undefined && value !== null && typeof value !== 'string') throw refused(`${name} must be a string`);
}

/**
 * @param {unknown} value
 * @param {string} name
 */
function optionalFunction(value, name) {
  if (value !== undefined && typeof value !== 'function') throw refused(`${name} must be a function`);
}

/**
 * Refuses what is no signal, of whatever realm or package, and throws the reason of one that was aborted already.
 *
 * @param {AbortSignal | null | undefined} signal
 */
function checkSignal(signal) {
  if (signal === undefined || signal === null) return;
  if (typeof signal.aborted !== 'boolean' || typeof signal.addEventListener !== 'function') {
    throw refused('signal must be an AbortSignal');
  }
  if (signal.aborted) throw reasonOf(signal);
}

/**
 * Why a signal was aborted. Those of other packages know no reasons.
 *
 * @param {AbortSignal} signal
 */
function reasonOf(signal) {
  return signal.reason ?? withCode(new Error('the call was ended by its signal'), 'VVAULT_ABORTED');
}

/**
 * A capsule's JSON text.
 *
 * @param {unknown} capsule
 * @param {number} [indent]
 */
function jsonOf(capsule, indent) {
  try {
    return JSON.stringify(capsule, null, indent) ?? 'null';
  } catch (thrown) {
    const { message } = /** @type {Error} */ (thrown);
    throw Object.assign(refused(`the capsule can't be written as JSON: ${message}`), { cause: thrown });
  }
}

module.exports = { checkSignal, exact, jsonOf, named, optionalFunction, optionalText, reasonOf, text };
