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

/**
 * Whether a path is a folder's own or one below it, as the names say: links may lead elsewhere.
 *
 * @param {string} folder
 * @param {string} other
 */
function isWithin(folder, other) {
  const way = path.relative(folder, other);
  return way !== '..' && !way.startsWith(`..${path.sep}`) && !path.isAbsolute(way);
}

module.exports = { absoluteAs, isWithin };
