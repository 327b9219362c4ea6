'use strict';

// The configuration with which Chatty runs a construct: as VVAULT's continuity bridge writes it, filled from the construct's
// real capsule.

const fs = require('node:fs/promises');
const path = require('node:path');
const native = require('./native');
const { text } = require('./arguments');
const { refused, withCode } = require('./errors');

/** @typedef {import('../index').ConstructState} ConstructState */
/** @typedef {import('../index').RestoredMemory} RestoredMemory */
/** @typedef {import('../index').RuntimeConfig} RuntimeConfig */
/**
 * The part of a vault that is used here.
 *
 * @typedef {object} Vault
 * @property {string} root
 * @property {(name: string, options: { userId: string }) => Promise<ConstructState>} restoreConstruct
 * @property {(file: string) => Promise<string>} readText
 * @property {(file: string, text: string) => Promise<void>} writeText
 */

const FILE = 'chatty_runtime.json';
const REGISTRATIONS = 'constructs';
const REGISTRATION = '_chatgpt.json';

/** As many as the bridge takes. */
const KEY_MEMORIES = 5;
/** Which memories are key memories, the likeliest first. Logs and sessions are what was said, not what is remembered. */
const KEY_KINDS = ['long-term', 'emotional', 'episodic', 'procedural', 'short-term'];
/** The length of generated instructions where the caller sets none: what ChatGPT takes for a GPT. */
const DEFAULT_LENGTH = 8000;

/** Bytes: as for an instance's name in the vault's store. */
const LONGEST_NAME = 180;
/** The vault's own folders, which can't be a construct's. */
const OWN_FOLDERS = new Set(['account', 'capsules', 'constructs', 'indexes', 'instances', 'users']);

/**
 * @param {Vault} vault
 * @param {string} constructId
 * @param {string} userId
 * @param {{ instructions?: string | null, write?: boolean, maxLength?: number | null }} [options]
 * @returns {Promise<RuntimeConfig>}
 */
async function createRuntimeConfig(vault, constructId, userId, options = {}) {
  const { instructions: given, write = false, maxLength } = options;
  for (const [name, value] of Object.entries({ constructId, userId })) text(value, name);
  if (given !== undefined && given !== null && typeof given !== 'string')
    throw refused('instructions must be a string');
  if (maxLength !== undefined && maxLength !== null && !(Number.isSafeInteger(maxLength) && maxLength > 0)) {
    throw refused('maxLength must be a whole number above 0');
  }
  checkName(constructId);

  const state = await stateOf(vault, constructId, userId);
  const gptName = await registeredName(vault, constructId);
  const name = textOf(state?.instanceName) ?? constructId;
  const chosen = keyMemories(state?.memories ?? []);
  const { instructions, memories } = given
    ? { instructions: cut(given, maxLength ?? Number.POSITIVE_INFINITY), memories: chosen }
    : instructionsOf({ name, state, gptName, chosen }, maxLength ?? DEFAULT_LENGTH);
  const config = {
    id: `${constructId}_${userId}`,
    name,
    description: `VVAULT construct ${constructId} with ChatGPT continuity`,
    instructions,
    construct_id: constructId,
    vvault_path: vault.root,
    has_persistent_memory: true,
    memory_source: /** @type {const} */ ('vvault'),
    chatgpt_continuity: gptName !== null,
    // Python's `utcnow().isoformat()`: microseconds, and no zone.
    created_at: new Date().toISOString().replace('Z', '000'),
    gpt_name: gptName || null,
    key_memories: memories.map(({ id, content }) => ({ id, content })),
  };
  if (write) await vault.writeText(path.join(vault.root, constructId, FILE), `${JSON.stringify(config, null, 2)}\n`);
  return config;
}

/**
 * The construct as this user's folders and the vault's own have it: another user's capsule is never looked at. Without any
 * capsule there is still a configuration, as the bridge makes one.
 *
 * @param {Vault} vault
 * @param {string} constructId
 * @param {string} userId
 * @returns {Promise<ConstructState | null>}
 */
async function stateOf(vault, constructId, userId) {
  try {
    return await vault.restoreConstruct(constructId, { userId });
  } catch (thrown) {
    if (/** @type {import('./errors').VaultError} */ (thrown).code !== 'VVAULT_NO_CONSTRUCT') throw thrown;
    return null;
  }
}

/**
 * @param {RestoredMemory[]} memories
 * @returns {RestoredMemory[]} The first of each kind in turn, none twice: some programs put one text into several lists.
 */
function keyMemories(memories) {
  const chosen = new Map();
  for (const kind of KEY_KINDS) {
    for (const memory of memories) {
      if (chosen.size === KEY_MEMORIES) break;
      const line = oneLine(memory.content);
      if (memory.metadata.kind === kind && line !== '' && !chosen.has(line)) chosen.set(line, memory);
    }
  }
  return [...chosen.values()];
}

/**
 * The bridge's words, with what it does not find in a capsule: traits, personality and memories. Memories that would make
 * them too long are left out whole; only if that is not enough, the text is cut.
 *
 * @param {{ name: string, state: ConstructState | null, gptName: string | null, chosen: RestoredMemory[] }} of
 * @param {number} length
 */
function instructionsOf({ name, state, gptName, chosen }, length) {
  const before = [
    `You are ${oneLine(name)}, a sovereign AI construct.`,
    'You have continuity across platforms - memories from multiple providers are preserved.',
    'Maintain your personality and knowledge from previous conversations.',
    ...described(state),
  ];
  const after = gptName
    ? [`\nYou were previously known as '${oneLine(gptName)}' in ChatGPT. This is a continuation, not a clone.`]
    : [];
  const written = (/** @type {RestoredMemory[]} */ memories) => {
    const lines = memories.map(({ content }) => `- ${oneLine(content)}`);
    return [...before, ...(lines.length > 0 ? ['\nKey memories:', ...lines] : []), ...after].join('\n');
  };
  /** @type {RestoredMemory[]} */
  let memories = [];
  for (const memory of chosen) {
    if (written([...memories, memory]).length <= length) memories = [...memories, memory];
  }
  return { instructions: cut(written(memories), length), memories };
}

/**
 * Traits and personality in lines.
 *
 * @param {ConstructState | null} state
 */
function described(state) {
  const traits = values(state?.traits);
  const personality = Object.entries(state?.personality ?? {})
    .map(([key, value]) => [key, isPlain(value) ? shown(value) : values(value)])
    .filter(([, value]) => value !== '')
    .map(([key, value]) => `- ${worded(key)}: ${value}`);
  return [
    ...(traits === '' ? [] : [`\nTraits: ${traits}`]),
    ...(personality.length === 0 ? [] : ['\nPersonality:', ...personality]),
  ];
}

/**
 * The plain members of an object or list, in their order; what is nested deeper says nothing in a sentence.
 *
 * @param {unknown} value
 */
function values(value) {
  const members = Object.entries(typeof value === 'object' && value !== null ? value : {});
  const plain = members.filter(([, member]) => isPlain(member));
  const isList = Array.isArray(value);
  return plain.map(([key, member]) => (isList ? shown(member) : `${worded(key)} ${shown(member)}`)).join(', ');
}

/** @param {unknown} value */
function isPlain(value) {
  return typeof value === 'number' || typeof value === 'boolean' || textOf(value) !== null;
}

/** @param {unknown} value */
function shown(value) {
  // Of a fraction at most twelve digits: sums have seventeen, as 0.30000000000000004.
  const isFraction = typeof value === 'number' && !Number.isInteger(value);
  return isFraction ? String(Number(value.toPrecision(12))) : oneLine(String(value));
}

/** @param {string} key */
function worded(key) {
  return oneLine(key.replaceAll('_', ' '));
}

/**
 * @param {unknown} value
 * @returns {string | null}
 */
function textOf(value) {
  return typeof value === 'string' && value.trim() !== '' ? value : null;
}

/**
 * What comes from a capsule stays in its line, and can't be taken for another section of the instructions.
 *
 * @param {string} text
 */
function oneLine(text) {
  return text.replaceAll(/[\n\v\f\r\u0085\u2028\u2029]\s*/g, ' ').trim();
}

/**
 * @param {string} text
 * @param {number} length In UTF-16 code units; no pair of them is parted.
 */
function cut(text, length) {
  if (text.length <= length) return text;
  const isParted = /[\ud800-\udbff]/.test(text[length - 1]) && /[\udc00-\udfff]/.test(text[length]);
  return text.slice(0, isParted ? length - 1 : length);
}

/**
 * The name that the construct has in ChatGPT: `''` if it is registered without one, `null` if it is not registered.
 *
 * @param {Vault} vault
 * @param {string} constructId
 */
async function registeredName({ root, readText }, constructId) {
  const folder = path.join(root, REGISTRATIONS);
  const names = await fs.readdir(folder).catch(() => []);
  const registered = names.filter((name) => name.endsWith(REGISTRATION)).sort();
  const isOf = (/** @type {string} */ name) => native.isSameConstruct(name.slice(0, -REGISTRATION.length), constructId);
  const own = `${constructId}${REGISTRATION}`;
  const name = registered.includes(own) ? own : registered.find(isOf);
  if (name === undefined) return null;
  const file = path.join(folder, name);
  try {
    const registration = JSON.parse(await readText(file));
    if (typeof registration !== 'object' || registration === null) throw new Error('it is no JSON object');
    return textOf(registration.gpt_name) ?? '';
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    console.warn(`⚠️ Failed to read registration file ${JSON.stringify(file)}:`, message);
    return null;
  }
}

/**
 * A construct's name becomes the name of its folder, by the rules for an instance's in the vault's store.
 *
 * @param {string} name
 */
function checkName(name) {
  const unfit = process.platform === 'win32' ? /[\p{Cc}/\\<>"|?*:]|[. ]$/u : /[\p{Cc}/\\]/u;
  let problem = '';
  if (name === '.' || name === '..') problem = 'it names a folder';
  else if (OWN_FOLDERS.has(name.toLowerCase())) problem = "it names one of the vault's own folders";
  else if (unfit.test(name)) problem = "it has a character that no file's name may have";
  else if (Buffer.byteLength(name) > LONGEST_NAME) problem = `it has more than ${LONGEST_NAME} bytes`;
  if (problem === '') return;
  throw withCode(
    new Error(`${JSON.stringify(name)} can't be the name of a construct's folder: ${problem}`),
    'VVAULT_INVALID_NAME',
  );
}

module.exports = { createRuntimeConfig };
