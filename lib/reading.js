'use strict';

// One question to the engine: what `readMemories` and `Vault.readMemories` share.

const path = require('node:path');
// Taken at once: tests put others in the place of the global ones.
const { setImmediate } = require('node:timers');
const { absoluteAs } = require('./absolute');
const { toVaultError } = require('./errors');
const { escapeLine } = require('./harmless');

/** @typedef {import('../index').ReadMemoriesOptions} Options */
/** @typedef {import('../index').Memory} Memory */
/** @typedef {import('../binding').ReadingOutcome} Outcome */
/** @typedef {import('../binding').ReadingRequest} Request */

/**
 * The question for the engine, its paths absolute. The present time and the time zone are those of the call.
 *
 * @param {string} vaultPath
 * @param {{ users: string, capsules: unknown, transcripts: unknown }} directories
 * @param {string} userId
 * @param {Options} options
 * @returns {Request}
 */
function requestOf(vaultPath, directories, userId, options) {
  const usersPath = path.join(vaultPath, directories.users);
  const userPath = path.join(usersPath, userId);
  // A faulty folder name fails only where the folder is needed, so it is checked then.
  const { capsules, transcripts } = directories;
  const absolute = absoluteAs(vaultPath);
  return {
    vault: absolute(vaultPath),
    users: absolute(usersPath),
    user: absolute(userPath) + (/[/\\]$/.test(userPath) ? path.sep : ''),
    capsules: typeof capsules === 'string' ? capsules : undefined,
    transcripts: typeof transcripts === 'string' ? transcripts : undefined,
    session: options.sessionId ? sessionText(options.sessionId) : undefined,
    role: options.role ? JSON.stringify(options.role) : undefined,
    limit: Number(options.limit) > 0 ? Number(options.limit) : undefined,
    since: options.since ? new Date(options.since).getTime() : undefined,
    until: options.until ? new Date(options.until).getTime() : undefined,
    now: Date.now(),
    zone: timeZone(),
    before: undefined,
    tags: undefined,
    construct: undefined,
    cache: undefined,
  };
}

/** The JavaScript thread works for so many milliseconds, then it is others' turn. */
const TURN_MS = 1;

/** Long work, in turns of the event loop. */
class Turns {
  #began = now();

  /** @returns {Promise<void> | undefined} Until the next turn, if this one was long enough. */
  next() {
    return now() - this.#began < TURN_MS ? undefined : this.rest();
  }

  async rest() {
    await turn();
    this.#began = now();
  }
}

/**
 * The memories of a reading that has been run. Many come as several texts: while some are parsed the next are made, and
 * the event loop has its turns. It fails at the next text once the reading has been ended.
 *
 * @param {import('../binding').MemoryReading} reading
 * @param {Outcome} found
 * @param {(outcome: Outcome) => void} [tell] Tells what was met if the memories had to be read again.
 * @returns {Promise<import('../index').MemoryPage>}
 */
async function memoriesOf(reading, found, tell = warn) {
  let outcome = found;
  while (outcome.undecided) {
    outcome = await decideDates(reading);
    tell(outcome);
  }
  if (outcome.failure) throw toVaultError(new Error(outcome.failure));
  /** @type {Memory[]} */
  const memories = [];
  let { more } = outcome;
  for (;;) {
    const making = more ? reading.more() : undefined;
    // If it fails before it is awaited, that is told then.
    making?.catch(() => {});
    const turns = new Turns();
    for (let text = reading.next(); text !== null; text = reading.next()) {
      takeRows(text, memories);
      const next = turns.next();
      if (next) await next;
    }
    if (!making) return pageOf(memories, outcome.next ?? null);
    const made = await making;
    if (made.again) {
      tell(made);
      return memoriesOf(reading, made, tell);
    }
    more = made.more;
  }
}

/**
 * The memories of a text of rows, behind others. The usual one is an array of what its file tells: it takes V8 a third
 * less time to parse and to build than a whole memory.
 *
 * @param {string} text
 * @param {Memory[]} memories
 */
function takeRows(text, memories) {
  for (const row of JSON.parse(text)) memories.push(Array.isArray(row) ? memoryOf(row) : row);
}

/**
 * By places, as taking an array apart by names is many times as slow until V8 has optimized it.
 *
 * @param {any[]} row
 * @returns {Memory}
 */
function memoryOf(row) {
  const filename = row[0];
  const id = filename.slice(0, -'.json'.length);
  return {
    id,
    type: 'capsule',
    timestamp: row[1],
    content: row[2],
    role: row[3],
    metadata: {
      source: 'capsule',
      filename,
      capsuleId: id,
      tags: row[4],
      consent: row[5],
      embedModel: row[6],
      hash: row[7],
    },
  };
}

/**
 * The memories, if nothing has changed since somebody asked for them last and they can be had at once; else `null`.
 *
 * @param {import('../binding').MemoryReading} reading
 * @returns {import('../index').MemoryPage | null}
 */
function unchangedOf(reading) {
  const unchanged = reading.unchanged();
  if (unchanged === null) return null;
  /** @type {Memory[]} */
  const memories = [];
  takeRows(unchanged[0], memories);
  return pageOf(memories, unchanged[1]);
}

/**
 * @param {Memory[]} memories
 * @param {string | null} before
 */
function pageOf(memories, before) {
  // Not to be seen by who compares, copies or prints the memories.
  Object.defineProperty(memories, 'before', { value: before });
  return /** @type {import('../index').MemoryPage} */ (memories);
}

/**
 * How the next reading will know that what it answers with is as it is on disk; `null` if there is no such user.
 *
 * @param {() => import('../binding').MemoryReading} begin
 * @param {(outcome: Outcome) => void} [tell] Tells what was met: the next reading will not, as nothing has changed.
 */
async function freshnessOf(begin, tell = warn) {
  const first = await outcomeOf(begin(), tell);
  // A large folder is watched when it has been read.
  const next = first.freshness === 'swept' ? await outcomeOf(begin(), tell) : first;
  return next.source === 'none' ? null : next.freshness;
}

/**
 * @param {import('../binding').MemoryReading} reading
 * @param {(outcome: Outcome) => void} tell
 */
async function outcomeOf(reading, tell) {
  const found = await reading.run().catch((thrown) => {
    throw toVaultError(thrown);
  });
  tell(found);
  if (found.failure) throw toVaultError(new Error(found.failure));
  return found;
}

/**
 * A session's name as JSON; `null` for what can be none's.
 *
 * @param {unknown} sessionId
 */
function sessionText(sessionId) {
  return typeof sessionId === 'string' ? JSON.stringify(sessionId) : 'null';
}

/**
 * Some timestamps only JavaScript's own `Date` can tell; each is told once and kept.
 *
 * @param {import('../binding').MemoryReading} reading
 * @returns {Promise<Outcome>}
 */
async function decideDates(reading) {
  for (let text = reading.undecided(); text !== null; text = reading.undecided()) {
    /** @type {{ place: number, message: string }[]} */
    const thrown = [];
    const times = JSON.parse(text).map((/** @type {any} */ timestamp, /** @type {number} */ place) => {
      try {
        return new Date(timestamp).getTime();
      } catch (error) {
        thrown.push({ place, message: /** @type {Error} */ (error).message });
        return Number.NaN;
      }
    });
    // Not the one of the call: it may have been set since.
    reading.decide(Float64Array.from(times), thrown, timeZone());
    await turn();
  }
  return reading.select();
}

/**
 * What is in JSON texts of arrays. Between two texts the event loop has a turn.
 *
 * @template T
 * @param {{ next(): string | null }} texts
 * @returns {Promise<T[]>}
 */
async function rows(texts) {
  /** @type {T[]} */
  const found = JSON.parse(texts.next() ?? '[]');
  for (let text = texts.next(); text !== null; text = texts.next()) {
    await turn();
    for (const row of JSON.parse(text)) found.push(row);
  }
  return found;
}

/** Milliseconds: Node.js makes `performance` only when somebody asks for it, which takes as long as a call. */
function now() {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}

function turn() {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * What tells one time zone of this process from another: `process.env.TZ` can be set at any time.
 */
function timeZone() {
  const offset = (/** @type {number} */ month) => new Date(2024, month).getTimezoneOffset();
  return `${process.env.TZ} ${offset(0)} ${offset(6)}`;
}

/**
 * @param {Outcome} outcome
 */
function warn({ warnings }) {
  for (const { kind, name, message } of warnings) console.warn(WARNINGS[kind](escapeLine(name)), escapeLine(message));
}

/** Chatty's own words. @type {Record<import('../binding').ReadingWarning['kind'], (name: string) => string>} */
const WARNINGS = {
  capsuleFile: (name) => `⚠️ Failed to read capsule file ${name}:`,
  emptyCapsule: (name) => `⚠️ Failed to convert capsule ${name}:`,
  transcriptFile: (name) => `⚠️ Failed to read transcript file ${name}:`,
  capsulesFolder: () => '⚠️ Failed to read capsules directory:',
  transcriptsFolder: () => '⚠️ Failed to read transcripts directory:',
  sessionFolder: (name) => `⚠️ Failed to read session directory ${name}:`,
  link: (name) => `⚠️ Not followed ${name}:`,
  closed: (name) => `⚠️ Failed to look into ${name}:`,
};

/**
 * @param {unknown} userId
 * @param {Options} options
 * @returns {string[]} What is wrong with the arguments.
 */
function invalid(userId, options) {
  const problems = [];
  if (!userId || typeof userId !== 'string') problems.push('userId is required and must be a string');
  if (options.limit !== undefined && (typeof options.limit !== 'number' || options.limit < 0)) {
    problems.push('limit must be a non-negative number');
  }
  if (options.since && !isValidDate(options.since)) problems.push('since must be a valid date');
  if (options.until && !isValidDate(options.until)) problems.push('until must be a valid date');
  if (options.role && typeof options.role !== 'string') problems.push('role must be a string');
  return problems;
}

/**
 * @param {unknown} date
 */
function isValidDate(date) {
  return date instanceof Date && !Number.isNaN(date.getTime());
}

module.exports = { Turns, freshnessOf, invalid, memoriesOf, requestOf, rows, unchangedOf, warn };
