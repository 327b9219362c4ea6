'use strict';

/**
 * Vaults to measure on: one user, `count` capsules of one memory each, laid out as Chatty lays them out
 * (`users/{user}/capsules/{memory id}.json`). The same count gives the same bytes on every machine.
 */

const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

/** Raise it with every change to what is generated: older vaults are then made anew. */
const GENERATOR_VERSION = 1;
const USER_ID = 'ava_1743500000000';
const DIMENSIONS = 384;
const MEMORIES_PER_SESSION = 24;
const FIRST_MOMENT = Date.UTC(2024, 0, 1, 6, 0, 0);

const PEOPLE = [
  'Mara',
  'Tomás',
  'Ingrid',
  'my brother',
  'the landlord',
  'Dr. Osei',
  'Yuki',
  'old Benedikt',
  'the choir',
];
const PLACES = [
  'Ghent',
  'the harbour',
  'Kraków',
  'the allotment',
  'platform 9',
  'the reading room',
  'Oulu',
  'the attic',
];
const THINGS = [
  'the cello',
  'a red bicycle',
  'the tax letter',
  'the sourdough starter',
  'chapter eleven',
  'the greenhouse heater',
  'the night train ticket',
  'the "quiet" playlist',
  'a box of slides from 1974',
  'the router',
  'the spare key',
];
const FEELINGS = ['relieved', 'tired but glad', 'uneasy', 'proud', 'homesick', 'curious', 'calm', 'a little angry'];
const WEEKDAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];

/** Each makes one sentence of what it picks. */
const USER_SENTENCES = [
  (pick) => `${pick(PEOPLE)} left ${pick(THINGS)} at ${pick(PLACES)} again.`,
  (pick, number) =>
    `Remind me on ${pick(WEEKDAYS)} that ${pick(THINGS)} costs ${number(20, 900)} euros, not ${number(901, 1400)}.`,
  (pick) => `I felt ${pick(FEELINGS)} when ${pick(PEOPLE)} talked about ${pick(PLACES)}.`,
  (pick, number) => `The meeting moved to ${number(8, 19)}:${number(10, 59)} and nobody told ${pick(PEOPLE)}.`,
  (pick) => `Please never bring up ${pick(THINGS)} before breakfast; after it, gladly.`,
  (pick, number) => `We counted ${number(3, 240)} swallows over ${pick(PLACES)} this morning 🐦.`,
  (pick) => `What was the word ${pick(PEOPLE)} used for ${pick(THINGS)}? It began with "schl".`,
  (pick) => `På ${pick(PLACES)} köpte jag ${pick(THINGS)}, och ${pick(PEOPLE)} skrattade.`,
  (pick, number) => `Ran ${number(3, 21)} km past ${pick(PLACES)}.\nSlept badly, still ${pick(FEELINGS)}.`,
  (pick) => `昨日、${pick(PLACES)}で${pick(PEOPLE)}に会った。`,
  (pick, number) => `The path is C:\\photos\\${number(1990, 2024)}\\scan.tif, and ${pick(PEOPLE)} has the originals.`,
];
const ASSISTANT_SENTENCES = [
  (pick) => `You told me that ${pick(THINGS)} matters to you because of ${pick(PEOPLE)}.`,
  (pick, number) => `Noted: ${number(2, 12)} weeks, then ask again about ${pick(THINGS)}.`,
  (pick) => `Last time you were ${pick(FEELINGS)} after ${pick(PLACES)}; shall we plan around that?`,
  (pick) => `Preference learned: short answers on ${pick(WEEKDAYS)}, the long version at the weekend.`,
  (pick, number) => `That makes ${number(2, 40)} times, and ${pick(PEOPLE)} was there for most of them.`,
  (pick) => `I read it as: ${pick(THINGS)} stays at ${pick(PLACES)} until ${pick(WEEKDAYS)}.`,
];
const SYSTEM_SENTENCES = [
  (pick, number) => `Session summary: ${pick(THINGS)}, ${pick(PLACES)}, ${pick(PEOPLE)}; ${number(4, 60)} messages.`,
  (pick) => `Rule agreed: ${pick(PEOPLE)} is never quoted by name outside ${pick(PLACES)}.`,
];
const EXTRA_TAGS = ['family', 'health', 'home', 'music', 'plans', 'rule', 'story', 'travel', 'work'];

/**
 * A small seeded generator (mulberry32): the same seed, the same numbers.
 * @param {number} seed
 * @returns {() => number} numbers from 0 up to 1
 */
function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * A vector of about length one, its parts rounded to seven places as in real capsules.
 * @param {() => number} random
 */
function embeddingOf(random) {
  const parts = new Array(DIMENSIONS);
  for (let index = 0; index < DIMENSIONS; index += 1) {
    const nearlyNormal = random() + random() + random() - 1.5;
    parts[index] = Math.round((nearlyNormal / (0.5 * Math.sqrt(DIMENSIONS))) * 1e7) / 1e7;
  }
  return parts;
}

/**
 * The capsules of a vault, oldest first; no two carry the same moment.
 * @param {number} count
 * @returns {Generator<{ name: string, text: string }>} file name and file content
 */
function* capsules(count) {
  const random = seededRandom(0x5eed + count);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const number = (from, to) => from + Math.floor(random() * (to - from + 1));
  let moment = FIRST_MOMENT;
  for (let index = 0; index < count; index += 1) {
    moment += number(1, 1100) * 1000;
    const roleDraw = random();
    const role = roleDraw < 0.6 ? 'user' : roleDraw < 0.93 ? 'assistant' : 'system';
    const sentences = role === 'user' ? USER_SENTENCES : role === 'assistant' ? ASSISTANT_SENTENCES : SYSTEM_SENTENCES;
    // Mostly a line or two, now and then a long one.
    const length = random() < 0.08 ? number(8, 24) : number(1, 5);
    const raw = Array.from({ length }, () => pick(sentences)(pick, number)).join(' ');
    const hash = crypto.createHash('sha256').update(raw).digest('hex');
    const tags = new Set(['conversation']);
    while (random() < 0.3) {
      tags.add(pick(EXTRA_TAGS));
    }
    const session = Math.floor(index / MEMORIES_PER_SESSION) + 1;
    const identifier = `ava_chatty_${String(index).padStart(6, '0')}_${hash.slice(0, 12)}`;
    const capsule = {
      memory_id: identifier,
      source_id: `chatty_session${String(session).padStart(4, '0')}`,
      created_ts: new Date(moment).toISOString().replace('.000Z', 'Z'),
      raw,
      raw_sha256: hash,
      embed_model: 'all-MiniLM-L6-v2:1.0.0',
      embedding: embeddingOf(random),
      consent: random() < 0.9 ? 'self' : 'partner',
      tags: [...tags],
      role,
    };
    yield { name: `${identifier}.json`, text: JSON.stringify(capsule, null, 2) };
  }
}

/**
 * Capsules of about 300 bytes, without embeddings, oldest first; no two carry the same moment.
 * @param {number} seed
 * @param {number} count
 * @returns {Generator<{ name: string, text: string }>} file name and file content
 */
function* smallCapsules(seed, count) {
  const random = seededRandom(seed);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const number = (from, to) => from + Math.floor(random() * (to - from + 1));
  let moment = FIRST_MOMENT;
  for (let index = 0; index < count; index += 1) {
    moment += number(1, 1100) * 1000;
    const role = pick(['user', 'assistant', 'system']);
    const raw = `${pick(THINGS)}, ${pick(PLACES)}, ${number(0, 99)}`;
    const identifier = `m${String(index).padStart(6, '0')}`;
    const capsule = {
      memory_id: identifier,
      source_id: `chatty_session${String(Math.floor(index / MEMORIES_PER_SESSION) + 1).padStart(4, '0')}`,
      created_ts: new Date(moment).toISOString().replace('.000Z', 'Z'),
      raw,
      raw_sha256: crypto.createHash('sha256').update(raw).digest('hex'),
      consent: 'self',
      tags: random() < 0.4 ? [pick(EXTRA_TAGS)] : [],
      role,
    };
    yield { name: `${identifier}.json`, text: JSON.stringify(capsule) };
  }
}

/** Where everything that the benchmarks make is kept between runs. */
function temporaryRoot() {
  return path.join(os.tmpdir(), 'vvault-native-bench');
}

/**
 * The vault of `count` capsules; made unless it is there already.
 * @param {number} count
 * @param {{ label?: string, anew?: boolean }} [options] a label of its own for a vault that a suite will change; `anew` makes it again
 * @returns {{ root: string, userId: string, capsulesPath: string, count: number, bytes: number }}
 */
function ensureVault(count, { label = 'plain', anew = false } = {}) {
  const root = path.join(temporaryRoot(), `${label}-${count}`);
  const capsulesPath = path.join(root, 'users', USER_ID, 'capsules');
  const stampPath = path.join(root, 'complete.json');
  const stamp = anew ? undefined : readStamp(stampPath);
  if (stamp && stamp.generatorVersion === GENERATOR_VERSION && fs.readdirSync(capsulesPath).length === count) {
    return { root, userId: USER_ID, capsulesPath, count, bytes: stamp.bytes };
  }
  fs.rmSync(root, { recursive: true, force: true });
  fs.mkdirSync(capsulesPath, { recursive: true });
  let bytes = 0;
  for (const { name, text } of capsules(count)) {
    fs.writeFileSync(path.join(capsulesPath, name), text);
    bytes += Buffer.byteLength(text);
  }
  fs.writeFileSync(stampPath, JSON.stringify({ generatorVersion: GENERATOR_VERSION, bytes }));
  return { root, userId: USER_ID, capsulesPath, count, bytes };
}

/**
 * The vault of `userCount` users with `perUser` small capsules each; made unless it is there already.
 * @param {number} userCount
 * @param {number} perUser
 * @returns {{ root: string, users: string[], count: number, bytes: number }}
 */
function ensureVaultOfUsers(userCount, perUser) {
  const root = path.join(temporaryRoot(), `users-${userCount}-${perUser}`);
  const users = Array.from({ length: userCount }, (_, index) => `user${String(index).padStart(3, '0')}_1743500000000`);
  const folderOf = (userId) => path.join(root, 'users', userId, 'capsules');
  const stampPath = path.join(root, 'complete.json');
  const stamp = readStamp(stampPath);
  if (
    stamp?.generatorVersion === GENERATOR_VERSION &&
    users.every((userId) => fs.existsSync(folderOf(userId)) && fs.readdirSync(folderOf(userId)).length === perUser)
  ) {
    return { root, users, count: userCount * perUser, bytes: stamp.bytes };
  }
  fs.rmSync(root, { recursive: true, force: true });
  let bytes = 0;
  for (const [index, userId] of users.entries()) {
    fs.mkdirSync(folderOf(userId), { recursive: true });
    for (const { name, text } of smallCapsules(index, perUser)) {
      fs.writeFileSync(path.join(folderOf(userId), name), text);
      bytes += Buffer.byteLength(text);
    }
  }
  fs.writeFileSync(stampPath, JSON.stringify({ generatorVersion: GENERATOR_VERSION, bytes }));
  return { root, users, count: userCount * perUser, bytes };
}

/** @param {string} stampPath */
function readStamp(stampPath) {
  try {
    return JSON.parse(fs.readFileSync(stampPath, 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * What Chatty hands to `readMemories` as its first argument.
 * @param {string} root
 */
function connectorConfig(root) {
  return {
    vvaultPath: root,
    directories: { users: 'users', transcripts: 'transcripts', capsules: 'capsules' },
    logging: { debug: false, logFileOps: false, logStackTraces: false },
  };
}

module.exports = {
  MEMORIES_PER_SESSION,
  USER_ID,
  connectorConfig,
  ensureVault,
  ensureVaultOfUsers,
  seededRandom,
  temporaryRoot,
};
