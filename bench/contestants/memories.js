'use strict';

/**
 * What the JavaScript contestants have in common: from a capsule's JSON to the memory that `readMemories` gives, and
 * from all memories to those asked for.
 */

const path = require('node:path');

/**
 * @param {object} capsule the parsed file
 * @param {string} filename
 */
function memoryOf(capsule, filename) {
  const capsuleId = path.basename(filename, '.json');
  return {
    id: capsuleId,
    type: 'capsule',
    timestamp: capsule.created_ts || capsule.timestamp || new Date().toISOString(),
    content: capsule.raw || capsule.content || '',
    role: capsule.role || 'system',
    metadata: {
      source: 'capsule',
      filename,
      capsuleId,
      tags: capsule.tags || [],
      consent: capsule.consent || 'unknown',
      embedModel: capsule.embed_model,
      hash: capsule.raw_sha256 || capsule.hash,
    },
  };
}

/**
 * The newest `limit` memories; 0 means all.
 * @param {object[]} memories left as they are
 * @param {number} limit
 */
function newestOf(memories, limit) {
  const newestFirst = [...memories].sort((left, right) => new Date(right.timestamp) - new Date(left.timestamp));
  return limit > 0 ? newestFirst.slice(0, limit) : newestFirst;
}

/**
 * As `newestOf`, with each timestamp parsed once instead of at every comparison.
 * @param {object[]} memories
 * @param {number} limit
 */
function newestByMoment(memories, limit) {
  const dated = memories.map((memory) => ({ memory, moment: Date.parse(memory.timestamp) }));
  dated.sort((left, right) => right.moment - left.moment);
  return (limit > 0 ? dated.slice(0, limit) : dated).map(({ memory }) => memory);
}

/** @param {{ root: string, userId: string }} vault */
function capsulesPathOf({ root, userId }) {
  return path.join(root, 'users', userId, 'capsules');
}

/** @param {string} filename */
function isCapsuleName(filename) {
  return filename.endsWith('.json');
}

/**
 * Starts `begin(item, done)` for every item, at most `width` at once.
 * @template Item
 * @param {Item[]} items
 * @param {number} width
 * @param {(item: Item, done: (error?: Error | null) => void) => void} begin
 * @returns {Promise<void>}
 */
function pooled(items, width, begin) {
  return new Promise((resolve, reject) => {
    let next = 0;
    let running = 0;
    const done = (error) => {
      running -= 1;
      if (error) {
        reject(error);
      } else if (next < items.length) {
        startNext();
      } else if (running === 0) {
        resolve();
      }
    };
    const startNext = () => {
      running += 1;
      const item = items[next];
      next += 1;
      begin(item, done);
    };
    if (items.length === 0) {
      resolve();
    }
    while (running < width && next < items.length) {
      startNext();
    }
  });
}

/** How many reads or stats the pooled contestants keep under way. */
const POOL_WIDTH = 64;

module.exports = { POOL_WIDTH, capsulesPathOf, isCapsuleName, memoryOf, newestByMoment, newestOf, pooled };
