'use strict';

const { isNativeError } = require('node:util').types;

/**
 * An error of the engine.
 *
 * @typedef {Error & { code: string, path?: string }} VaultError
 */

/**
 * Makes an `Error` with `code` and `path` of what the binding threw: it carries both as JSON in its message.
 *
 * @param {unknown} thrown
 * @returns {Error}
 */
function toVaultError(thrown) {
  // Not by `instanceof`: Jest runs tests in a realm of its own, where the engine's errors are of another.
  if (!isNativeError(thrown)) {
    return new Error(messageOf(thrown), { cause: thrown });
  }
  if (!thrown.message.startsWith('{"code":"VVAULT_')) return thrown;
  /** @type {{ code: string, message: string, path?: string }} */
  let told;
  try {
    told = JSON.parse(thrown.message);
  } catch {
    return thrown;
  }
  return withCode(new (kindOf(told))(told.message), told.code, told.path);
}

/** What `Date` throws is of the kind that it throws. @param {{ code: string, message: string }} told */
function kindOf({ code, message }) {
  if (code !== 'VVAULT_TIMESTAMP') return Error;
  return message.startsWith('Maximum call stack size exceeded') ? RangeError : TypeError;
}

/**
 * @param {Error} error
 * @param {string} code
 * @param {string} [path]
 * @returns {VaultError}
 */
function withCode(error, code, path) {
  return Object.assign(error, path === undefined ? { code } : { code, path });
}

/** @param {unknown} thrown */
function messageOf(thrown) {
  const { message = thrown } = /** @type {{ message?: unknown }} */ (Object(thrown));
  return String(message);
}

/**
 * What somebody else's function threw, as far as it can be told: it may be anything.
 *
 * @param {unknown} thrown
 * @returns {{ message: string, code?: string, path?: string }}
 */
function toldOf(thrown) {
  const text = (/** @type {unknown} */ value) => (typeof value === 'string' ? value : undefined);
  try {
    const { code, path } = /** @type {Record<string, unknown>} */ (Object(thrown));
    return { message: messageOf(thrown), code: text(code), path: text(path) };
  } catch {
    return {
      message: `what was thrown is ${typeof thrown === 'function' ? 'a function' : 'an object'} without a text`,
    };
  }
}

/**
 * Says on the console what somebody else's function threw. That may be anything, and the console somebody else's too: here ends
 * what goes wrong with them.
 *
 * @param {string} words
 * @param {unknown} thrown
 */
function complain(words, thrown) {
  try {
    console.error(words, thrown);
  } catch {
    try {
      console.error(words, toldOf(thrown).message);
    } catch {}
  }
}

/**
 * The error of an argument that can't be taken.
 *
 * @param {string} message
 */
function refused(message) {
  return withCode(new TypeError(message), 'VVAULT_INVALID_ARGUMENT');
}

module.exports = { complain, refused, toVaultError, toldOf, withCode };
