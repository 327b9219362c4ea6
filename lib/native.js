'use strict';

const { withCode } = require('./errors');

/**
 * Loads the compiled part. If that fails, one error says which platform, the loader's own reason, and what to do.
 *
 * @returns {typeof import('../binding')}
 */
function load() {
  try {
    return require('../binding');
  } catch (thrown) {
    const reasons = [];
    for (let cause = /** @type {any} */ (thrown); cause; cause = cause.cause) {
      // The generated loader tries one place after another, most of which are not there; what was there and could not be
      // loaded is the reason.
      if (!/^Cannot find (module|native binding)/.test(cause.message)) reasons.push(cause.message);
    }
    const reason = reasons.at(-1) ?? 'none is installed';
    const message =
      `vvault-native has no binary that works on ${process.platform}-${process.arch} (Node ${process.version}): ${reason}. ` +
      'Install it again for this platform (without --omit=optional), or build it with `npm run build` where Rust is installed.';
    throw withCode(new Error(message, { cause: thrown }), 'VVAULT_NO_BINARY');
  }
}

module.exports = load();
