'use strict';

/**
 * Resolves when somebody ends the command, or nobody reads what it prints.
 *
 * @param {AbortSignal} nobodyReads
 * @returns {Promise<void>}
 */
function interrupted(nobodyReads) {
  return new Promise((resolve) => {
    const end = () => {
      // Whoever asks twice need not wait for the vault to be closed.
      process.off('SIGINT', end).off('SIGTERM', end);
      nobodyReads.removeEventListener('abort', end);
      resolve();
    };
    process.on('SIGINT', end).on('SIGTERM', end);
    if (nobodyReads.aborted) end();
    else nobodyReads.addEventListener('abort', end);
  });
}

module.exports = { interrupted };
