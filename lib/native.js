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
      // A file that is not there is the usual case of another platform's package; the interesting one is the rest.
      if (cause.code !== 'MODULE_NOT_FOUND') reasons.push(cause.message);
    }
    const reason = reasons.at(-1) ?? 'no binary was found';
    const message =
      `vvault-native has no binary that works on ${process.platform}-${process.arch} (Node ${process.version}): ${reason}. ` +
      'Install it again for this platform (without --omit=optional), or build it with `npm run build` where Rust is installed.';
    throw withCode(new Error(message, { cause: thrown }), 'VVAULT_NO_BINARY');
  }
}

module.exports = load();
