'use strict';

/**
 * Changes files on request: as a module in the asker's process, or, when forked, as another process.
 */

const fs = require('node:fs');

/** @param {Array<['write', string, string] | ['rename', string, string] | ['remove', string]>} steps */
function apply(steps) {
  for (const [kind, target, argument] of steps) {
    if (kind === 'write') {
      fs.writeFileSync(target, argument);
    } else if (kind === 'rename') {
      fs.renameSync(target, argument);
    } else {
      fs.rmSync(target);
    }
  }
}

if (require.main === module) {
  process.on('message', (steps) => {
    apply(steps);
    process.send('done');
  });
}

module.exports = { apply };
