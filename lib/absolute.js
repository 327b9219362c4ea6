'use strict';

const fs = require('node:fs');
const path = require('node:path');

/**
 * Where relative paths begin now. Node.js keeps the name that the working folder had when it was entered; it may have been
 * renamed since, and another may have its name.
 */
function workingFolder() {
  if (process.platform !== 'linux') return process.cwd();
  try {
    return fs.readlinkSync('/proc/self/cwd');
  } catch {
    return process.cwd();
  }
}

/**
 * What makes paths absolute that begin as a path does. An absolute one costs no question to the system.
 *
 * @param {string} first
 * @returns {(path: string) => string}
 */
function absoluteAs(first) {
  const folder = path.isAbsolute(first) ? '' : workingFolder();
  return (other) => path.resolve(folder, other);
}

module.exports = { absoluteAs };
