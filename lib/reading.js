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
/** @typedef {NonNullable<ReturnType<import('../binding').MemoryReading['next']>>} Rows */
/** Memories, and the cursor of the page behind them; `null` if there is none. @typedef {{ memories: Memory[], before: string | null }} Answer */

/**
 * Where a user's folder is, in Chatty's words and absolute.
 *
 * @typedef {{ userPath: string, vault: string, users: string, user: string }} Places
 */

/** Whoever asks asks for the same user again, as a rule. @type {{ of: string[], places: Places | undefined }} */
let last = { of: [], places: undefined };

/**
 * @param {string} vaultPath
 * @param {string} users
 * @param {string} userId
 * @returns {Places}
 */
function placesOf(vaultPath, users, userId) {
  const [lastVault, lastUsers, lastUser] = last.of;
  if (last.places && vaultPath === lastVault && users === lastUsers && userId === lastUser) return last.places;
  const usersPath = path.join(vaultPath, users);
  const userPath = path.join(usersPath, userId);
  const absolute = absoluteAs(vaultPath);
  const user = absolute(userPath) + (/[/\\]$/.test(userPath) ? path.sep : '');
  const places = { userPath, vault: absolute(vaultPath), users: absolute(usersPath), user };
  // What other paths mean changes with the working folder: on Windows also that of a path without a drive.
  if (path.sep === '/' && path.isAbsolute(vaultPath)) last = { of: [vaultPath, users, userId], places };
  return places;
}

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
  const { vault, users, user } = placesOf(vaultPath, directories.users, userId);
  // A faulty folder name fails only where the folder is needed, so it is checked then.
  const { capsules, transcripts } = directories;
  return {
    vault,
    users,
    user,
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

/** If theirs took so long, perhaps as V8 collected garbage, what waits for the event loop to come round goes first. */
const LONG_TURN_MS = 2;
const MOST_LONG_TURNS = 4;

/** Long work that begins as a native thread has something, in turns of the event loop. */
class Turns {
  #long;
  #began = now();
  /** The first `setImmediate` after that is still run in the same turn. */
  #isFirst = true;

  /** @param {number} long The work goes on for so many milliseconds, then it is others' turn. */
  constructor(long) {
    this.#long = long;
  }

  /** @returns {Promise<void> | undefined} Until the next turn, if this one was long enough. */
  next() {
    return now() - this.#began < this.#long ? undefined : this.rest();
  }

  async rest() {
    if (this.#isFirst) await turn();
    this.#isFirst = false;
    let tries = MOST_LONG_TURNS;
    let left;
    do {
      left = now();
      await turn();
      tries -= 1;
    } while (tries > 0 && now() - left > LONG_TURN_MS);
    this.#began = now();
  }
}

/**
 * The memories of a reading that has been run. Many come one part after another, between which the event loop has its
 * turns. It fails at the next part once the reading has been ended.
 *
 * @param {import('../binding').MemoryReading} reading
 * @param {Outcome} found
 * @param {(outcome: Outcome) => void} [tell] Tells what was met if the memories had to be read again.
 * @returns {Promise<Answer>}
 */
async function memoriesOf(reading, found, tell = warn) {
  let outcome = found;
  while (outcome.undecided) {
    outcome = await decideDates(reading);
    tell(outcome);
  }
  if (outcome.failure) throw toVaultError(new Error(outcome.failure));
  // Not one list that grows: V8 keeps what such a list holds beyond its own end, once the list itself has grown old.
  /** @type {Memory[][]} */
  const parts = [];
  for (let { more } = outcome; ; ) {
    const turns = new Turns(BUILDING_MS);
    for (let rows = reading.next(); rows !== null; rows = reading.next()) {
      for (const building = new Building(rows); !building.isDone(); ) {
        parts.push(building.next());
        const next = turns.next();
        if (next) await next;
      }
    }
    if (!more) return { memories: joined(parts), before: outcome.next ?? null };
    const made = await reading.more();
    if (made.again) {
      tell(made);
      return memoriesOf(reading, made, tell);
    }
    more = made.more;
  }
}

/**
 * Memories are built for so many milliseconds, then it is others' turn. As short as it may be without taking longer in all:
 * what V8's other threads take from this one comes on top of it.
 */
const BUILDING_MS = 0.25;
/** So many memories are built without asking whether the turn is over. */
const SOME = 128;

/** The memories of rows, some at a time. */
class Building {
  #latin1;
  #wide;
  #places;
  /** @type {any[]} */
  #values;
  /** Where the next memory begins: in the places, in the Latin-1 text, in the other one. */
  #at = 0;
  #start = 0;
  #wideStart = 0;

  /** @param {Rows} rows */
  constructor(rows) {
    this.#latin1 = rows[0];
    this.#wide = rows[1];
    this.#places = rows[2];
    this.#values = JSON.parse(rows[3]);
  }

  isDone() {
    return this.#at >= this.#places.length;
  }

  /**
   * In one loop without functions of its own, and no generator: V8 compiles it anew while thousands of memories are built, in
   * a thread that may take the core from this one until it is done.
   */
  next() {
    const latin1 = this.#latin1;
    const wide = this.#wide;
    const places = this.#places;
    const values = this.#values;
    /** @type {Memory[]} */
    const memories = [];
    let at = this.#at;
    let start = this.#start;
    let wideStart = this.#wideStart;
    while (at < places.length && memories.length < SOME) {
      const name = places[at];
      if (name === 0) {
        memories.push(values[places[at + 1]]);
        at += 2;
        continue;
      }
      const timestampEnd = places[at + 1];
      const contentEnd = places[at + 2];
      const isWide = contentEnd < 0;
      const id = latin1.substring(start, name - '.json'.length);
      memories.push({
        id,
        type: 'capsule',
        timestamp: latin1.substring(name, timestampEnd),
        content: isWide ? wide.substring(wideStart, -contentEnd) : latin1.substring(timestampEnd, contentEnd),
        role: values[places[at + 4]],
        metadata: {
          source: 'capsule',
          filename: latin1.substring(start, name),
          capsuleId: id,
          // A list of its own, as somebody may change it.
          tags: values[places[at + 5]].slice(),
          consent: values[places[at + 6]],
          embedModel: values[places[at + 7]],
          hash: latin1.substring(isWide ? timestampEnd : contentEnd, places[at + 3]),
        },
      });
      if (isWide) wideStart = -contentEnd;
      start = places[at + 3];
      at += 8;
    }
    this.#at = at;
    this.#start = start;
    this.#wideStart = wideStart;
    return memories;
  }
}

/** Who asks again and again is answered at once for so many milliseconds, then it is others' turn. */
const ANSWERING_MS = 1;
/** When somebody was first answered at once in this turn of the event loop. @type {number | undefined} */
let answering;
/** The last of those who wait for room. @type {Promise<void> | undefined} */
let lastWaiting;

/**
 * Who asks again and again, and is answered at once each time, would let nobody else have a turn.
 *
 * @returns {Promise<void> | undefined} Until somebody may be answered at once, if not now.
 */
function room() {
  if (lastWaiting === undefined && isRoom()) return;
  // One after another: each has been answered when the next one looks whether there is room.
  const own = (lastWaiting ?? Promise.resolve())
    .then(() => (isRoom() ? undefined : turn().then(isRoom)))
    .then(() => {
      if (lastWaiting === own) lastWaiting = undefined;
    });
  lastWaiting = own;
  return own;
}

function isRoom() {
  if (answering !== undefined) return now() - answering < ANSWERING_MS;
  answering = now();
  setImmediate(() => {
    answering = undefined;
  });
  return true;
}

/**
 * The memories, if nothing has changed since somebody asked for them last and they can be had at once; else `null`.
 *
 * @param {import('../binding').MemoryReading} reading
 * @returns {Answer | null}
 */
function unchangedOf(reading) {
  const unchanged = reading.unchanged();
  if (unchanged === null) return null;
  const [rows, before] = unchanged;
  const building = new Building(rows);
  const parts = [];
  while (!building.isDone()) parts.push(building.next());
  return { memories: joined(parts), before };
}

/** @param {Memory[][]} parts */
function joined(parts) {
  // Not `flat`, which takes twenty times as long.
  return /** @type {Memory[]} */ ([]).concat(...parts);
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

/**
 * What each call does, once and about nothing. V8 compiles a function when it is first called, and the system is asked for
 * the time zone: a millisecond that else is somebody's first answer's.
 */
function rehearse() {
  const directories = { users: 'users', capsules: 'capsules', transcripts: 'transcripts' };
  invalid('x', {});
  requestOf(path.resolve('/'), directories, 'x', { limit: 10 });
  const handedOut = [exampleRows(1), null];
  const reading = { unchanged: () => null, next: () => handedOut.shift() };
  const found = { more: false, warnings: [] };
  unchangedOf(/** @type {any} */ (reading));
  warn(/** @type {any} */ (found));
  void memoriesOf(/** @type {any} */ (reading), /** @type {any} */ (found));
  setImmediate(() => {});
}

/** In so many parts of 64 memories; Node.js 20 needs 20 of them, which take it a millisecond. */
const REHEARSED_PARTS = 24;

/**
 * Until V8 optimizes what builds memories. That takes another of its threads some milliseconds, for which Linux may take the
 * core from the event loop even if there is an idle one: once in a process, and while nobody is waiting for an answer.
 */
function rehearseBuilding() {
  const rows = exampleRows(64);
  for (let part = 0; part < REHEARSED_PARTS; part += 1) new Building(rows).next();
}

/**
 * Rows such as the engine makes, of all kinds: what V8 has optimized for some only, it throws away when it meets another.
 *
 * @param {number} count
 * @returns {Rows}
 */
function exampleRows(count) {
  const values = [null, 'user', 1, {}, [], ['tag', 'another']];
  const hash = '0123456789abcdef';
  const places = [];
  let latin1 = '';
  let wide = '';
  for (let number = 0; number < count; number += 1) {
    const value = number % 4;
    if (number % 8 === 7) {
      places.push(0, 3);
      continue;
    }
    latin1 += 'example.json';
    const name = latin1.length;
    latin1 += '2025-01-01T00:00:00Z';
    const timestampEnd = latin1.length;
    const isWide = value === 2;
    if (isWide) wide += 'a wider text';
    else latin1 += 'a text';
    const contentEnd = isWide ? -wide.length : latin1.length;
    latin1 += hash;
    places.push(name, timestampEnd, contentEnd, latin1.length, value, 4 + (number % 2), value, value);
  }
  return [latin1, wide, Int32Array.from(places), JSON.stringify(values)];
}

rehearseBuilding();
rehearse();

module.exports = { Turns, freshnessOf, invalid, memoriesOf, placesOf, requestOf, room, rows, turn, unchangedOf, warn };
