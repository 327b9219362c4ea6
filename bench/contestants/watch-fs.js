'use strict';

/**
 * Bare `fs.watch`: every event is followed by a look at the file.
 */

const fs = require('node:fs');
const path = require('node:path');

const { readerOf } = require('./watched-files');

/**
 * @param {import('./watched-files').Place} place
 * @param {import('./watched-files').Listener} listener
 */
async function create(place, listener) {
  const read = readerOf(place, listener);
  const watcher = fs.watch(place.folder, (_event, filename) => {
    if (filename) {
      read(path.join(place.folder, filename));
    }
  });
  watcher.on('error', listener.error);
  return { close: async () => watcher.close() };
}

module.exports = { create };
