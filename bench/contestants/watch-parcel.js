'use strict';

const { readerOf } = require('./watched-files');

/**
 * @param {import('./watched-files').Place} place
 * @param {import('./watched-files').Listener} listener
 */
async function create(place, listener) {
  const { subscribe } = require('@parcel/watcher');
  const read = readerOf(place, listener);
  const take = (error, events) => {
    if (error) {
      listener.error(error);
    }
    for (const { type, path } of events ?? []) {
      if (type !== 'delete') {
        read(path);
      }
    }
  };
  const subscription = await subscribe(place.folder, take, { ignore: ['*.tmp'] });
  return { close: () => subscription.unsubscribe() };
}

module.exports = { create };
