'use strict';

/**
 * Vaults of construct capsules to measure the store on: one instance with `count` versions and its index, written
 * directly in the exact form that Python's VVAULTCore gives them. The same count gives the same bytes on every machine.
 */

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const {
  capsuleFilename,
  metadataOf,
  sealCapsule,
  timestampOf,
  uuidOf,
} = require('../__test__/support/construct-capsules');
const { seededRandom, temporaryRoot } = require('./vaults');

/** Raise it with every change to what is generated: older vaults are then made anew. */
const GENERATOR_VERSION = 1;
const INSTANCE = 'Nova';
const TAG = 'reviewed';
const TAGGED_EVERY = 10;
const STORED_AT = '2026-06-01T12:00:00.000001+00:00';
const MICROSECONDS_BETWEEN = 1_000_003;

const WORDS =
  'allotment bicycle cello chapter choir greenhouse harbour landlord letter photograph platform reading router slides sourdough swallows ticket'.split(
    ' ',
  );
const TRAITS = ['curiosity', 'drift', 'empathy', 'happiness', 'humour', 'patience', 'persistence', 'warmth'];
const SECTIONS = ['short_term_memories', 'long_term_memories', 'emotional_memories', 'procedural_memories'];

/**
 * One version, of about 3 KB like those of CapsuleForge.
 * @param {number} place in time
 * @returns {{ uuid: string, timestamp: string, filename: string, fingerprint: string, text: string }}
 */
function capsuleAt(place) {
  const random = seededRandom(0xca95 + place);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const sentence = () => Array.from({ length: 9 }, () => pick(WORDS)).join(' ');
  const uuid = uuidOf(1, place);
  const timestamp = timestampOf(place * MICROSECONDS_BETWEEN);
  const memories = Object.fromEntries(
    SECTIONS.map((section) => [section, Array.from({ length: 6 }, (_, line) => `${line}. ${sentence()}`)]),
  );
  const text = sealCapsule({
    metadata: metadataOf(INSTANCE, uuid, timestamp),
    traits: Object.fromEntries(TRAITS.map((trait) => [trait, Math.floor(random() * 100)])),
    personality: { personality_type: 'INFJ', cognitive_biases: ['planning_fallacy', 'projection_bias'] },
    memory: {
      ...memories,
      episodic_memories: [],
      memory_count: SECTIONS.length * 6,
      last_memory_timestamp: timestamp,
    },
    environment: { system_info: { platform: 'Linux' }, active_processes: [], network_connections: [] },
    additional_data: { identity: { status: 'default' }, continuity: { checkpoint: 'initial', version: '1.0' } },
  });
  const fingerprint = JSON.parse(text).metadata.fingerprint_hash;
  return { uuid, timestamp, filename: capsuleFilename(INSTANCE, timestamp), fingerprint, text };
}

/**
 * New versions to be stored into a vault of `count`.
 * @param {number} count how many are there already
 * @param {number} more
 * @returns {string[]} their texts
 */
function laterCapsules(count, more) {
  return Array.from({ length: more }, (_, place) => capsuleAt(count + place).text);
}

/**
 * @typedef {object} ConstructVault
 * @property {string} root
 * @property {string} instance
 * @property {number} count
 * @property {number} bytes of all capsules
 * @property {string} capsulesPath of the instance
 * @property {string} indexPath of the instance
 * @property {number} indexBytes
 */

/**
 * The vault of `count` versions; made unless it is there already. Not to be changed: `copyOf` gives one for that.
 * @param {number} count
 * @returns {ConstructVault}
 */
function ensureConstructVault(count) {
  const folder = path.join(temporaryRoot(), `constructs-${count}`);
  const stampPath = path.join(folder, 'complete.json');
  const vault = vaultAt(path.join(folder, 'vault'), count);
  if (!isComplete(stampPath, vault)) {
    fs.rmSync(folder, { recursive: true, force: true });
    const bytes = writeVault(vault);
    fs.writeFileSync(stampPath, JSON.stringify({ generatorVersion: GENERATOR_VERSION, bytes }));
  }
  const { bytes } = JSON.parse(fs.readFileSync(stampPath, 'utf8'));
  return { ...vault, bytes, indexBytes: fs.statSync(vault.indexPath).size };
}

/**
 * @param {string} root
 * @param {number} count
 */
function vaultAt(root, count) {
  return {
    root,
    instance: INSTANCE,
    count,
    capsulesPath: path.join(root, 'capsules', INSTANCE),
    indexPath: path.join(root, 'indexes', `${INSTANCE}_index.json`),
  };
}

/**
 * @param {string} stampPath
 * @param {{ capsulesPath: string, count: number }} vault
 */
function isComplete(stampPath, { capsulesPath, count }) {
  try {
    const { generatorVersion } = JSON.parse(fs.readFileSync(stampPath, 'utf8'));
    return generatorVersion === GENERATOR_VERSION && fs.readdirSync(capsulesPath).length === count;
  } catch {
    return false;
  }
}

/** @param {ReturnType<typeof vaultAt>} vault */
function writeVault({ capsulesPath, indexPath, count }) {
  fs.mkdirSync(capsulesPath, { recursive: true });
  fs.mkdirSync(path.dirname(indexPath), { recursive: true });
  const capsules = {};
  const tagged = [];
  let bytes = 0;
  let latest = null;
  for (let place = 0; place < count; place += 1) {
    const { uuid, timestamp, filename, fingerprint, text } = capsuleAt(place);
    fs.writeFileSync(path.join(capsulesPath, filename), text);
    const isTagged = place % TAGGED_EVERY === 0;
    if (isTagged) {
      tagged.push(uuid);
    }
    capsules[uuid] = {
      instance_name: INSTANCE,
      uuid,
      timestamp,
      filename,
      fingerprint_hash: fingerprint,
      tags: isTagged ? [TAG] : [],
      capsule_version: '1.0.0',
      generator: 'CapsuleForge',
      vault_source: 'VVAULT',
      file_size: Buffer.byteLength(text),
      created_at: STORED_AT,
      updated_at: STORED_AT,
    };
    bytes += Buffer.byteLength(text);
    latest = uuid;
  }
  const index = {
    instance_name: INSTANCE,
    capsules,
    tags: tagged.length > 0 ? { [TAG]: tagged } : {},
    latest_uuid: latest,
    created_at: STORED_AT,
    updated_at: STORED_AT,
  };
  fs.writeFileSync(indexPath, JSON.stringify(index, null, 2));
  return bytes;
}

/**
 * Lets `use` change a copy of a vault, written back to disk before it begins: nobody has to wait for the copying.
 * @template Result
 * @param {ConstructVault} vault
 * @param {(copy: ConstructVault) => Promise<Result>} use
 * @returns {Promise<Result>}
 */
async function withCopyOf(vault, use) {
  const folder = fs.mkdtempSync(path.join(temporaryRoot(), 'constructs-copy-'));
  try {
    fs.cpSync(vault.root, folder, { recursive: true });
    if (process.platform !== 'win32') {
      spawnSync('sync', ['-f', folder]);
    }
    return await use({ ...vault, ...vaultAt(folder, vault.count) });
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

module.exports = { INSTANCE, ensureConstructVault, laterCapsules, withCopyOf };
