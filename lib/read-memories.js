'use strict';

const path = require('node:path');
const { cacheFolder } = require('./cache-folder');
const { MemoryReading } = require('./native');
const { refused, toVaultError, withCode } = require('./errors');
const { freshnessOf, invalid, memoriesOf, placesOf, requestOf, room, unchangedOf, warn } = require('./reading');

/** @typedef {import('../index').ReadMemoriesConfig} Config */
/** @typedef {import('../index').ReadMemoriesOptions} Options */
/** @typedef {import('../index').Memory} Memory */

/**
 * Chatty's `readMemories`: see `index.d.ts`. Everything that grows with the vault happens in Rust, on other threads;
 * here are only the rules on arguments and the log lines.
 *
 * @param {Config} config
 * @param {string} userId
 * @param {Options} [options]
 * @returns {Promise<Memory[]>}
 */
async function readMemories(config, userId, options = {}) {
  const problems = invalid(userId, options);
  if (problems.length > 0) {
    throw withCode(new Error(`Invalid read parameters: ${problems.join(', ')}`), 'VVAULT_INVALID_ARGUMENT');
  }
  try {
    return await read(config, userId, {
      limit: 10,
      sessionId: null,
      role: null,
      since: null,
      until: null,
      ...options,
    });
  } catch (thrown) {
    const error = /** @type {Error & { code?: string, path?: string }} */ (toVaultError(thrown));
    console.error('❌ Failed to read memories:', error);
    const failure = new Error(`Failed to read memories: ${error.message}`, { cause: error });
    const isOwn = String(error.code).startsWith('VVAULT_');
    throw withCode(failure, isOwn ? String(error.code) : 'VVAULT_READ_FAILED', error.path);
  }
}

/**
 * @param {Config} config
 * @param {string} userId
 * @param {Options} options
 * @returns {Promise<Memory[]>}
 */
async function read(config, userId, options) {
  // In Chatty's order, in which it stumbles over a faulty configuration.
  const { userPath } = placesOf(config.vvaultPath, config.directories.users, userId);
  const { capsules, transcripts } = config.directories;
  const reading = readingOf(config, userId, options);
  const later = room();
  if (later) await later;
  const unchanged = unchangedOf(reading);
  if (unchanged) return told(config, userId, options, unchanged.memories);
  const found = await reading.run();

  if (found.source === 'none') {
    warn(found);
    if (config.logging.debug) console.log(`👤 User directory not found: ${userPath}`);
    return [];
  }
  try {
    const capsulesPath = path.join(userPath, capsules);
    if (found.source === 'transcripts') {
      if (config.logging.debug) {
        console.log(`📁 No capsules directory found, reading from transcripts: ${capsulesPath}`);
      }
      // Throws where the name of the folder is faulty.
      path.join(userPath, transcripts);
    }
  } finally {
    // Also of a faulty configuration: what was met is not told again.
    warn(found);
  }

  const { memories } = await memoriesOf(reading, found);
  return told(config, userId, options, memories);
}

/**
 * @param {Config} config
 * @param {string} userId
 * @param {Options} options
 */
function readingOf(config, userId, options) {
  const request = requestOf(config.vvaultPath, config.directories, userId, options);
  request.cache = cacheFolder() ?? undefined;
  return new MemoryReading(request);
}

/**
 * @param {Config} config
 * @param {string} userId
 * @param {Options} options
 * @param {Memory[]} memories
 */
function told(config, userId, options, memories) {
  if (config.logging.logFileOps) {
    console.log(`🧠 Retrieved ${memories.length} memories for user: ${userId}`);
    if (options.sessionId) console.log(`   Filtered by session: ${options.sessionId}`);
  }
  return memories;
}

/**
 * @param {Config} config
 * @param {string} userId
 */
readMemories.freshness = async (config, userId) => {
  const [problem] = invalid(userId, {});
  if (problem) throw refused(problem);
  return freshnessOf(() => readingOf(config, userId, { limit: 1 }));
};

module.exports = { readMemories };
