'use strict';

const { readerOf } = require('./watched-files');

/**
 * @param {import('./watched-files').Place & { version?: 5, awaitWriteFinish?: object }} place
 * @param {import('./watched-files').Listener} listener
 */
async function create({ version, awaitWriteFinish = false, ...place }, listener) {
  const { watch } = await import(version === 5 ? 'chokidar-5' : 'chokidar');
  const read = readerOf(place, listener);
  const watcher = watch(place.folder, {
    ignoreInitial: true,
    depth: 0,
    ignored: (path, stats) => Boolean(stats?.isFile()) && !path.endsWith(place.suffix),
    awaitWriteFinish,
  });
  watcher.on('add', read).on('change', read).on('error', listener.error);
  await new Promise((resolve) => watcher.once('ready', resolve));
  return { close: () => watcher.close() };
}

module.exports = { create };
