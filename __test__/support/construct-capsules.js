'use strict';

/**
 * Construct capsules as VVAULT's CapsuleForge writes them, with a right fingerprint of recipe F1: made here, so that a
 * test can say what must be read back to the byte.
 *
 * @typedef {null | boolean | number | string | Json[] | { [name: string]: Json }} Json
 *
 * @typedef {object} Wish
 * @property {string} instanceName
 * @property {string} uuid
 * @property {string} timestamp
 * @property {string[]} [memories] The short-term memories.
 */

const crypto = require('node:crypto');

/** The members of an entry in an instance's index, in VVAULT's order: no other is allowed there, and none may be missing. */
const ENTRY_KEYS = [
  'instance_name',
  'uuid',
  'timestamp',
  'filename',
  'fingerprint_hash',
  'tags',
  'capsule_version',
  'generator',
  'vault_source',
  'file_size',
  'created_at',
  'updated_at',
];
/** The members of an index, in VVAULT's order. */
const INDEX_KEYS = ['instance_name', 'capsules', 'tags', 'latest_uuid', 'created_at', 'updated_at'];

/**
 * The metadata of a capsule that is still to be sealed, as CapsuleForge writes it.
 *
 * @param {string} instanceName
 * @param {string} uuid
 * @param {string} timestamp
 */
function metadataOf(instanceName, uuid, timestamp) {
  return {
    instance_name: instanceName,
    uuid,
    timestamp,
    fingerprint_hash: '',
    tether_signature: 'EXAMPLE-SIG',
    capsule_version: '1.0.0',
    generator: 'CapsuleForge',
    vault_source: 'VVAULT',
  };
}

/**
 * A capsule's text: indented by 2 and without a newline at the end, as Python's `json.dump` writes it.
 *
 * @param {Wish} wish
 * @returns {string}
 */
function makeCapsule({ instanceName, uuid, timestamp, memories = [] }) {
  return sealCapsule({
    metadata: metadataOf(instanceName, uuid, timestamp),
    traits: { empathy: 8, persistence: 9 },
    personality: { personality_type: 'INFJ', cognitive_biases: ['planning_fallacy'] },
    memory: {
      short_term_memories: memories,
      long_term_memories: [],
      emotional_memories: [],
      procedural_memories: [],
      episodic_memories: [],
      memory_count: memories.length,
      last_memory_timestamp: timestamp,
    },
    environment: { system_info: { platform: 'Linux' } },
  });
}

/**
 * The text of a capsule, once its `metadata.fingerprint_hash` states its F1.
 *
 * @param {{ metadata: { [name: string]: Json }, [name: string]: Json }} capsule
 * @returns {string}
 */
function sealCapsule(capsule) {
  const { fingerprint_hash: _stated, ...metadata } = capsule.metadata;
  const fingerprint = crypto
    .createHash('sha256')
    .update(pythonText({ ...capsule, metadata }))
    .digest('hex');
  return JSON.stringify({ ...capsule, metadata: { ...capsule.metadata, fingerprint_hash: fingerprint } }, null, 2);
}

/**
 * What Python's `json.dumps(value, sort_keys=True)` gives, for ASCII strings and safe integers; anything on which Python
 * and JavaScript differ is refused.
 *
 * @param {Json} value
 * @returns {string}
 */
function pythonText(value) {
  if (typeof value === 'string') return pythonString(value);
  if (typeof value === 'number' && (!Number.isSafeInteger(value) || Object.is(value, -0))) {
    throw new RangeError(`only safe integers have the same text in Python and JavaScript: ${value}`);
  }
  if (Array.isArray(value)) return `[${value.map(pythonText).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  const members = Object.keys(value)
    .sort()
    .map((name) => `${pythonString(name)}: ${pythonText(value[name])}`);
  return `{${members.join(', ')}}`;
}

/** @param {string} text */
function pythonString(text) {
  if (/[^\0-~]/.test(text)) throw new RangeError(`only ASCII has the same text in Python and JavaScript: ${text}`);
  return JSON.stringify(text);
}

/**
 * The name under which VVAULT keeps a capsule.
 *
 * @param {string} instanceName
 * @param {string} timestamp
 */
function capsuleFilename(instanceName, timestamp) {
  return `${instanceName}_${timestamp.replaceAll(/[:.+]/g, '-')}.capsule`;
}

/**
 * A UUID that tells who made it and in which place.
 *
 * @param {number} maker from 0
 * @param {number} place from 0
 */
function uuidOf(maker, place) {
  const twelve = place.toString(16).padStart(12, '0');
  return `${maker.toString(16).padStart(8, '0')}-0000-4000-8000-${twelve}`;
}

/**
 * A moment as Python writes it; a later one for each place.
 *
 * @param {number} place from 0, below 86,400,000,000: microseconds of one day
 */
function timestampOf(place) {
  const milliseconds = new Date(Date.UTC(2026, 0, 1) + Math.floor(place / 1000)).toISOString().slice(0, -1);
  return `${milliseconds}${String(place % 1000).padStart(3, '0')}+00:00`;
}

module.exports = {
  ENTRY_KEYS,
  INDEX_KEYS,
  capsuleFilename,
  makeCapsule,
  metadataOf,
  pythonText,
  sealCapsule,
  timestampOf,
  uuidOf,
};
