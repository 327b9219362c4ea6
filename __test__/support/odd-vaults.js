'use strict';

/**
 * Vaults for testing `readMemories` against Chatty's own implementation: odd ones written by hand (`oddVaults`),
 * random ones made from a seed (`randomVault`), and what it takes to write one to disk, to run its calls, and to
 * compare two runs.
 *
 * @typedef {object} VaultEntry  One thing on disk; exactly one of the fields after `path` is given.
 * @property {string | {base64: string}} path  Relative to the vault; `../x` lies beside it; base64 for names that are not UTF-8.
 * @property {string} [text]
 * @property {string} [base64]
 * @property {(string | {repeat: string, times: number} | {base64: string})[]} [parts]  Pieces of a big file.
 * @property {string} [link]  Target of a symbolic link; `{vault}` stands for the vault's absolute path.
 * @property {string} [hardLink]  An entry written before this one.
 * @property {boolean} [directory]
 * @property {number} [mode]  Permissions, set when all is written.
 *
 * @typedef {object} VaultCall  Arguments are encoded by `encodeValue`.
 * @property {unknown} userId
 * @property {unknown} [options]
 * @property {unknown} [config]  Takes the place of the usual config's top-level keys.
 * @property {unknown} [wholeConfig]  Takes the place of the whole config.
 * @property {string} [zone]  Time zone that the process changes to before this call.
 * @property {string} [workingDirectory]  Folder that the process changes to before this call.
 * @property {boolean} [anyOrder]  The original's order depends on the clock here: compare as a set.
 *
 * @typedef {object} VaultDescription
 * @property {string} name
 * @property {VaultEntry[]} entries
 * @property {VaultCall[]} calls
 * @property {boolean} [zoned]  Results depend on the time zone.
 * @property {boolean} [linuxOnly]  Needs file names that are arbitrary bytes.
 * @property {boolean} [unprivileged]  Means something only to a user who may not read everything; never recorded.
 */

const crypto = require('node:crypto');
const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');

// ---------------------------------------------------------------------------------------------------------------------
// Values as JSON, without loss

const identity = (value) => value;

/**
 * Encodes an argument so that JSON keeps it: what JSON has no form for becomes an object with one key that starts
 * with `$`.
 *
 * @param {unknown} value
 * @returns {unknown}
 */
function encodeValue(value) {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (value === undefined) return { $undefined: true };
  if (typeof value === 'number') {
    return Number.isFinite(value) && !Object.is(value, -0)
      ? value
      : { $number: Object.is(value, -0) ? '-0' : String(value) };
  }
  if (typeof value === 'bigint') return { $bigint: String(value) };
  if (typeof value === 'symbol') return { $symbol: value.description };
  if (typeof value === 'function') return { $function: value.name };
  if (value instanceof Date) return { $date: Number.isNaN(value.getTime()) ? null : value.getTime() };
  if (Array.isArray(value)) return value.map(encodeValue);
  const pairs = Object.entries(value).map(([key, item]) => [key, encodeValue(item)]);
  if (pairs.some(([key]) => key.startsWith('$') || key === '__proto__')) return { $pairs: pairs };
  return Object.fromEntries(pairs);
}

/** Forms that `decodeValue` understands; those after `$pairs` are only ever written by hand. */
const DECODERS = {
  $undefined: () => undefined,
  $number: (text) => Number(text),
  $bigint: (text) => BigInt(text),
  $symbol: (description) => Symbol(description),
  $function: (name) => Object.defineProperty(() => name, 'name', { value: name }),
  $date: (time) => new Date(time === null ? NaN : time),
  $pairs: (pairs, text) => {
    const object = {};
    for (const [key, item] of pairs) {
      Object.defineProperty(object, key, {
        value: decodeValue(item, text),
        enumerable: true,
        writable: true,
        configurable: true,
      });
    }
    return object;
  },
  // The instant that this machine's JavaScript reads from a date text, in the present time zone.
  $dateOf: (dateText) => new Date(dateText),
  // An object that inherits from `from`.
  $inherit: ({ from, own }, text) => Object.assign(Object.create(decodeValue(from, text)), decodeValue(own, text)),
  // An object with a getter that throws.
  $throwing: ({ key, message }) => ({
    get [key]() {
      throw new RangeError(message);
    },
  }),
  // An object whose key has another value at each look.
  $changing: ({ key, values }, text) => {
    let looks = 0;
    return {
      get [key]() {
        return decodeValue(values[Math.min(looks++, values.length - 1)], text);
      },
    };
  },
  // Passes `instanceof Date`, is none.
  $falseDate: () => Object.create(Date.prototype),
  // An invalid date whose own `getTime` says otherwise, and the other way round.
  $lyingDate: ({ time, claims }) =>
    Object.assign(new Date(time === null ? NaN : time), { getTime: () => (claims === null ? NaN : claims) }),
  $boxed: (value) => Object(value),
};

/**
 * @param {unknown} encoded
 * @param {(text: string) => string} [text]  Applied to each string.
 * @returns {unknown}
 */
function decodeValue(encoded, text = identity) {
  if (typeof encoded === 'string') return text(encoded);
  if (encoded === null || typeof encoded !== 'object') return encoded;
  if (Array.isArray(encoded)) return encoded.map((item) => decodeValue(item, text));
  const [form] = Object.keys(encoded);
  if (form?.startsWith('$')) return DECODERS[form](encoded[form], text);
  return Object.fromEntries(Object.entries(encoded).map(([key, item]) => [key, decodeValue(item, text)]));
}

/**
 * The text of a scalar, exact to the bit; strings are well-formed JSON whatever they hold.
 *
 * @param {unknown} value
 * @returns {string}
 */
function describeScalar(value) {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'symbol' || typeof value === 'function') return `<${typeof value}>`;
  return String(value);
}

/**
 * A text that two values share exactly when they are deeply and strictly equal. Keys are sorted unless `keepKeyOrder`;
 * keys whose value is undefined are left out. Not recursive: values may be nested very deeply.
 *
 * @param {unknown} root
 * @param {{keepKeyOrder?: boolean, replaced?: Record<string, string>}} [settings]  `replaced`: texts for keys of the root.
 * @returns {string}
 */
function describeValue(root, { keepKeyOrder = false, replaced = {} } = {}) {
  const pieces = [];
  const pending = [{ value: root, isRoot: true }];
  while (pending.length > 0) {
    const next = pending.pop();
    if (typeof next === 'string') {
      pieces.push(next);
      continue;
    }
    const { value, isRoot } = next;
    if (value === null || typeof value !== 'object') {
      pieces.push(describeScalar(value));
      continue;
    }
    const isArray = Array.isArray(value);
    const isUsual = Object.getPrototypeOf(value) === (isArray ? Array.prototype : Object.prototype);
    if (!isUsual) pieces.push(`<${Object.prototype.toString.call(value)} of another kind>`);
    if (value instanceof Date) pieces.push(String(value.getTime()));
    const keys = Object.keys(value);
    if (isArray && keys.length === value.length) {
      const parts = ['['];
      for (const [index, item] of value.entries()) parts.push(index > 0 ? ',' : '', { value: item });
      parts.push(']');
      for (let index = parts.length - 1; index >= 0; index--) pending.push(parts[index]);
      continue;
    }
    if (isArray) pieces.push(`<array of length ${value.length} with ${keys.length} keys>`);
    if (!keepKeyOrder) keys.sort();
    const parts = ['{'];
    for (const key of keys) {
      if (value[key] === undefined) continue;
      if (parts.length > 1) parts.push(',');
      parts.push(`${JSON.stringify(key)}:`);
      parts.push(isRoot && Object.hasOwn(replaced, key) ? replaced[key] : { value: value[key] });
    }
    parts.push('}');
    for (let index = parts.length - 1; index >= 0; index--) pending.push(parts[index]);
  }
  return pieces.join('');
}

// ---------------------------------------------------------------------------------------------------------------------
// Vaults on disk

/**
 * @param {VaultEntry} entry
 * @returns {Buffer}
 */
function entryBytes(entry) {
  if (entry.base64 !== undefined) return Buffer.from(entry.base64, 'base64');
  if (entry.parts === undefined) return Buffer.from(entry.text, 'utf8');
  return Buffer.concat(
    entry.parts.map((part) => {
      if (typeof part === 'string') return Buffer.from(part, 'utf8');
      if (part.base64 !== undefined) return Buffer.from(part.base64, 'base64');
      return Buffer.from(part.repeat.repeat(part.times), 'utf8');
    }),
  );
}

/**
 * Where an entry lies, as bytes.
 *
 * @param {VaultEntry['path']} relative
 * @param {string} vault
 * @returns {Buffer}
 */
function entryPath(relative, vault) {
  const name = typeof relative === 'string' ? Buffer.from(relative, 'utf8') : Buffer.from(relative.base64, 'base64');
  return Buffer.concat([Buffer.from(`${vault}/`), name]);
}

/**
 * @param {Buffer} file
 * @returns {Buffer}
 */
function parentOf(file) {
  return file.subarray(0, file.lastIndexOf('/'));
}

/**
 * Writes a vault to `{root}/vault`, which must not be there.
 *
 * @param {VaultDescription} description
 * @param {string} root
 * @returns {string} the vault's path
 */
function writeVault(description, root) {
  const vault = path.join(root, 'vault');
  fs.mkdirSync(path.join(vault, 'users'), { recursive: true });
  for (const entry of description.entries) {
    const place = entryPath(entry.path, vault);
    fs.mkdirSync(entry.directory ? place : parentOf(place), { recursive: true });
    if (entry.directory) continue;
    if (entry.link !== undefined) fs.symlinkSync(entry.link.replaceAll('{vault}', vault), place);
    else if (entry.hardLink !== undefined) fs.linkSync(entryPath(entry.hardLink, vault), place);
    else fs.writeFileSync(place, entryBytes(entry));
  }
  for (const { path: relative, mode } of description.entries.toReversed()) {
    if (mode !== undefined) fs.chmodSync(entryPath(relative, vault), mode);
  }
  return vault;
}

// ---------------------------------------------------------------------------------------------------------------------
// Running the calls of a vault

/**
 * The function to test: `readMemories` of a module, or the module itself. CommonJS files are loaded as such even inside
 * a package of type module.
 *
 * @param {string} file
 * @returns {Function}
 */
function loadReadMemories(file) {
  const place = require.resolve(path.resolve(file));
  let exported;
  if (place.endsWith('readMemories.js')) {
    const module = new Module(place, null);
    module.filename = place;
    module.paths = Module._nodeModulePaths(path.dirname(place));
    module._compile(fs.readFileSync(place, 'utf8'), place);
    exported = module.exports;
  } else {
    exported = require(place);
  }
  return typeof exported === 'function' ? exported : exported.readMemories;
}

const ORDINARY_CONFIG = {
  vvaultPath: '{vault}',
  directories: { users: 'users', transcripts: 'transcripts', capsules: 'capsules' },
  logging: { debug: false, logFileOps: false, logStackTraces: false },
};

/**
 * @param {VaultCall} call
 * @param {string} vault
 * @returns {unknown[]} config, userId and (if the call has any) options
 */
function callArguments(call, vault) {
  const place = (text) => text.replaceAll('{vault}', vault);
  const config = Object.hasOwn(call, 'wholeConfig')
    ? decodeValue(call.wholeConfig, place)
    : { ...decodeValue(ORDINARY_CONFIG, place), ...decodeValue(call.config ?? {}, place) };
  const values = [config, decodeValue(call.userId, place)];
  if (Object.hasOwn(call, 'options')) values.push(decodeValue(call.options, place));
  return values;
}

const ISO_INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const CLOCK_SLACK = 20;

/**
 * @param {unknown} memory
 * @param {number} from
 * @param {number} to
 * @returns {boolean} whether its timestamp is the time of the call
 */
function isStampedNow(memory, from, to) {
  const timestamp = memory === null || typeof memory !== 'object' ? undefined : memory.timestamp;
  if (typeof timestamp !== 'string' || !ISO_INSTANT.test(timestamp)) return false;
  const time = Date.parse(timestamp);
  return time >= from - CLOCK_SLACK && time <= to + CLOCK_SLACK;
}

const NOW = '<now>';

/**
 * Memories as texts, in an order that does not depend on the clock.
 *
 * @param {string[]} texts
 * @param {boolean} anyOrder
 * @returns {string[]}
 */
function settleOrder(texts, anyOrder) {
  if (anyOrder) return [...texts].sort();
  const isNow = (text) => text.includes(`"timestamp":${NOW}`);
  const stampedNow = texts.filter(isNow).sort();
  return texts.map((text) => (isNow(text) ? stampedNow.shift() : text));
}

/**
 * @typedef {object} Outcome  What one call gave.
 * @property {string[]} [memories]
 * @property {string} [error]
 * @property {string[]} [log]  Lines of console.log.
 * @property {string[]} [failures]  First arguments of console.error.
 */

/**
 * Changes what a caller was given: it is the caller's own, and must not show in what later calls give.
 *
 * @param {any[]} memories
 */
function spoil(memories) {
  for (const memory of memories) {
    if (Array.isArray(memory.metadata.tags)) memory.metadata.tags.push('spoilt');
    if (memory.metadata.emotions !== null && typeof memory.metadata.emotions === 'object')
      memory.metadata.emotions.spoilt = true;
    if (memory.content !== null && typeof memory.content === 'object') memory.content.spoilt = true;
    memory.metadata.spoilt = true;
    memory.timestamp = 'spoilt';
    memory.spoilt = true;
  }
  memories.length = 0;
}

/**
 * Awaits one call and describes what it gave.
 *
 * @param {Function} readMemories
 * @param {VaultCall} call
 * @param {string} vault
 * @param {{keepKeyOrder?: boolean}} [settings]
 * @returns {Promise<Outcome>}
 */
async function runCall(readMemories, call, vault, settings = {}) {
  const withoutPlace = (text) => text.replaceAll(vault, '{vault}').replaceAll(path.dirname(vault), '{root}');
  if (call.zone !== undefined) process.env.TZ = call.zone;
  if (call.workingDirectory !== undefined) process.chdir(call.workingDirectory.replaceAll('{vault}', vault));
  const values = callArguments(call, vault);
  const from = Date.now();
  let pending;
  try {
    pending = readMemories(...values);
  } catch (error) {
    return { error: `thrown at once, not rejected: ${error}` };
  }
  if (!(pending instanceof Promise)) return { error: `not a promise: ${describeScalar(pending)}` };
  try {
    const memories = await pending;
    const to = Date.now();
    if (!Array.isArray(memories) || Object.getPrototypeOf(memories) !== Array.prototype)
      return { error: 'not an array' };
    const texts = Array.from(memories, (memory) =>
      describeValue(memory, { ...settings, replaced: isStampedNow(memory, from, to) ? { timestamp: NOW } : {} }),
    );
    spoil(memories);
    return { memories: settleOrder(texts, call.anyOrder === true) };
  } catch (error) {
    return {
      error:
        error instanceof Error
          ? withoutPlace(`${error.name}: ${error.message}`)
          : `not an Error: ${describeScalar(error)}`,
    };
  }
}

const FILE_WARNING = /Failed to (?:read|convert|parse) (?:capsule|transcript)(?: file)? (.*):$/su;

/**
 * Replaces console.log, console.warn and console.error by collectors until `release` is called.
 *
 * @returns {{take: () => {log: string[], failures: string[]}, warnings: Map<string, number>, release: () => void}}
 */
function holdConsole() {
  const { log, warn, error } = console;
  let lines = [];
  let failures = [];
  const warnings = new Map();
  console.log = (...values) => lines.push(values.map(String).join(' '));
  console.error = (...values) => failures.push(String(values[0]));
  console.warn = (...values) => {
    const text = String(values[0]);
    const match = FILE_WARNING.exec(text);
    const subject = match === null ? text : match[1];
    warnings.set(subject, (warnings.get(subject) ?? 0) + 1);
  };
  return {
    warnings,
    take() {
      const taken = { log: lines, failures };
      lines = [];
      failures = [];
      return taken;
    },
    release() {
      Object.assign(console, { log, warn, error });
    },
  };
}

/** Lets warnings that are delivered later arrive. */
const pause = () => new Promise((resolve) => setTimeout(resolve, 5));

/**
 * @typedef {object} VaultRun
 * @property {Outcome[]} outcomes  One for each call.
 * @property {Map<string, number>} warnings  File name (or a whole text that names no file) → how often.
 */

/**
 * Runs all calls of a vault one after another.
 *
 * @param {Function} readMemories
 * @param {VaultDescription} description
 * @param {string} vault
 * @param {{keepKeyOrder?: boolean}} [settings]
 * @returns {Promise<VaultRun>}
 */
async function runVault(readMemories, description, vault, settings = {}) {
  const zone = process.env.TZ;
  const folder = process.cwd();
  const held = holdConsole();
  const outcomes = [];
  try {
    for (const call of description.calls) {
      const outcome = await runCall(readMemories, call, vault, settings);
      const { log, failures } = held.take();
      if (log.length > 0) outcome.log = log.map((line) => line.replaceAll(vault, '{vault}'));
      if (failures.length > 0) outcome.failures = failures;
      outcomes.push(outcome);
    }
    await pause();
  } finally {
    held.release();
    process.chdir(folder);
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
  return { outcomes, warnings: held.warnings };
}

// ---------------------------------------------------------------------------------------------------------------------
// Comparing runs

const LONGEST_TEXT = 420;
const MOST_MEMORIES = 300;

/**
 * @param {string} text
 * @returns {string}
 */
function digestOf(text) {
  return crypto.createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/**
 * @param {string} text
 * @returns {string} the text itself, or what tells long ones apart
 */
function shorten(text) {
  return text.length <= LONGEST_TEXT
    ? text
    : `${text.slice(0, 160)}… ${text.length} characters, SHA-256 ${digestOf(text)}`;
}

/**
 * @param {string} text  A memory.
 * @returns {string} its id and a digest
 */
function briefly(text) {
  const id = /"id":("(?:[^"\\]|\\.)*")/.exec(text);
  return `${id === null ? '' : shorten(id[1])} #${digestOf(text).slice(0, 12)}`;
}

/**
 * The short form of an outcome that recordings keep.
 *
 * @param {Outcome} outcome
 * @param {boolean} [isBrief]  Keep no more of each memory than its id and a digest.
 * @returns {Outcome & {count?: number, digest?: string}}
 */
function summariseOutcome(outcome, isBrief = false) {
  if (outcome.memories === undefined) return outcome;
  const texts = outcome.memories.map(isBrief ? briefly : shorten);
  if (texts.length <= MOST_MEMORIES) return { ...outcome, memories: texts };
  const { memories, ...rest } = outcome;
  return { ...rest, count: memories.length, digest: digestOf(texts.join('\n')) };
}

/**
 * @param {Outcome} expected
 * @param {Outcome} actual
 * @returns {string | null} the first difference
 */
function differenceOfOutcomes(expected, actual) {
  for (const key of ['error', 'count', 'digest']) {
    if (expected[key] !== actual[key]) {
      const shown = (outcome) =>
        outcome[key] ?? `none${outcome.memories === undefined ? '' : ` (${outcome.memories.length} memories)`}`;
      return `${key}: expected ${shown(expected)}, got ${shown(actual)}`;
    }
  }
  if (expected.memories !== undefined) {
    const most = Math.max(expected.memories.length, actual.memories.length);
    for (let index = 0; index < most; index++) {
      const [wanted, given] = [expected.memories[index], actual.memories[index]];
      if (wanted === given) continue;
      const counts = `${expected.memories.length} expected, ${actual.memories.length} given`;
      return `memory ${index} (${counts}):\n      expected ${shorten(wanted ?? 'none')}\n      got      ${shorten(given ?? 'none')}`;
    }
  }
  for (const key of ['log', 'failures']) {
    const [wanted, given] = [JSON.stringify(expected[key] ?? []), JSON.stringify(actual[key] ?? [])];
    if (wanted !== given) return `console (${key}): expected ${wanted}, got ${given}`;
  }
  return null;
}

/**
 * How often a file of this name may be warned of: once each.
 *
 * @param {VaultDescription} description
 * @param {string} name
 * @returns {number}
 */
function filesNamed(description, name) {
  if (description.entries.some((entry) => entry.link !== undefined)) return Infinity;
  const names = description.entries.map((entry) => {
    const bytes = typeof entry.path === 'string' ? Buffer.from(entry.path) : Buffer.from(entry.path.base64, 'base64');
    return bytes.subarray(bytes.lastIndexOf('/') + 1).toString('utf8');
  });
  return names.filter((other) => other === name).length;
}

/**
 * @param {VaultDescription} description
 * @param {VaultRun} expected
 * @param {VaultRun} actual
 * @param {{warnedOnce?: boolean}} [settings]  `warnedOnce`: the subject must not repeat a warning.
 * @returns {string[]} differences
 */
function differencesOfRuns(description, expected, actual, { warnedOnce = true } = {}) {
  const differences = [];
  description.calls.forEach((call, index) => {
    const difference = differenceOfOutcomes(expected.outcomes[index], actual.outcomes[index]);
    if (difference !== null) differences.push(`call ${index} ${shorten(JSON.stringify(call))}\n    ${difference}`);
  });
  for (const name of expected.warnings.keys()) {
    if (!actual.warnings.has(name)) differences.push(`not warned of ${JSON.stringify(name)}`);
  }
  for (const [name, times] of actual.warnings) {
    if (!expected.warnings.has(name)) differences.push(`warned of ${JSON.stringify(name)}`);
    const isFile = !name.startsWith('⚠️');
    if (warnedOnce && isFile && times > filesNamed(description, name)) {
      differences.push(`warned ${times} times of ${JSON.stringify(name)}`);
    }
  }
  return differences;
}

// ---------------------------------------------------------------------------------------------------------------------
// Building descriptions

const PLAIN_DATE = '2024-05-06T07:08:09Z';
const LATER_DATE = '2025-01-02T03:04:05Z';
/** Below every time that a date can hold: as `since` it only drops what is no date. */
const EARLIEST = { $date: -8.64e15 };
const NO_LIMIT = { limit: 0 };

/**
 * @param {string} folder
 * @param {Record<string, string | object>} files  File name → text, or the fields of an entry.
 * @returns {VaultEntry[]}
 */
function filesIn(folder, files) {
  return Object.entries(files).map(([name, content]) => ({
    path: `${folder}/${name}`,
    ...(typeof content === 'string' ? { text: content } : content),
  }));
}

/**
 * @param {string} userId
 * @param {Record<string, string | object>} files
 * @returns {VaultEntry[]}
 */
function capsules(userId, files) {
  return filesIn(`users/${userId}/capsules`, files);
}

/**
 * @param {string} userId
 * @param {Record<string, string | object>} files  `session/name` → text
 * @returns {VaultEntry[]}
 */
function transcripts(userId, files) {
  return filesIn(`users/${userId}/transcripts`, files);
}

/**
 * A vault where each case is a user of its own.
 *
 * @param {string} name
 * @param {{entries: (userId: string) => VaultEntry[], options?: unknown[], call?: Partial<VaultCall>}[]} cases
 * @param {Partial<VaultDescription>} [more]
 * @returns {VaultDescription}
 */
function vaultOfUsers(name, cases, more = {}) {
  const entries = [];
  const calls = [];
  cases.forEach(({ entries: make, options = [NO_LIMIT], call = {} }, index) => {
    const userId = `case-${String(index).padStart(3, '0')}`;
    entries.push(...make(userId));
    for (const each of options) calls.push({ userId, options: each, ...call });
  });
  return { name, entries, calls, ...more };
}

/**
 * A vault with one user `u` and one numbered capsule file for each text.
 *
 * @param {string} name
 * @param {(string | object)[]} contents
 * @param {Partial<VaultCall>[]} calls
 * @param {Partial<VaultDescription>} [more]
 * @returns {VaultDescription}
 */
function vaultOfCapsules(name, contents, calls, more = {}) {
  const width = String(contents.length).length;
  const files = {};
  contents.forEach((content, index) => {
    files[`${String(index).padStart(width, '0')}.json`] = content;
  });
  return { name, entries: capsules('u', files), calls: calls.map((call) => ({ userId: 'u', ...call })), ...more };
}

/**
 * JSON text from pairs whose values are JSON texts, so that keys may repeat and numbers keep their form.
 *
 * @param {[string, string][]} pairs
 * @returns {string}
 */
function objectText(pairs) {
  return `{${pairs.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(',')}}`;
}

/** Every capsule has one of these, so that results tell the files apart. */
const stamped = (more) => `{"created_ts":"${PLAIN_DATE}",${more}}`;

// ---------------------------------------------------------------------------------------------------------------------
// Odd JSON

/** JSON values of every kind, as texts. */
// biome-ignore format: a packed list is easier to read
const VALUE_TEXTS = [
  '""', '" "', '"0"', '"false"', '"null"', '"text"', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"',
  '0', '-0', '0.0', '-0.0', '0e5', '-0E-5', '1e-999', '-1e-999', '1e-400', '5e-324', '2e-324', '3e-324', '1', '-1',
  '1.5',
  '1e999', '-1e999', '1e308', '1.7976931348623159e308', '9007199254740993', '-9007199254740993',
  '123456789012345678901234567890',
  '0.1', '1e21', '1e-7', '123e-20', '100000000000000000000', '1E+2', '1e00002', '4294967295', '8640000000000000',
  '8640000000000001',
  '1700000000000', '1700000000', '1700000000000.9', '-62135596800000', '-1.9', '2024', 'true', 'false', 'null',
  '[]', '{}', '[null]', '[[]]', '[0]', '[false]', '["a","b"]', '[2024]', '["2024-01-01"]', '["2024-01-01T00:00:00Z"]',
  '[1,2]',
  '[2024,1]', '["2024","1","1"]', '[[2024]]', '[[["2024-01-01"]]]', '[null,null]', '[null,"2024"]', '[["2024",null]]',
  '[1e21]', '[-0]',
  '[1e999]', '[true]', '[{}]', '[[1,[2,[3]]]]', '["a",["b",["c",{"d":[]}]]]', '{"a":1}', '{"length":2}',
  '{"0":"a","1":"b","length":2}',
  '{"toString":1}', '{"toString":null}', '{"valueOf":1}', '{"valueOf":null}', '{"toString":"x","valueOf":"y"}',
  '{"toString":{},"valueOf":[]}',
  '[{"toString":1}]', '[{"valueOf":1}]', '[[{"toString":1}]]', '[[],{"toString":null,"valueOf":null}]', '[{"join":1}]',
  '{"__proto__":null}', '{"__proto__":{"a":1}}', '{"__proto__":{"toString":1}}', '{"a":{"__proto__":[]}}',
  '{"__proto__":1,"__proto__":2}',
  '{"constructor":1}', '{"constructor":{"prototype":{}}}', '{"toJSON":1}', '{"then":1}', '{"$date":1}',
  '{"2":1,"1":2,"a":3,"0":4}',
  '{"4294967295":1,"4294967294":2,"-1":3,"01":4}', '{"":1}', '{"\\ud800":1,"\\udc00":2}', '{"a":1,"a":2}',
  '{"a":1,"b":2,"a":3}',
  '{"\\u0061":1,"a":2}', '{"a":1,"\\u0061":2}', '{"a\\u0000b":1}', '{"é":1,"e\\u0301":2}',
  '{"Symbol(Symbol.toPrimitive)":1}', '{"getTime":1}',
];

/** Fields that become part of a memory. */
// biome-ignore format: a packed list is easier to read
const FIELDS = [
  'created_ts', 'timestamp', 'raw', 'content', 'role', 'tags', 'consent', 'embed_model', 'raw_sha256', 'hash',
];

/** Each value in one field, alone and beside a usual capsule. */
function fieldValueVaults() {
  return FIELDS.map((field) => {
    const isDate = field === 'created_ts' || field === 'timestamp';
    const cases = VALUE_TEXTS.map((text) => ({
      entries: (userId) =>
        capsules(userId, {
          'a.json': isDate
            ? objectText([
                ['raw', '"odd"'],
                [field, text],
              ])
            : stamped(`${JSON.stringify(field)}:${text}`),
          'b.json': `{"created_ts":"2000-02-03T04:05:06Z","raw":"usual"}`,
        }),
      options: isDate
        ? [NO_LIMIT, { limit: 5, since: EARLIEST }, { until: { $date: 1e15 } }, { role: 'system', limit: 1 }]
        : [NO_LIMIT],
    }));
    return vaultOfUsers(`field ${field} of every kind`, cases, { zoned: isDate });
  });
}

/** Which of two fields wins when the first has an odd value. */
function fallbackVaults() {
  const pairs = [
    ['created_ts', 'timestamp'],
    ['raw', 'content'],
    ['raw_sha256', 'hash'],
  ];
  // biome-ignore format: a packed list is easier to read
  const values = [
    '""', '0', '-0', '0.0', '0e5', '-0E-5', '1e-999', '2e-324', '3e-324', 'false', 'null', '[]', '{}', '"0"', '"false"',
    '" "', 'true', '1',
  ];
  return pairs.map(([first, second]) => {
    const texts = [];
    for (const value of values) {
      texts.push(
        objectText([
          ['role', '"a"'],
          [first, value],
          [second, `"${LATER_DATE}"`],
        ]),
      );
      texts.push(
        objectText([
          ['role', '"b"'],
          [second, `"${LATER_DATE}"`],
          [first, value],
        ]),
      );
      texts.push(
        objectText([
          ['role', '"c"'],
          [first, `"${LATER_DATE}"`],
          [first, value],
          [second, '"2001-01-01"'],
        ]),
      );
      texts.push(
        objectText([
          ['role', '"d"'],
          [first, value],
          [first, `"${LATER_DATE}"`],
        ]),
      );
      texts.push(
        objectText([
          ['role', '"e"'],
          [first, value],
          [second, value],
        ]),
      );
    }
    const stampedTexts =
      first === 'created_ts' ? texts : texts.map((text) => `{"timestamp":"${PLAIN_DATE}",${text.slice(1)}`);
    return vaultOfCapsules(`${first} before ${second}`, stampedTexts, [
      { options: NO_LIMIT, anyOrder: true },
      { options: { limit: 0, role: 'c' }, anyOrder: true },
    ]);
  });
}

/** Whole files that are JSON, or nearly. */
// biome-ignore format: a packed list is easier to read
const FILE_TEXTS = [
  '', ' ', '\n', 'null', ' null ', 'nul', 'nulll', 'true', 'false', 'tru', 'True', 'NaN', 'Infinity', '-Infinity',
  'undefined',
  '0', '-0', '1', '01', '-01', '00', '1.', '.5', '+1', '1e', '1e+', '1e5', '1E-5', '-', '--1', '-a', '0x10', '1_000',
  '1n', '1 2', '1,', '0.', '-.5', '0e', '1.5.5', '1e5.5', '1e999', '-1e999',
  '""', '"text"', '"', '"a', "'a'", '"a""b"', '"\\', '"\\"', '"\\u', '"\\u12"', '"\\u12G4"', '"\\x41"', '"\\\'"',
  '"\\a"', '"\\0"', '"\\u{41}"', '"\\U0041"', '"a\nb"', '"a\tb"', '"a\u0000b"', '"a\u001fb"', '"a\u007fb"',
  '"a\u0080b"', '"a\u2028b\u2029c"', '"\\/\\b\\f\\n\\r\\t\\\\"',
  '[]', '[1]', '[', ']', '[1', '[1,', '[1,]', '[,1]', '[1,,2]', '[1 2]', '[1;2]', '[]]', '[[]', '[}', '{', '}', '{}',
  '{]', '{"a"}', '{"a":}', '{"a":1', '{"a":1,}', '{,}', '{a:1}', "{'a':1}", '{"a" 1}', '{"a":1 "b":2}', '{1:2}',
  '{null:1}', '{"a":1,,"b":2}', '{"a"::1}', '{"a":1}}', '{"a":1}{"b":2}', '{"a":1}\n{"b":2}', '{"a":1} x',
  '{"a":undefined}', '{"a":function(){}}',
  '// note\n{}', '{} // note', '/* note */{}', '{"a":1/* note */}', '{"a":[1,//\n2]}', '#!x\n{}', '<!-- -->{}',
  '{"a":1}\u0000', '\u0000{"a":1}', '{\u0000"a":1}', '{"a":\u00001}', '{"a":1}\u0000\u0000\u0000\u0000',
  ' \t\r\n{"raw":"blank"} \t\r\n', '\u000b{}', '\u000c{}', '{}\u000b', '{}\u000c', '\u00a0{}', '{}\u00a0', '\u0085{}',
  '\u2028{}', '{}\u2028', '\u3000{}', '\u1680{}', '\ufeff{}', '\ufeff{"raw":"marked"}', '{}\ufeff', '{\u00a0"raw":1}',
  '{"raw":\ufeff1}', '{"raw"\u2003:1}', '{"raw":1\u000b}', '\ufeff', '\ufeff\ufeff{}', '\u200b{}',
  '{"raw":"x","raw":""}', '{"raw":"","raw":"y"}', '{"raw":"x","\\u0072aw":"y"}', '{"\\u0072\\u0061\\u0077":"z"}',
  '{"\\u0072AW":"no"}', '{"raw\\u0000":"no"}', '{"ra\\u0077":"a","r\\u0061w":"b","content":"c"}',
  '{"raw":"first","raw":null,"content":"c"}', '{"Raw":"no","RAW":"no"}', '{"raw ":"no"," raw":"no"}',
  '{"__proto__":{"raw":"no"}}', '{"constructor":{"raw":"no"}}', '{"raw":{"raw":"deep"}}',
  '{"a":{"raw":"no"},"b":[{"raw":"no"}]}', '{"":{"raw":"no"}}', '[{"raw":"no"}]', '{"raw\\ud800":"no","raw":"yes"}',
  '{"\\ud800":1,"raw":"lone key before"}', '{"raw":"\\ud800"}', '{"raw":"\\udfff\\ud800"}', '{"raw":"\\uD83D\\uDE00"}',
  '{"raw":"\\ud83dx\\ude00"}', '{"raw":"\\ud83d\\u0041"}', '{"raw":"\\ud83d\\ud83d\\ude00"}',
  '{"raw":"\\uFEFF\\u0000\\uffff\\ufffd"}', '{"raw":"a\\u00e9\\u4e2d"}', '{"raw":"aé中😀"}',
  '{"raw":"\\"\\\\\\/\\b\\f\\n\\r\\t"}', '{"tags":["\\ud800","\\udc00","\\ud800\\udc00"]}', '{"role":"\\u0075ser"}',
  '{"timestamp":"\\u0032024-01-01"}',
  '{"raw":"x"', '{"raw":"x', '{"raw":', '{"raw"', '{"ra', '{"raw":"x"}]', '{"raw":"x"},', '{"raw":"x"}"',
  '{"raw":"x"}1', '{"raw":"x"}null', '{"raw":tru}', '{"raw":nulll}', '{"raw":truefalse}', '{"raw":-}', '{"raw":1.}',
  '{"raw":01}', '{"raw":1e}', '{"raw":.1}', '{"raw":+1}', '{"raw":0x1}', '{"raw":1a}', '{"raw":1 1}', '{"raw":"a" "b"}',
  '{"ignored":01,"raw":"x"}', '{"ignored":[1,2,],"raw":"x"}', '{"ignored":{"a":1,},"raw":"x"}',
  '{"ignored":"\t","raw":"x"}', '{"ignored":"\\q","raw":"x"}', '{"ignored":"\\ud800","raw":"x"}',
  '{"ignored":nan,"raw":"x"}', '{"ignored":[[[[}]]],"raw":"x"}', '{"ignored":1e999,"raw":"x"}',
  '{"ignored":-,"raw":"x"}', '{"ignored":"\u0001","raw":"x"}', '{"ignored\n":1,"raw":"x"}',
  '{"ignored":[1 ,2 , 3\n],"raw":"x"}', '{"ignored":{"a":{"b":{"c":01}}},"raw":"x"}',
];

/** Bytes that are no UTF-8, and where. */
function badByteContents() {
  // biome-ignore format: a packed list is easier to read
  const sequences = [
    '80', 'bf', 'ff', 'fe', 'c0', 'c080', 'c1bf', 'c3', 'c328', 'e2', 'e282', 'e28228', 'e08080', 'e09f80', 'eda080',
    'edb080', 'eda0bdedb880', 'f0', 'f09f', 'f09f98', 'f09f9828', 'f0808080', 'f08f8080', 'f4908080', 'f5808080',
    'f8888080a0', 'fc8480808080', 'efbfbe', 'efbbbf', 'efbb', 'c3a9', 'f09f9880', 'e280a8',
  ];
  const contents = [];
  for (const sequence of sequences) {
    const bad = { base64: Buffer.from(sequence, 'hex').toString('base64') };
    contents.push({ parts: ['{"raw":"a', bad, 'b"}'] });
    contents.push({ parts: ['{"raw":"', bad, '"}'] });
    contents.push({ parts: ['{"a', bad, '":1,"raw":"key"}'] });
    contents.push({ parts: ['{"raw', bad, '":1,"content":"longer key"}'] });
    contents.push({ parts: ['{"ignored":"', bad, '","raw":"ignored"}'] });
    contents.push({ parts: ['{"tags":["', bad, '",{"', bad, '":"', bad, bad, '"}]}'] });
    contents.push(
      { parts: [bad, '{"raw":"before"}'] },
      { parts: ['{"raw":"after"}', bad] },
      { parts: ['{"raw":', bad, '1}'] },
      { parts: ['{"raw":1', bad, '}'] },
    );
    contents.push(
      { parts: ['{"raw":"cut', bad] },
      { parts: ['{"raw":"\\u00', bad, '"}'] },
      { parts: ['{"raw":"\\', bad, '"}'] },
      { parts: ['{"raw":"\\ud83d', bad, '\\ude00"}'] },
    );
  }
  return contents;
}

/** Numbers that break an otherwise sound embedding. */
// biome-ignore format: a packed list is easier to read
const BAD_NUMBERS = [
  '01', '-01', '1.', '.5', '+1', '1e', '1e+', '-', '--1', '-.5', 'NaN', 'Infinity', '-Infinity', '0x1', '1.2.3',
  '1e5e5', '1e1.5', '1-1', '1 2', '', '1f', '"1', 'nul', '1,', '1]', '[1', '1_0', '\u00a01', '1\u0000', '\u20281', '٣',
  '1e5-', '-e5', '0.e1', '00', '0.0.0', '/1', '1//', '1/**/',
];
/** Numbers that do not. */
// biome-ignore format: a packed list is easier to read
const GOOD_NUMBERS = [
  '1E5', '1e+5', '-0', '-0.0e-0', '0.10', '1e999', '-1e-999', '123456789012345678901234567890.123456789', '"text"',
  'null', '[[1]]', '{"a":[1]}', '\t1\r\n', '0e99999999999999999999', '1E-99999999999999999999',
];

/**
 * @param {string} number  Put in the place of one.
 * @param {number} place
 * @param {string} separator
 * @param {number} [size]
 * @returns {string}
 */
function embeddingText(number, place, separator, size = 384) {
  const numbers = Array.from({ length: size }, (_, index) => (((index * 7919 + 13) % 2000) / 1000 - 1).toString());
  numbers[place] = number;
  return numbers.join(separator);
}

function embeddingVaults() {
  const layouts = {
    compact: {
      separator: ',',
      wrap: (text) =>
        `{"memory_id":"mem","created_ts":"${PLAIN_DATE}","raw":"compact","embedding":[${text}],"tags":["t"]}`,
    },
    python: {
      separator: ', ',
      wrap: (text) => `{"created_ts": "${PLAIN_DATE}", "raw": "python", "embedding": [${text}], "tags": ["t"]}`,
    },
    pretty: {
      separator: ',\n    ',
      wrap: (text) =>
        `{\n  "created_ts": "${PLAIN_DATE}",\n  "raw": "pretty",\n  "embedding": [\n    ${text}\n  ],\n  "tags": [\n    "t"\n  ]\n}\n`,
    },
    windows: {
      separator: ',\r\n\t\t',
      wrap: (text) =>
        `{\r\n\t"embedding": [\r\n\t\t${text}\r\n\t],\r\n\t"created_ts": "${PLAIN_DATE}",\r\n\t"raw": "windows"\r\n}\r\n`,
    },
  };
  return Object.entries(layouts).map(([layout, { separator, wrap }]) => {
    const contents = [];
    [...BAD_NUMBERS, ...GOOD_NUMBERS].forEach((number, index) => {
      for (const place of [0, 383, 1 + ((index * 37) % 382)])
        contents.push(wrap(embeddingText(number, place, separator)));
    });
    return vaultOfCapsules(`embedding with one odd number, ${layout}`, contents, [
      { options: NO_LIMIT, anyOrder: true },
    ]);
  });
}

function nestingVault() {
  const nest = (open, close, times, inner) => [{ repeat: open, times }, inner, { repeat: close, times }];
  const contents = [];
  for (const times of [1, 100, 127, 128, 129, 500, 1000, 100000]) {
    contents.push({ parts: [`{"raw":"ignored array ${times}","ignored":`, ...nest('[', ']', times, '1'), '}'] });
    contents.push({ parts: [`{"raw":"ignored object ${times}","ignored":`, ...nest('{"a":', '}', times, '1'), '}'] });
    contents.push({ parts: [`{"raw":"tags ${times}","tags":`, ...nest('[', ']', times, ''), '}'] });
    contents.push({ parts: [`{"raw":"tags ${times}","tags":`, ...nest('{"a":[', ']}', times, ''), '}'] });
    contents.push({ parts: [`{"content":"raw ${times}","raw":`, ...nest('[', ']', times, '0'), '}'] });
    contents.push({
      parts: [`{"raw":"one short ${times}","ignored":`, { repeat: '[', times }, { repeat: ']', times: times - 1 }, '}'],
    });
    contents.push({
      parts: [`{"raw":"one too many ${times}","tags":`, { repeat: '[', times }, { repeat: ']', times: times + 1 }, '}'],
    });
    contents.push(
      { parts: nest('[', ']', times, '') },
      { parts: [{ repeat: '[', times }] },
      { parts: [{ repeat: '{"a":', times }] },
    );
  }
  return vaultOfCapsules('deep nesting', contents, [{ options: NO_LIMIT, anyOrder: true }]);
}

/** Timestamps that are arrays in arrays: turned into text by a recursive join, which ends at some depth. */
function nestedTimestampVault() {
  const nested = (times, inner) => ({
    parts: ['{"raw":"nested","created_ts":', { repeat: '[', times }, inner, { repeat: ']', times }, '}'],
  });
  const cases = [];
  for (const times of [1, 2, 50, 1000, 100000]) {
    for (const inner of ['"2024-01-01"', '2024', 'null', '{}', '{"toString":1}']) {
      cases.push({
        entries: (userId) => capsules(userId, { 'a.json': nested(times, inner), 'b.json': stamped('"raw":"usual"') }),
        options: [NO_LIMIT, { since: EARLIEST }, { role: 'nobody', since: EARLIEST }],
      });
      cases.push({ entries: (userId) => capsules(userId, { 'a.json': nested(times, inner) }) });
    }
  }
  return vaultOfUsers('timestamps nested in arrays', cases);
}

/** Files bigger than the pieces that Node reads them in (512 KiB). */
function bigFileVault() {
  const border = 512 * 1024;
  const head = '{"raw":"';
  const contents = [];
  for (const sequence of ['c3a9', 'f09f9880', 'f09f98', 'eda080', 'e282ac', 'ff', 'c3', '5c7530306539', '22']) {
    for (const before of [1, 2, 3]) {
      contents.push({
        parts: [
          head,
          { repeat: 'a', times: border - head.length - before },
          { base64: Buffer.from(sequence, 'hex').toString('base64') },
          'z"}',
        ],
      });
    }
  }
  contents.push(
    { parts: [head, { repeat: 'é', times: 600000 }, '"}'] },
    { parts: [{ repeat: ' ', times: border }, '{"raw":"late"}'] },
  );
  contents.push(
    { parts: ['{"ignored":[', { repeat: '0.123456789,', times: 100000 }, '1],"raw":"long array"}'] },
    { parts: ['{"ignored":"', { repeat: '\\u00e9', times: 200000 }, '","raw":"long text"}'] },
  );
  contents.push(
    { parts: ['{', { repeat: '"ignored":1,', times: 60000 }, '"raw":"many keys"}'] },
    { parts: ['{"', { repeat: 'k', times: 700000 }, '":1,"raw":"long key"}'] },
  );
  contents.push(
    { parts: ['{"raw":1', { repeat: '0', times: 600000 }, '}'] },
    { parts: ['{"tags":[0.', { repeat: '3', times: 600000 }, ',1e-', { repeat: '0', times: 1000 }, '1]}'] },
  );
  contents.push(
    { parts: [head, { repeat: 'x', times: border - head.length - 2 }, '"}'] },
    { parts: [head, { repeat: 'x', times: border - head.length - 1 }, '"}'] },
  );
  return vaultOfCapsules('big files', contents, [{ options: NO_LIMIT, anyOrder: true }]);
}

/** Numbers whose nearest double is hard to find, kept in the tags. */
function numberVault() {
  // biome-ignore format: a packed list is easier to read
  const texts = [
    '9007199254740992.5', '9007199254740993', '9007199254740993.0000000000000001', '2.2250738585072011e-308',
    '2.2250738585072012e-308', '2.2250738585072014e-308', '4.9406564584124654e-324', '2.4703282292062327208e-324',
    '2.4703282292062328e-324', '1.7976931348623157e308', '1.7976931348623158079e308', '1.797693134862315807937e308',
    '179769313486231580793728971405301e276', '0.000000000000000000000000000000000000000000000000001e40', '1e23',
    '8.5e22', '6.02214076e+23', '5e-1', '0.1e1', '123456789.123456789e-10', '-1e-7', '1e21', '1e-6',
    '18446744073709551616', '18446744073709551615', '9223372036854775807', '-9223372036854775808',
    '-9223372036854775809', '4294967296', '2147483648', '-2147483649', '1073741824', '-1073741825', '1e400', '-1e400',
    '0e400', '1e-324', '1.0', '-0.0', '100e-2', '0.30000000000000004', '3.0e0', '12345678901234567890123e-5',
    '1e+0000000000000000000000000000000000000001', '1e-2147483649', '1e2147483648', '1e18446744073709551617',
    '0e18446744073709551617',
  ];
  const long = [
    { parts: ['{"tags":1', { repeat: '0', times: 308 }, '}'] },
    { parts: ['{"tags":1', { repeat: '0', times: 309 }, '}'] },
    { parts: ['{"tags":0.', { repeat: '0', times: 400 }, '1e400}'] },
  ];
  for (const digits of [15, 16, 17, 18, 19, 20, 400, 770, 780, 800]) {
    long.push(
      { parts: ['{"tags":9007199254740993.', { repeat: '0', times: digits }, '}'] },
      { parts: ['{"tags":9007199254740993.', { repeat: '0', times: digits }, '1}'] },
    );
    long.push({
      parts: [
        '{"tags":[0.',
        { repeat: '5', times: digits },
        ',',
        { repeat: '7', times: digits },
        ',',
        { repeat: '7', times: digits },
        'e-300]}',
      ],
    });
  }
  return vaultOfCapsules(
    'numbers',
    [...texts.map((text) => stamped(`"tags":[${text}],"raw":${text}`)), ...long],
    [{ options: NO_LIMIT, anyOrder: true }],
  );
}

// ---------------------------------------------------------------------------------------------------------------------
// Odd dates

/** What JavaScript reads as a date, and what it does not; no two of the readable ones within one group should depend on today's date. */
// biome-ignore format: a packed list is easier to read
const DATE_TEXTS = [
  // ISO 8601, as the standard has it, and almost
  '2024', '2024-02', '2024-02-29', '2023-02-29', '2024-02-30', '2024-02-31', '2024-02-32', '2024-04-31', '2024-13-01',
  '2024-00-01', '2024-01-00', '2024-1-1', '2024-1-01', '2024-01-1', '2024-001', '2024-W01', '20240101', '202401',
  '20240101T000000Z', '2024-01-01T', '2024-01-01T00', '2024-01-01T00Z', '2024-01-01T00:00', '2024-01-01T00:00Z',
  '2024-01-01T00:00:00', '2024-01-01T00:00:00Z', '2024-01-01T00:00:00.0Z', '2024-01-01T00:00:00.1Z',
  '2024-01-01T00:00:00.12Z', '2024-01-01T00:00:00.123Z', '2024-01-01T00:00:00.1234Z', '2024-01-01T00:00:00.123456Z',
  '2024-01-01T00:00:00.123456789Z', '2024-01-01T00:00:00.123456789012Z', '2024-01-01T00:00:00.999999999999Z',
  '2024-01-01T00:00:00.9999', '2024-01-01T00:00:00.Z', '2024-01-01T00:00:00,5Z', '2024-01-01T00:00:00.123',
  '2024-01-01T00:00:00.123456', '2024-01-01T00:00:00.123456+00:00', '2024-01-01T00:00:00.123456-05:00',
  '2024-01-01T00:00.5Z', '2024-01-01T24:00', '2024-01-01T24:00Z', '2024-01-01T24:00:00Z', '2024-01-01T24:00:00.000Z',
  '2024-01-01T24:00:00.001Z', '2024-01-01T24:00:01Z', '2024-01-01T24:01Z', '2024-01-01T25:00Z', '2024-01-01T23:60Z',
  '2024-01-01T23:59:60Z', '2024-01-01T23:59:59.9999Z', '2024-01-01T1:00Z', '2024-01-01T01:0Z', '2024-01-01T01:00:0Z',
  '2024-01-01T00:00:00+00:00', '2024-01-01T00:00:00-00:00', '2024-01-01T00:00:00+05:30', '2024-01-01T00:00:00-05:30',
  '2024-01-01T00:00:00+0530', '2024-01-01T00:00:00+05', '2024-01-01T00:00:00+5', '2024-01-01T00:00:00+5:30',
  '2024-01-01T00:00:00+23:59', '2024-01-01T00:00:00+24:00', '2024-01-01T00:00:00+25:00', '2024-01-01T00:00:00+05:60',
  '2024-01-01T00:00:00+05:99', '2024-01-01T00:00:00+05:30:15', '2024-01-01T00:00:00+053015',
  '2024-01-01T00:00:00 +05:30', '2024-01-01T00:00:00 Z', '2024-01-01T00:00:00z', '2024-01-01t00:00:00Z',
  '2024-01-01t00:00:00z', '2024-01-01T00:00:00ZZ', '2024-01-01T00:00:00UTC', '2024-01-01T00:00:00GMT',
  '2024-01-01T00:00:00GMT+2', '2024-01-01T00:00:00 GMT+0200', '2024-01-01T00:00:00Z+01:00',
  '2024-01-01T00:00:00+01:00Z', '2024-01-01T00:00:00−05:00', '2024−01−01', '2024-01-01T00:00:00[UTC]',
  '2024-01-01T00:00:00+01:00[Europe/Paris]', '2024-01-01T00:00:00 PST', '2024-01-01T00:00:00EST', '2024-01-01TZ',
  '2024-01-01Z', '2024-01-01 Z', '2024-01Z', '2024Z', '2024-01-01+01:00', '2024T00:00Z', '2024-01T00:00Z', '2024T00:00',
  '2024-06T12:30',
  '2024-01-01 00:00', '2024-01-01 00:00:00', '2024-01-01 00:00:00Z', '2024-01-01 00:00:00.123',
  '2024-01-01 00:00:00.123456', '2024-01-01 00:00:00.123456789Z', '2024-01-01 00:00:00+00:00',
  '2024-01-01 00:00:00 +0000', '2024-01-01 00:00:00 UTC', '2024-01-01  00:00', '2024-01-01, 00:00', '2024-01-01 T00:00',
  '2024-01-01T 00:00', '2024-01-01 24:00', '2024-01-01 24:00:00', '2024-01-01 24:00:01', '2024-01-01_00:00',
  '2024-01-01-00:00', '2024-01-01 00-00-00', '2024-01-01T00-00-00Z', '2024:01:01T00:00:00Z', '2024:01:01 00:00:00',
  '2025:10:25T21:19:32Z', '2024.01.01', '2024.01.01 10:00', '2024-01-01 10.30', '2024-01-01 10h30',
  '0000', '0000-01-01', '0000-01-01T00:00:00Z', '0001-01-01T00:00:00Z', '0049-01-01T00:00:00Z', '0099-12-31',
  '+0000-01-01', '+000000-01-01T00:00:00Z', '-000000-01-01T00:00:00Z', '-000000', '+002024-01-01T00:00:00Z',
  '-002024-01-01T00:00:00Z', '+2024-01-01', '-2024-01-01', '+275760-09-13T00:00:00.000Z', '+275760-09-13T00:00:00.001Z',
  '-271821-04-20T00:00:00.000Z', '-271821-04-19T23:59:59.999Z', '+275760-09-13T00:00:00', '-271821-04-20T00:00:00',
  '+999999-01-01', '-000001', '-000001-01-01T00:00:00Z', '+012024', '+12024-01-01', '12024-01-01', '002024-01-01',
  '9999-12-31T23:59:59.999Z', '10000-01-01', '10000', '999999', '275760', '275761', '1e3', '1970-01-01T00:00:00Z',
  '1969-12-31T23:59:59.999Z', '1900-01-01', '1900-02-29', '2000-02-29', '2100-02-29',
  // Around changes of local time, some long ago
  '2024-03-10T01:59:59', '2024-03-10T02:00:00', '2024-03-10T02:30:00', '2024-03-10T03:00:00', '2024-11-03T00:59:59',
  '2024-11-03T01:00:00', '2024-11-03T01:30:00', '2024-11-03T02:00:00', '2024-03-31T01:30:00', '2024-03-31T02:30:00',
  '2024-10-27T01:30:00', '2024-10-27T02:30:00', '2024-04-07T01:45:00', '2024-10-06T02:15:00', '2011-12-29T12:00:00',
  '2011-12-30T00:00:00', '2011-12-30T12:00:00', '2011-12-31T00:00:00', '1883-11-18T12:00:00', '1883-11-18T12:03:58',
  '1850-01-01T00:00:00', '1892-07-04T12:00:00', '1937-07-01T00:00:00', '1940-05-16T00:30:00', '1945-08-15T12:00:00',
  '1972-01-07T00:20:00', '1900-01-01T00:00:00', '2037-07-01T00:00:00', '2038-01-19T03:14:08', '2100-07-01T00:00:00',
  '2500-01-01T00:00:00', '0100-01-01T00:00:00', '-000100-01-01T00:00:00',
  // The legacy forms
  'Mon, 06 May 2024 07:08:09 GMT', 'Mon, 06 May 2024 07:08:09 +0000', 'Mon, 06 May 2024 07:08:09 -0500',
  'Mon, 06 May 2024 07:08:09', 'Mon, 6 May 24 07:08:09 EST', '6 May 2024 07:08',
  'Mon May 06 2024 07:08:09 GMT+0200 (Central European Summer Time)', 'Mon May 06 2024 07:08:09 GMT+0200',
  'Mon May  6 07:08:09 2024', 'Mon May  6 07:08:09 UTC 2024', 'Mon May 06 2024', 'Monday, May 6, 2024',
  'Monday, 6. May 2024', 'May 6, 2024', 'May 6 2024', 'May 6th, 2024', 'May 6, 2024, 7:08:09 AM',
  'May 6, 2024 at 7:08 AM', 'Mar 3 2025 5:00 PM PST', 'Mar 3 2025 5:00PM', 'Mar 3 2025 5 PM', 'Mar 3 2025 5pm',
  'March 3, 2025 17:00 PM', 'March 3, 2025 12:00 AM', 'March 3, 2025 12:00 PM', 'March 3, 2025 0:30 PM',
  'March 3, 2025 13:00 AM', 'March 3, 2025 5:00 p.m.', 'March 3, 2025 5:00 P', '2025/03/03', '2025/3/3',
  '2025/03/03 10:11:12', '2025/03/03T10:11:12Z', '2025/03', '2025/13/01', '2025/02/31', '2025/02/32', '03/03/2025',
  '3/3/2025', '13/03/2025', '03/13/2025', '3/3/25', '3/3/49', '3/3/50', '3/3/99', '3/3/100', '3/3/0', '3/3', '3-3-2025',
  '03-13-2025', '13-03-2025', '3.3.2025', '13.03.2025', '3 March 2025', '3 Mar 2025', '3-Mar-2025', '3Mar2025',
  'Mar32025', 'march2025', 'March 2025', 'Mar 2025', 'Mar', 'Mar 3', '2025 Mar 3', '2025 3 Mar', '2025-Mar-03',
  '25 Mar 3', 'Sept 3 2025', 'Sep 3 2025', 'Sepx 3 2025', 'Se 3 2025', 'JANUARY 1 2024', 'jan 1 2024', 'Janvier 1 2024',
  'Märch 3 2025', 'May May 3 2025', 'Mai 3 2025', '1 Jan 0', '1 Jan 00', '1 Jan 49', '1 Jan 50', '1 Jan 99',
  '1 Jan 100', '1 Jan 1000', '1 Jan 275761', '32 Jan 2024', '0 Jan 2024', '31 Jan 32', '31 Jan 31', '32 Jan 31',
  '12:00', '12:00 2024', '2024 12:00', 'Jan 1 2024 25:00', 'Jan 1 2024 24:00', 'Jan 1 2024 24:01', 'Jan 1 2024 12:60',
  'Jan 1 2024 12:59:60', 'Jan 1 2024 12:30:15.5', 'Jan 1 2024 12:30:15.123456', 'Jan 1 2024 12:30:15:500',
  'Jan 1 2024 12:30.5', 'Jan 1 2024 1', 'Jan 1 2024 12', 'Jan 1 2024 12:', 'Jan 1 2024 :12', 'Jan 1 2024 12:30 UTC+3',
  'Jan 1 2024 12:30 UTC+03:30', 'Jan 1 2024 12:30 UTC-0330', 'Jan 1 2024 12:30 GMT', 'Jan 1 2024 12:30 UT',
  'Jan 1 2024 12:30 Z', 'Jan 1 2024 12:30 z', 'Jan 1 2024 12:30Z', 'Jan 1 2024 12:30 CST', 'Jan 1 2024 12:30 CDT',
  'Jan 1 2024 12:30 EDT', 'Jan 1 2024 12:30 MST', 'Jan 1 2024 12:30 MDT', 'Jan 1 2024 12:30 PDT',
  'Jan 1 2024 12:30 PST', 'Jan 1 2024 12:30 CET', 'Jan 1 2024 12:30 BST', 'Jan 1 2024 12:30 IST',
  'Jan 1 2024 12:30 JST', 'Jan 1 2024 12:30 A', 'Jan 1 2024 12:30 +1', 'Jan 1 2024 12:30 +10', 'Jan 1 2024 12:30 +100',
  'Jan 1 2024 12:30 +1000', 'Jan 1 2024 12:30 +10000', 'Jan 1 2024 12:30 +10:0', 'Jan 1 2024 12:30 - 5',
  'Jan 1 2024 12:30 -', 'Jan 1 2024 12:30 +', 'Jan 1 2024 12:30 EST+1', 'Jan 1 2024 12:30 EST EST',
  'Jan 1 2024 12:30 (EST)', 'Jan 1 2024 (a comment) 12:30', '(before) Jan 1 2024', 'Jan (in (nested)) 1 2024',
  'Jan 1 2024 (open', 'Jan 1 2024 ) 12:30', 'Jan 1 2024)', 'Jan 1 2024 () 12:30 (', 'Jan 1 2024 12:30 (GMT+2)',
  '2024-01-01 (x)', '2024-01-01T00:00:00Z (x)', '2024-01-01T00:00:00(x)Z',
  'x', 'x 2024', 'x2024', 'xyz 1 2024', 'noon Jan 1 2024', 'Jan 1 2024 noon', 'foo 1 Jan 2024', 'foo bar 2024-01-01',
  '1 foo 2024', 'Jan 1 2024 foo', 'Jan 1 2024 12:30 foo', 'Jan 1 2024, foo', 'today', 'now', 'yesterday', 'never',
  'not a date', 'unknown', 'N/A', 'null', 'undefined', 'NaN', 'Invalid Date', '[object Object]', 'true', 'Infinity',
  '-Infinity', 'T', 'Z', '-', '+', ':', '.', '/', ',', '()', '(', ')', '--', '- -', '1', '0', '-1', '-0', '00', '01',
  '12', '13', '31', '32', '49', '50', '99', '100', '101', '999', '1000', '1234', '12345', '123456', '1234567',
  '1700000000', '1700000000000', '1700000000000.5', '-1700000000000', '+1700000000000', '1.5', '1.1.1', '1,1', '1 1',
  '1 1 1', '1 1 1 1', '1/1/1', '1-1-1', '1/2/3/4', '1-', '1/', '1.', '-1-1-1', '2024-', '2024-01-', '2024-01-01-',
  '2024--01', '2024-01--01', '-2024', '+2024', '--2024-01-01', '2024-01-01T00:00:00-', '2024-01-01T00:00:00+',
  '2024-01-01T00:00:00+:', '2024-01-01T00:00:00.', '2024-01-01T:00', '2024-01-01T00:', '2024-01-01T00:00:',
  ' 2024-01-01', '2024-01-01 ', ' 2024-01-01T00:00:00Z ', '\t2024-01-01', '2024-01-01\n', '\u00a02024-01-01',
  '2024-01-01\u00a0', '\ufeff2024-01-01', '2024-01-01T00:00:00Z\u0000', '\u00002024', '2024\u0000-01-01', '２０２４-01-01',
  '٢٠٢٤', '2024\u201301\u201301', '2024-01-01T00:00:00\u200b', 'Jan\u00a01\u00a02024', 'Jan 1 2024 5:00\u202fPM',
  'January 1,\u20092024', '2024年1月1日', '1er janvier 2024', 'é 2024', '2024 é', '\ud83d\ude00 2024',
  '2024-01-01T00:00:00Zé', 'May\t6\t2024', 'May\n6\n2024', 'May-6-2024', 'May/6/2024', 'May.6.2024', 'May,6,2024',
  'May_6_2024', 'May;6;2024', "May 6 '24", '"2024-01-01"', "'2024'", '`2024`', '{2024}', '[2024]', '<2024>', '#2024',
  '2024#', '@1700000000', '$2024', '2024%', '2024&1', '2024=1', '2024?', '2024!', '*', '~2024', '^2024', '|2024',
  '\\2024',
  `2024-01-01T00:00:00.${'1'.repeat(100)}Z`, `2024-01-01T00:00:00.${'9'.repeat(400)}`,
  `${'0'.repeat(50)}2024-01-01`, '1'.repeat(30), '0'.repeat(400), `Jan 1 ${'0'.repeat(100)}2024`,
  `Jan 1 2024 12:30:15.${'4'.repeat(60)}`, `${'9'.repeat(20)}-01-01`, '4294967296-01-01', '2147483648', '2147483647',
  '1 Jan 2147483648', '1 Jan 4294968320', 'Jan 1 2024 12:30 +99999999999', 'a'.repeat(5000), `${' '.repeat(5000)}2024`,
  `2024 ${'('.repeat(2000)}`, `2024 (${'x'.repeat(3000)})`, `${'January'.repeat(300)} 1 2024`, '1 '.repeat(40),
  '1-'.repeat(20), `${'Z'.repeat(40)} 2024`, 'PM 1 2024', 'AM', 'PM', 'PM 5:00 Jan 1 2024', 'Jan 1 2024 5:00 PM AM',
  'Jan 1 2024 PM', 'GMT Jan 1 2024', 'UTC 2024-01-01', 'Z 2024', '2024 UTC', '2024-06-01 UTC', '2024-06-01 GMT+1',
  '2024-06-01 +01:00', '2024-06-01 -01:00', '2024-06-01 EST', '06-01-2024 EST', '6/1/2024 12:00 am',
  '6/1/2024, 12:00:00 AM', '1/6/2024, 23:59:59', '2024. 6. 1. 오전 12:00:00', '1.6.2024, 00:00:00', '2024-6-1 0:0:0',
  '2024-6-1T0:0:0', '2024-06-1T00:00:00Z', '2024-6-01T00:00:00Z', '2024-06-01T00:00:00.000000Z',
  '2024-06-01T00:00:00.000+0000', '2024-06-01T00:00:00.000+00', '20240601T000000', '2024-06-01T000000Z',
  '2024-06-01T0000', '2024-06-01T00:0000',
];

/**
 * Vaults where each date text is the timestamp of one capsule; calls ask for the exact instants.
 *
 * @returns {VaultDescription[]}
 */
function dateVaults() {
  const vaults = [];
  const size = 40;
  for (let start = 0; start < DATE_TEXTS.length; start += size) {
    const texts = DATE_TEXTS.slice(start, start + size);
    const contents = texts.map((text, index) =>
      objectText([[index % 2 === 0 ? 'created_ts' : 'timestamp', JSON.stringify(text)]]),
    );
    const calls = [
      { options: NO_LIMIT },
      { options: { ...NO_LIMIT, since: EARLIEST } },
      { options: { since: { $date: 0 }, until: { $date: Date.UTC(2024, 5) } } },
    ];
    for (const text of texts) calls.push({ options: { limit: 3, since: { $dateOf: text }, until: { $dateOf: text } } });
    vaults.push(vaultOfCapsules(`date texts from ${start}`, contents, calls, { zoned: true }));
  }
  return vaults;
}

/** Dates in the headers of transcripts, where they come trimmed. */
function transcriptDateVault() {
  const files = {};
  DATE_TEXTS.filter((text, index) => index % 9 === 0 && !text.includes('\n') && !text.includes('\u0000')).forEach(
    (text, index) => {
      files[`s/${String(index).padStart(3, '0')}.txt`] = `# Timestamp: ${text}\n# Role: user\n# ---\nbody ${index}`;
    },
  );
  return {
    name: 'date texts of transcripts',
    zoned: true,
    entries: transcripts('u', files),
    calls: [
      NO_LIMIT,
      { limit: 20, since: EARLIEST },
      { until: { $date: Date.UTC(2024, 0) } },
      { since: { $date: Date.UTC(2024, 0) } },
    ].map((options) => ({ userId: 'u', options })),
  };
}

/** The process changes its time zone between calls. */
function zoneChangeVault() {
  // biome-ignore format: a packed list is easier to read
  const texts = [
    '2024-01-01T12:00:00', '2024-01-01T12:00:00Z', '2024-01-01', 'Jan 1 2024 17:00', '2024-01-01T20:00:00+05:00',
    '2024/01/01',
  ];
  const zones = ['UTC', 'America/New_York', 'Asia/Kolkata', 'Pacific/Apia', 'Etc/GMT+12', 'America/Los_Angeles', 'UTC'];
  const calls = [];
  for (const zone of zones) {
    calls.push(
      { zone, options: NO_LIMIT },
      { zone, options: { since: { $date: Date.UTC(2024, 0, 1, 12) } } },
      { zone, options: { since: { $dateOf: '2024-01-01T12:00:00' }, until: { $dateOf: '2024-01-01T12:00:00' } } },
    );
  }
  return vaultOfCapsules(
    'time zone changed while running',
    texts.map((text) => objectText([['created_ts', JSON.stringify(text)]])),
    calls,
  );
}

// ---------------------------------------------------------------------------------------------------------------------
// Odd order: the original's comparator is inconsistent where dates don't parse, so the very algorithm decides

/**
 * A small generator of pseudo-random numbers (mulberry32): the same seed gives the same numbers on every machine.
 */
class Dice {
  /** @param {number} seed */
  constructor(seed) {
    this.state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) >>> 0;
  }

  /** @returns {number} from 0 up to, not including, 1 */
  fraction() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  /** @returns {number} a whole number, both ends included */
  between(least, most) {
    return least + Math.floor(this.fraction() * (most - least + 1));
  }

  /** @returns {boolean} */
  chance(probability) {
    return this.fraction() < probability;
  }

  /** @template T @param {ArrayLike<T>} choices @returns {T} */
  pick(choices) {
    return choices[this.between(0, choices.length - 1)];
  }

  /** @template T @param {(() => T)[]} makers @returns {T} */
  make(makers) {
    return this.pick(makers)();
  }

  /** @template T @param {T[]} items @returns {T[]} a shuffled copy */
  shuffle(items) {
    const shuffled = [...items];
    for (let index = shuffled.length - 1; index > 0; index--) {
      const other = this.between(0, index);
      [shuffled[index], shuffled[other]] = [shuffled[other], shuffled[index]];
    }
    return shuffled;
  }
}

const NO_DATES = ['not a date', 'unknown', 'x', '2024-13-45', 'T', '-', '2024-01-01T99:99'];

/**
 * Keys for a sort: runs that rise, fall or stay, and keys that are no dates (null) among them.
 *
 * @param {Dice} dice
 * @param {number} size
 * @returns {(number | null)[]}
 */
function sortKeys(dice, size) {
  const keys = [];
  const noDates = dice.pick([0, 0.02, 0.1, 0.3, 0.7]);
  const distinct = dice.pick([2, 5, 20, 1000, 1000000]);
  const longestRun = dice.pick([1, 3, 8, 40, 200, 2000]);
  while (keys.length < size) {
    const length = Math.min(dice.between(1, longestRun), size - keys.length);
    const step = dice.pick([-1, 0, 1, 1, -1, 7]);
    let key = dice.between(0, distinct);
    for (let index = 0; index < length; index++) {
      keys.push(dice.chance(noDates) ? null : key);
      key += step === 7 ? dice.between(-distinct, distinct) : step;
    }
  }
  return keys;
}

/**
 * Capsules in this order of files, with these keys as timestamps.
 *
 * @param {Dice} dice
 * @param {(number | null)[]} keys
 * @returns {string[]} file contents
 */
function sortableContents(dice, keys) {
  const start = Date.UTC(2020, 0);
  return keys.map((key) => {
    const role = dice.chance(0.8) ? 'user' : 'assistant';
    if (key === null) return `{"created_ts":${JSON.stringify(dice.pick(NO_DATES))},"role":"${role}"}`;
    const time = start + key * 1000;
    const text = dice.make([
      () => `"${new Date(time).toISOString()}"`,
      () => String(time),
      () => `"${new Date(time).toUTCString()}"`,
    ]);
    return `{"created_ts":${text},"role":"${role}"}`;
  });
}

const SORT_CALLS = [
  { options: NO_LIMIT },
  {},
  { options: { limit: 3, role: 'user' } },
  { options: { limit: 0, since: EARLIEST } },
  { options: { limit: 0, until: { $date: Date.UTC(2020, 0, 1, 0, 10) } } },
];

function sortVaults() {
  const dice = new Dice(20251116);
  const vaults = [];
  const cases = [];
  for (let index = 0; index < 120; index++) {
    const contents = sortableContents(dice, sortKeys(dice, 2 + (index % 39)));
    const files = Object.fromEntries(
      contents.map((content, place) => [`${String(place).padStart(3, '0')}.json`, content]),
    );
    cases.push({ entries: (userId) => capsules(userId, files), options: [NO_LIMIT, {}] });
  }
  vaults.push(vaultOfUsers('order of 2 to 40 with no dates among them', cases));
  for (const size of [31, 32, 33, 48, 63, 64, 65, 70, 96, 127, 128, 129, 200, 257, 400, 600, 1024, 2000]) {
    vaults.push(
      vaultOfCapsules(
        `order of ${size} with no dates among them`,
        sortableContents(dice, sortKeys(dice, size)),
        SORT_CALLS,
      ),
    );
  }
  // Two long runs and one key that is no date at their border, so that merging gallops over it.
  for (const [size, hole] of [
    [64, 32],
    [128, 64],
    [300, 150],
    [300, 10],
    [300, 290],
  ]) {
    const keys = Array.from({ length: size }, (_, index) =>
      index === hole ? null : index < hole ? size - index : 2 * size - index,
    );
    vaults.push(
      vaultOfCapsules(`order of two runs of ${size} around ${hole}`, sortableContents(dice, keys), SORT_CALLS),
    );
  }
  vaults.push(vaultOfCapsules('order of equal dates', sortableContents(dice, Array(150).fill(5)), SORT_CALLS));
  vaults.push(vaultOfCapsules('order of no dates', sortableContents(dice, Array(150).fill(null)), SORT_CALLS));
  return vaults;
}

// ---------------------------------------------------------------------------------------------------------------------
// Odd arguments

/** A capsule folder and a transcript folder for the tests of arguments. */
function argumentEntries() {
  const capsuleFiles = {};
  for (let index = 0; index < 14; index++) {
    const role = ['user', 'assistant', 'system', '\\ud800', ''][index % 5];
    capsuleFiles[`c${index}.json`] =
      `{"created_ts":"2024-03-${String(index + 1).padStart(2, '0')}T00:00:00Z","raw":"c${index}","role":"${role}"}`;
  }
  const transcriptFiles = {};
  for (let index = 0; index < 14; index++) {
    transcriptFiles[`s${index % 3}/t${index}.txt`] =
      `# Timestamp: 2024-03-${String(index + 1).padStart(2, '0')}T00:00:00Z\n# Role: ${['user', 'assistant'][index % 2]}\n# ---\nt${index}`;
  }
  return [
    ...capsules('u', capsuleFiles),
    ...transcripts('t', transcriptFiles),
    { path: 'users/bare', directory: true },
  ];
}

function optionsVault() {
  const date = (text) => ({ $date: Date.parse(text) });
  // biome-ignore format: a packed list is easier to read
  const noNumbers = [
    null, '5', '', true, false, [], [5], {}, { $bigint: '5' }, { $date: 5 }, { $symbol: 's' }, { $function: 'f' },
    { $boxed: 5 },
  ];
  // biome-ignore format: a packed list is easier to read
  const numbers = [
    0, { $number: '-0' }, 1, 2, 2.5, 0.5, 0.999, 13, 14, 15, 1e9, 4294967296, 4294967297, 9007199254740992, 1e300,
    5e-324, -1, -0.5, -1e-300, { $number: 'NaN' }, { $number: 'Infinity' }, { $number: '-Infinity' },
    { $undefined: true },
  ];
  // biome-ignore format: a packed list is easier to read
  const roles = [
    'user', 'assistant', 'system', 'User', 'user ', '', '\ud800', 'nobody', '__proto__', null, { $undefined: true }, 0,
    5, true, false, [], ['user'], {}, { $boxed: 'user' }, { $boxed: '' }, { $symbol: 'user' }, { $function: 'user' },
    { $bigint: '0' }, { $bigint: '1' }, { $number: 'NaN' },
  ];
  // biome-ignore format: a packed list is easier to read
  const noDates = [
    '2024-03-05', '', 0, 1, 1709600000000, null, { $undefined: true }, true, false, {}, [], ['2024-03-05'],
    { $date: null }, { $falseDate: true }, { $lyingDate: { time: null, claims: 5 } },
    { $lyingDate: { time: 1709600000000, claims: null } }, { $lyingDate: { time: 1709600000000, claims: 0 } },
    { $bigint: '0' }, { $bigint: '5' }, { $symbol: 'd' }, { $function: 'd' }, { $number: 'NaN' },
  ];
  const dates = [
    '2024-03-05T00:00:00Z',
    '2024-03-05T00:00:00.001Z',
    '2024-03-04T23:59:59.999Z',
    '1970-01-01T00:00:00Z',
    '+275760-09-13T00:00:00.000Z',
    '-271821-04-20T00:00:00.000Z',
  ].map(date);
  // biome-ignore format: a packed list is easier to read
  const sessions = [
    's0', 's1', 'S0', 's0/', './s0', '', null, { $undefined: true }, 0, false, 'absent', '\ud800', 's0\u0000', '.',
    '..',
  ];
  // biome-ignore format: a packed list is easier to read
  const oddSessions = [
    5, true, {}, [], ['s0'], { $symbol: 's0' }, { $boxed: 's0' }, { $function: 's0' }, { $bigint: '1' },
  ];
  // biome-ignore format: a packed list is easier to read
  const options = [
    ...[...numbers, ...noNumbers].map((limit) => ({ limit })),
    ...roles.map((role) => ({ role })),
    ...[...noDates, ...dates].flatMap((since) => [{ since }, { until: since }, { since, limit: 2, role: 'user' }]),
    ...[...sessions, ...oddSessions].map((sessionId) => ({ sessionId })),
    { since: dates[0], until: dates[0] }, { since: dates[0], until: dates[2] },
    { since: dates[2], until: dates[1], limit: 1 },
    { limit: -1, since: 'x', until: 'y', role: 5 }, { limit: '5', role: {} }, { since: {}, role: [] },
    {}, null, { $undefined: true }, 'text', '', 5, 0, true, false, [], [1, 2], { $symbol: 'o' }, { $bigint: '1' },
    { $function: 'o' }, { $date: 0 }, { $boxed: 'abc' },
    { unknown: 1, tags: ['a'], constructId: 'nova-001' }, { $pairs: [['__proto__', { limit: 1 }]] },
    { $pairs: [['__proto__', null], ['limit', 2]] },
    { $inherit: { from: { limit: 2 }, own: {} } }, { $inherit: { from: { limit: -2 }, own: {} } },
    { $inherit: { from: { role: 'user', since: dates[0] }, own: { limit: 3 } } },
    { $inherit: { from: { sessionId: 's0' }, own: {} } },
    ...['limit', 'since', 'until', 'role', 'sessionId', 'other'].map((key) => ({ $throwing: { key, message: `no ${key}` } })),
    { $changing: { key: 'role', values: ['user', 'user', 'assistant'] } },
    { toString: 1 }, { limit: 2, sessionId: 's1', role: 'user' },
    { limit: 0, sessionId: 's1', role: 'user', since: dates[0], until: date('2024-03-12T00:00:00Z') },
  ];
  const calls = [{ userId: 'u' }, { userId: 't' }, { userId: 'absent' }];
  for (const each of options) {
    for (const userId of ['u', 't', 'absent']) calls.push({ userId, options: each });
  }
  return { name: 'options', entries: argumentEntries(), calls };
}

function userIdVault() {
  // biome-ignore format: a packed list is easier to read
  const names = [
    'u', ' ', ' u', 'u ', 'ü', 'u\u0308', '日本語', '😀', '\ufffd', 'u\n', 'U', 'deep/er', 'deep/er/still', '-', '*', '~',
    '%2e', 'u\\v', 'constructor', '__proto__', 'null', 'undefined', '0', 'u.json', '...', '.hidden', 'a'.repeat(255),
    'shard_0000', 'shard_0000/inner', 'users', 'capsules-owner',
  ];
  const entries = names.flatMap((name) =>
    capsules(name, { 'one.json': stamped(`"raw":${JSON.stringify(`of ${name.slice(0, 20)}`)}`) }),
  );
  entries.push(
    { path: 'users/file', text: 'no folder' },
    { path: 'users/dangling', link: 'nowhere' },
    { path: 'users/linked', link: 'u' },
    { path: 'users/linked-deep', link: 'deep/er' },
    { path: 'users/linked-absolute', link: '{vault}/users/u' },
  );
  entries.push(
    { path: 'users/loop', link: 'loop' },
    { path: 'users/loop-a', link: 'loop-b' },
    { path: 'users/loop-b', link: 'loop-a' },
    { path: 'users/linked-file', link: 'file' },
    { path: 'users/empty', directory: true },
  );
  entries.push({ path: 'users/capsules/own.json', text: stamped('"raw":"in users itself"') });
  // biome-ignore format: a packed list is easier to read
  const odd = [
    'u/', 'u//', '/u', '//u', './u', 'u/.', 'u/./', 'u/../u', 'absent/../u', 'u/../linked', 'deep//er',
    'deep/../deep/er', '.', './', './.', 'u/..', 'linked/', 'linked-deep/still', 'linked-deep/..', 'file/', 'file/.',
    'u\u0000', '\u0000', 'u\u0000/../u', '\ud800', '\udc00\ud800', 'a'.repeat(256), 'a'.repeat(5000), 'a/'.repeat(2500),
    'u/'.repeat(100), `${'./'.repeat(3000)}u`, 'absent', 'file/x', 'one.json', 'u/capsules', 'u/capsules/one.json',
    'u/../../users/u', '..u', 'u..', '../users/u', 'empty',
  ];
  // biome-ignore format: a packed list is easier to read
  const noStrings = [
    '', null, { $undefined: true }, 0, 5, { $number: 'NaN' }, true, false, {}, [], ['u'], { $boxed: 'u' },
    { $symbol: 'u' }, { $bigint: '5' }, { $function: 'u' }, { $date: 0 },
  ];
  const userIds = [
    ...names,
    'file',
    'dangling',
    'linked',
    'linked-deep',
    'linked-absolute',
    'loop',
    'loop-a',
    'linked-file',
    ...odd,
    ...noStrings,
  ];
  const calls = userIds.flatMap((userId) => [
    { userId },
    { userId, config: { logging: { debug: true, logFileOps: true } } },
  ]);
  calls.push({ userId: '', options: null }, { userId: 5, options: { limit: -1, role: 7 } });
  return { name: 'user ids', entries, calls };
}

function configVault() {
  const nothing = { $undefined: true };
  const usual = ORDINARY_CONFIG.directories;
  // biome-ignore format: a packed list is easier to read
  const configs = [
    ...[nothing, null, 5, '', {}, [], true, '{vault}/', '{vault}//', '{vault}/.', '{vault}/users/..', '{vault}/absent', '{vault}/../linked-vault', '{vault}/../linked-vault/', '{vault}/../linked-linked', '{vault}\u0000', '{vault}/users/u/capsules/c0.json', { $symbol: 'p' }, { $bigint: '1' }].map((vvaultPath) => ({ vvaultPath })),
    ...[nothing, null, {}, [], 'users', 5].map((directories) => ({ directories })),
    ...['users', 'capsules', 'transcripts'].flatMap((key) => [nothing, null, '', '.', './', 'absent', 5, {}, [], true, `${usual[key]}/`, `./${usual[key]}`, `absent/../${usual[key]}`, `/${usual[key]}`, `${usual[key]}\u0000`, '\u0000', { $symbol: 'd' }].map((value) => ({ directories: { ...usual, [key]: value } }))),
    ...[{ users: 'users' }, { users: 'users', capsules: 'capsules' }, { users: 'users', transcripts: 'transcripts' }, { capsules: 'capsules', transcripts: 'transcripts' }].map((directories) => ({ directories })),
    { directories: { ...usual, capsules: 'transcripts' } }, { directories: { ...usual, transcripts: 'capsules' } },
    { directories: { users: 'users', capsules: '../u/capsules', transcripts: '../t/transcripts' } },
    { directories: { ...usual, users: 'users/deep' } },
    ...[nothing, null, {}, 5, '', { debug: true }, { logFileOps: true }, { debug: true, logFileOps: true }, { debug: 1, logFileOps: 'yes' }, { debug: 0, logFileOps: '' }, { debug: {}, logFileOps: [] }].map((logging) => ({ logging })),
  ];
  const calls = [];
  for (const config of configs) {
    for (const userId of ['u', 't', 'bare', 'absent', '']) calls.push({ userId, config, options: { limit: 3 } });
  }
  for (const wholeConfig of [
    nothing,
    null,
    5,
    'text',
    {},
    [],
    true,
    { $symbol: 'c' },
    { vvaultPath: '{vault}' },
    { vvaultPath: '{vault}', directories: usual },
    { directories: usual, logging: {} },
    { $throwing: { key: 'vvaultPath', message: 'no path' } },
  ]) {
    for (const userId of ['u', 't', 'absent', '']) calls.push({ userId, wholeConfig });
  }
  const logging = { debug: true, logFileOps: true };
  for (const options of [
    { sessionId: 's1' },
    { limit: 0 },
    { sessionId: '' },
    { limit: -1 },
    { role: 'nobody', sessionId: 's0' },
  ]) {
    for (const userId of ['u', 't', 'bare', 'absent']) calls.push({ userId, options, config: { logging } });
  }
  const entries = [
    ...argumentEntries(),
    { path: '../linked-vault', link: 'vault' },
    { path: '../linked-linked', link: 'linked-vault' },
  ];
  entries.push(...filesIn('users/deep/u/capsules', { 'deeper.json': stamped('"raw":"deeper"') }));
  return { name: 'configs', entries, calls };
}

function relativePathVault() {
  const at = (workingDirectory, vvaultPath, userId = 'u') => ({
    workingDirectory,
    userId,
    config: { vvaultPath },
    options: { limit: 2 },
  });
  return {
    name: 'relative vault paths',
    entries: [
      ...argumentEntries(),
      ...filesIn('users/vault/users/u/capsules', { 'inner.json': stamped('"raw":"inner"') }),
    ],
    calls: [
      at('{vault}', '.'),
      at('{vault}', ''),
      at('{vault}/..', 'vault'),
      at('{vault}/users', '..'),
      at('{vault}/users', 'vault'),
      at('{vault}/..', './vault/', 't'),
      at('{vault}/..', 'absent'),
      at('{vault}/users/u', '../..'),
    ],
  };
}

// ---------------------------------------------------------------------------------------------------------------------
// Odd folders, links and names

function folderVault() {
  const one = stamped('"raw":"one"');
  const talk = { 's/2024-01-01T00-00-00Z_user.txt': `# Timestamp: ${PLAIN_DATE}\n# Role: user\n# ---\nsaid` };
  const path_ = (userId, rest) => ({ path: `users/${userId}/${rest}` });
  const cases = [
    { entries: (u) => [...transcripts(u, talk), { ...path_(u, 'capsules'), text: 'a file' }] },
    { entries: (u) => [...transcripts(u, talk), { ...path_(u, 'capsules'), directory: true }] },
    { entries: (u) => [...transcripts(u, talk), { ...path_(u, 'capsules'), link: 'nowhere' }] },
    { entries: (u) => [...transcripts(u, talk), { ...path_(u, 'capsules'), link: 'capsules' }] },
    {
      entries: (u) => [
        ...transcripts(u, talk),
        ...filesIn(`elsewhere/${u}`, { 'one.json': one }),
        { ...path_(u, 'capsules'), link: `../../elsewhere/${u}` },
      ],
    },
    {
      entries: (u) => [
        ...transcripts(u, talk),
        ...filesIn(`elsewhere/${u}`, { 'one.json': one }),
        { ...path_(u, 'capsules'), link: `{vault}/elsewhere/${u}` },
      ],
    },
    {
      entries: (u) => [
        ...transcripts(u, talk),
        ...filesIn(`elsewhere/${u}`, { 'one.json': one }),
        { ...path_(u, 'hop'), link: `../../elsewhere/${u}` },
        { ...path_(u, 'capsules'), link: 'hop' },
      ],
    },
    { entries: (u) => [...transcripts(u, talk), { ...path_(u, 'capsules'), link: 'transcripts' }] },
    {
      entries: (u) => [
        ...transcripts(u, talk),
        { path: `elsewhere/${u}.txt`, text: 'a file' },
        { ...path_(u, 'capsules'), link: `../../elsewhere/${u}.txt` },
      ],
    },
    { entries: (u) => [...transcripts(u, talk), { ...path_(u, 'Capsules/one.json'), text: one }] },
    {
      entries: (u) =>
        capsules(u, { 'notes.txt': 'x', 'one.json.bak': one, json: one, 'two.JSON': one, 'three.Json': one }),
    },
    {
      entries: (u) =>
        capsules(u, {
          '.json': one,
          'a.json.json': one,
          '..json': one,
          ' .json': one,
          'a .json': one,
          'a..json': one,
          '-.json': one,
        }),
    },
    {
      entries: (u) => [
        ...capsules(u, { 'one.json': one }),
        { ...path_(u, 'capsules/x.json'), directory: true },
        { ...path_(u, 'capsules/dangling.json'), link: 'nowhere' },
        { ...path_(u, 'capsules/loop.json'), link: 'loop.json' },
      ],
    },
    {
      entries: (u) => [
        ...capsules(u, { 'one.json': one, 'inner/two.json': one }),
        { ...path_(u, 'capsules/linked.json'), link: 'one.json' },
        { ...path_(u, 'capsules/chained.json'), link: 'linked.json' },
        { ...path_(u, 'capsules/inside.json'), link: 'inner/two.json' },
        { ...path_(u, 'capsules/folder.json'), link: 'inner' },
      ],
    },
    {
      entries: (u) => [
        { path: `elsewhere/${u}.bin`, text: one },
        ...capsules(u, { 'one.json': one }),
        { ...path_(u, 'capsules/relative.json'), link: `../../../elsewhere/${u}.bin` },
        { ...path_(u, 'capsules/absolute.json'), link: `{vault}/elsewhere/${u}.bin` },
        { ...path_(u, 'capsules/hard.json'), hardLink: `elsewhere/${u}.bin` },
      ],
    },
    {
      entries: (u) => [
        { path: `elsewhere/${u}/none`, text: '' },
        ...capsules(u, { 'one.json': one }),
        { ...path_(u, 'capsules/gone.json'), link: '{vault}/elsewhere/gone' },
        { ...path_(u, 'capsules/through-file.json'), link: 'one.json/x' },
        { ...path_(u, 'capsules/slash.json'), link: 'one.json/' },
      ],
    },
    { entries: (u) => [...transcripts(u, talk), { ...path_(u, 'notes.txt'), text: 'x' }] },
    { entries: (u) => [{ ...path_(u, 'transcripts'), text: 'a file' }] },
    { entries: (u) => [{ ...path_(u, 'transcripts'), link: 'nowhere' }] },
    { entries: (u) => [{ ...path_(u, 'transcripts'), directory: true }] },
    {
      entries: (u) => [
        ...filesIn(`elsewhere/${u}`, talk),
        { ...path_(u, 'transcripts'), link: `../../elsewhere/${u}` },
      ],
    },
    {
      entries: (u) => [
        ...transcripts(u, talk),
        { ...path_(u, 'transcripts/again'), link: 's' },
        { ...path_(u, 'transcripts/itself'), link: '.' },
        { ...path_(u, 'transcripts/up'), link: '..' },
      ],
    },
    {
      entries: (u) => [
        ...transcripts(u, { ...talk, 'file.txt': 'x', 'z/a.txt': '# Role: z' }),
        { ...path_(u, 'transcripts/a-link'), link: 's/2024-01-01T00-00-00Z_user.txt' },
      ],
    },
    {
      entries: (u) => [
        ...transcripts(u, { 'a/1.txt': '# Role: a', 'm/1.txt': '# Role: m', 'z/1.txt': '# Role: z' }),
        { ...path_(u, 'transcripts/b'), link: 'nowhere' },
      ],
      options: [NO_LIMIT, { sessionId: 'z' }, { sessionId: 'b' }, { sessionId: 'a' }],
    },
    {
      entries: (u) => [
        ...transcripts(u, { 'a/1.txt': '# Role: a', 'z/1.txt': '# Role: z' }),
        { ...path_(u, 'transcripts/n'), link: 'n' },
      ],
      options: [NO_LIMIT, { sessionId: 'z' }, { sessionId: 'n' }],
    },
    {
      entries: (u) => [
        ...transcripts(u, {
          'a/1.txt': '# Role: a',
          'a/2.TXT': '# Role: no',
          'a/txt': '# Role: no',
          'a/.txt': '# Role: dot',
          'a/3.txt.bak': '# Role: no',
          'a/b/4.txt': '# Role: no',
        }),
        { ...path_(u, 'transcripts/empty'), directory: true },
        { ...path_(u, 'transcripts/a/5.txt'), directory: true },
        { ...path_(u, 'transcripts/a/6.txt'), link: 'nowhere' },
        { ...path_(u, 'transcripts/a/7.txt'), link: '1.txt' },
      ],
    },
    { entries: (u) => [{ path: `users/${u}`, link: '../people/real' }], options: [NO_LIMIT] },
    { entries: (u) => [{ path: `users/${u}`, link: '../people/absent' }], options: [NO_LIMIT] },
  ];
  const vault = vaultOfUsers('folders and links', cases);
  vault.entries.push(...filesIn('people/real/capsules', { 'one.json': one }));
  return vault;
}

/** What a user may not read, list or enter. */
function permissionVault() {
  const one = stamped('"raw":"one"');
  const capsuleFiles = { 'a.json': one, 'b.json': one, 'bad.json': '{' };
  const talk = '# Timestamp: 2024-01-01T00:00:00Z\n# Role: user\n# ---\nsaid';
  const transcriptFiles = { 'a/1.txt': talk, 'b/1.txt': talk, 'b/2.txt': talk, 'c/1.txt': talk };
  const cases = [];
  for (const mode of [0o000, 0o111, 0o222, 0o333, 0o444, 0o555, 0o666]) {
    for (const place of [
      '',
      '/capsules',
      '/capsules/a.json',
      '/transcripts',
      '/transcripts/b',
      '/transcripts/b/1.txt',
    ]) {
      for (const hasCapsules of [true, false]) {
        if (place.startsWith('/capsules') && !hasCapsules) continue;
        cases.push({
          entries: (userId) => {
            const files = [
              ...(hasCapsules ? capsules(userId, capsuleFiles) : []),
              ...transcripts(userId, transcriptFiles),
            ];
            const folders = ['', '/capsules', '/transcripts', '/transcripts/b'].map(
              (folder) => `users/${userId}${folder}`,
            );
            const known = new Set(files.map((entry) => entry.path));
            const made = folders.filter((folder) => [...known].some((file) => file.startsWith(`${folder}/`)));
            const entries = [...made.map((folder) => ({ path: folder, directory: true })), ...files];
            return entries.map((entry) => (entry.path === `users/${userId}${place}` ? { ...entry, mode } : entry));
          },
          options: [NO_LIMIT, { sessionId: 'b' }],
        });
      }
    }
  }
  return vaultOfUsers('permissions', cases, { unprivileged: true });
}

function nameVaults() {
  const one = stamped('"raw":"same date"');
  // biome-ignore format: a packed list is easier to read
  const names = [
    'a', 'B', 'b', 'A', '10', '9', '1', 'é', 'e\u0301', 'É', 'ß', '日本', '😀', '\uff5e', '\ue000', '\u{10ffff}', '\ufffd',
    ' a', 'a b', 'a\nb', 'a\tb', 'a"b', "a'b", 'a\\b', 'a\u0001b', '\u2028', '\u00a0', '\ufeff', '-', '_', '~', '!',
    '.a', '..a', 'x'.repeat(200), '__proto__', 'constructor', 'toString',
  ];
  const texts = (suffix, text) => Object.fromEntries(names.map((name) => [`${name}${suffix}`, text]));
  const talk = '# Timestamp: 2024-01-01T00:00:00Z\n# Role: user\n# ---\nsaid';
  const rawNames = ['ff', '80', 'c3', 'c328', 'eda080', 'f09f98', '61ff62', 'fffe', 'efbfbd', 'c080', 'e28080ff'];
  const rawEntry = (folder, hex, suffix, text) => ({
    path: {
      base64: Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(hex, 'hex'), Buffer.from(suffix)]).toString(
        'base64',
      ),
    },
    text,
  });
  return [
    {
      name: 'capsule names',
      entries: capsules('u', texts('.json', one)),
      calls: [{ userId: 'u', options: NO_LIMIT }, { userId: 'u' }],
    },
    {
      name: 'transcript names',
      entries: [
        ...transcripts('u', texts('/b.txt', talk)),
        ...transcripts(
          'v',
          Object.fromEntries(
            names.map((name) => [`s/${name}.txt`, talk.replace('user', JSON.stringify(name.slice(0, 9)))]),
          ),
        ),
      ],
      calls: [
        { userId: 'u', options: NO_LIMIT },
        { userId: 'v', options: NO_LIMIT },
        { userId: 'u', options: { sessionId: '日本' } },
        { userId: 'u', options: { sessionId: 'e\u0301' } },
        { userId: 'u', options: { sessionId: '__proto__' } },
      ],
    },
    {
      name: 'names that are no UTF-8',
      linuxOnly: true,
      entries: [
        ...rawNames.flatMap((hex, index) => [
          rawEntry('users/u/capsules', hex, '.json', stamped(`"raw":"u${index}"`)),
          rawEntry('users/v/transcripts/s', hex, '.txt', talk),
        ]),
        ...rawNames.filter((hex) => hex !== 'efbfbd').map((hex) => rawEntry('users/x/capsules', hex, '.json', one)),
        rawEntry('users/w/transcripts', '61', '/1.txt', talk),
        rawEntry('users/w/transcripts', '7aff', '/1.txt', talk),
        rawEntry('users/w/transcripts', '7b', '/1.txt', talk),
        rawEntry('users/y/transcripts', 'ff', '/1.txt', talk),
        rawEntry('users/y/transcripts', 'efbfbd', '/1.txt', talk),
        rawEntry('users', 'ff', '/capsules/a.json', stamped('"raw":"raw user"')),
        rawEntry('users', 'efbfbd', '/capsules/a.json', stamped('"raw":"replaced user"')),
      ],
      calls: [
        ...['u', 'v', 'w', 'x', 'y', '\ufffd', '\ud800', 'ÿ'].map((userId) => ({ userId, options: NO_LIMIT })),
        { userId: 'w', options: { sessionId: '{' } },
        { userId: 'y', options: { sessionId: '\ufffd' } },
      ],
    },
  ];
}

/** Capsules that name their session, asked for in ways where the original and its successor agree. */
function sessionVault() {
  const naming = {
    'a.json': stamped('"session_id":"s1","raw":"a"'),
    'b.json': stamped('"sessionId":"s1","raw":"b"'),
    'c.json': stamped('"source_id":"chatty_s1","raw":"c"'),
    'd.json': stamped('"raw":"names none"'),
    'e.json': stamped('"source_id":"elsewhere_s2","raw":"e"'),
  };
  // biome-ignore format: a packed list is easier to read
  const options = [
    { sessionId: 's1' }, {}, { sessionId: null }, { sessionId: '' }, { sessionId: { $undefined: true } },
    { sessionId: 0 },
  ];
  const noObjects = { 'a.json': '"text"', 'b.json': '5', 'c.json': '[]', 'd.json': '{}', 'e.json': 'true' };
  return {
    name: 'capsules that name their session',
    entries: [...capsules('u', naming), ...capsules('v', noObjects)],
    calls: [
      ...options.map((each) => ({ userId: 'u', options: each })),
      { userId: 'v', options: { sessionId: 's1', limit: 0 }, anyOrder: true },
    ],
  };
}

// ---------------------------------------------------------------------------------------------------------------------
// Odd transcripts

function transcriptVaults() {
  const header = `# Timestamp: ${PLAIN_DATE}\n# Role: user\n# User: someone\n# Session: other\n`;
  // biome-ignore format: a packed list is easier to read
  const bodies = [
    `${header}# ---\n\nbody`, `${header}# ---\nbody`, `${header}# ---`, `${header}# ---\n`, header, '', '\n', '# ---',
    '# ---\n# ---\nbody', 'body only', 'text\n# ---\nbody', `${header}# ---\n# Timestamp: 2000-01-01T00:00:00Z\nbody`,
    `${header}# --- \nbody`, `${header} # ---\nbody`, `${header}# ----\nbody`, `${header}#---\nbody`,
    `${header}# ---\r\nbody`, `${header}# ---\n\r\nbody\r\n`, `${header.replaceAll('\n', '\r\n')}# ---\r\nbody`,
    `${header.replaceAll('\n', '\r')}# ---\rbody`, `${header}# ---\nfirst\n# ---\nsecond\n# ---`,
    `# Role: a\n# Role: b\n# ---\nx`, `# Role: a\n# Role:\n# ---\nx`, `# Role:\n# Role: b\n# ---\nx`,
    `# Timestamp: 2024-01-01\n# Timestamp:\n# Role: r\n# ---\nx`,
    `# Timestamp:\n# Role:\n# User:\n# Session:\n# Emotions:\n# ---\nx`,
    `# Timestamp:2024-01-01\n#  Role: no\n# role: no\n# ROLE: no\n # Role: no\n# ---\nx`,
    `# Timestamp:   2024-01-01T00:00:00Z  \n# Role:\t user \t\n# ---\nx`, `# Role: # Role: twice\n# ---\nx`,
    `# Timestamp: # Timestamp: 2024\n# ---\nx`, `# Role:user:admin\n# Tokens: 5\n# Unknown: 6\n# ---\nx`,
    `# Role: $&$1$\`\n# ---\n$&`, `# Session: \n# User: \n# ---\nx`,
    `# Session: 0\n# User: 0\n# Role: 0\n# Timestamp: 0\n# ---\n0`, `# Timestamp: null\n# Role: null\n# ---\nnull`,
    `# Timestamp: 1714979289000\n# Role: user\n# ---\nx`, `# Timestamp: 2024-02-30\n# Role: user\n# ---\nx`,
    `\ufeff${header}# ---\nbody`, `\ufeff\n${header}# ---\nbody`, `${header}# ---\n\ufeffbody\ufeff`,
    `${header}# ---\n\u00a0\u2003 body \u3000\u2028\u2029\u1680`, `${header}# ---\n\u0085body\u0085`,
    `${header}# ---\n\u200bbody\u200b`, `${header}# ---\n\u180ebody`, `${header}# ---\n\u000b\u000cbody\u000b\u000c`,
    `${header}# ---\n\u0000body\u0000`, `${header}# ---\n\u001cbody\u001f`,
    `# Role: \u00a0user\ufeff\n# Timestamp:\u20282024-01-01\u2029\n# ---\nx`, `# Role: \u0085user\u0085\n# ---\nx`,
    `# Role: us\u0000er\n# Session: \u0000\n# ---\nx`, `# Role: user\u2028# ---\nx`,
    `# Role: user\u000b\n# ---\n   \n\t\n`, `${header}# ---\nline one\n\nline two\n\n\n`,
    `${header}# ---\n${'long '.repeat(200)}`, `${header}# ---\n😀é中\u{10ffff}`,
  ];
  // biome-ignore format: a packed list is easier to read
  const emotions = [
    '{"joy":0.5}', '{}', '[]', 'null', 'true', '5', '-0', '1e999', '"text"', '', ' ', 'bad', '{bad}', "{'joy':1}",
    '{"joy":1,}', '{"joy":1} x', '{"joy":01}', '{"a":1,"a":2}', '{"__proto__":{"a":1}}', '{"\\ud800":"\\udc00"}',
    '"\\ud800"', '{"a":[1,[2,{"b":null}]]}', '\ufeff{}', '{}\ufeff', '\u00a0{"a":1}\u00a0', '{"a":"\u2028"}',
    '{"a":"\u0001"}', 'NaN', 'undefined', '{"2":1,"1":2,"b":3}', '{"constructor":1,"toString":2}',
    '[1e400,-1e400,-0,1e-400]', '"a\\nb"', '[[[[[[]]]]]]', '\u000b{}\u000b', '{"a":\u00a01}',
  ];
  for (const text of emotions) bodies.push(`# Emotions: ${text}\n# Role: e\n# ---\nx`);
  bodies.push(
    '# Emotions: {"a":1}\n# Emotions: bad\n# ---\nx',
    '# Emotions: {"a":1}\n# Emotions: {"b":2}\n# ---\nx',
    '# Emotions: {"a":1}\n# Emotions:\n# ---\nx',
    '# Emotions: {"a":\n# Emotions: 1}\n# ---\nx',
    '# ---\n# Emotions: {"a":1}',
    '# Emotions: {"a":1}\r\n# ---\nx',
  );
  const contents = [...bodies.map((text) => ({ text }))];
  for (const sequence of ['ff', 'c3', 'e282', 'eda080', 'f09f98', 'efbbbf']) {
    const bad = { base64: Buffer.from(sequence, 'hex').toString('base64') };
    contents.push(
      { parts: ['# Role: a', bad, 'b\n# Session: ', bad, '\n# Emotions: {"', bad, '":"', bad, '"}\n# ---\nx', bad] },
      { parts: [bad, '# Role: no\n# ---\nx'] },
      { parts: ['# Role: r\n# ---', bad, '\nx'] },
      { parts: ['# Role: r\n# ---\n', bad] },
    );
  }
  contents.push(
    {
      parts: [
        '# Emotions: ',
        { repeat: '[', times: 100000 },
        { repeat: ']', times: 100000 },
        '\n# Role: deep\n# ---\nx',
      ],
    },
    { parts: ['# Role: r\n# ---\n', { repeat: 'é\n', times: 300000 }] },
    { parts: ['# Role: ', { repeat: 'r', times: 600000 }, '\n# ---\nx'] },
    { parts: [{ repeat: 'line\n', times: 120000 }, '# ---\nlate'] },
  );

  const plainNames = contents.map((_, index) => `s/${String(index).padStart(3, '0')}.txt`);
  const stampedNames = contents.map(
    (_, index) => `s/2024-01-01T00-00-${String(index % 60).padStart(2, '0')}Z_role${index}.txt`,
  );
  const withNames = (names) => Object.fromEntries(names.map((name, index) => [name, contents[index]]));
  const contentCalls = ['u', 'v'].flatMap((userId) =>
    [
      NO_LIMIT,
      { role: 'user' },
      { limit: 5, since: EARLIEST },
      { sessionId: 'other' },
      { sessionId: 's', limit: 2 },
    ].map((options) => ({ userId, options })),
  );

  // biome-ignore format: a packed list is easier to read
  const fileNames = [
    '2024-01-01T00-00-00Z_user.txt', '2024-01-01T00-00-00-123Z_user.txt', '2024-01-01T00-00-00.123Z_user.txt',
    '2024-01-01T00:00:00Z_user.txt', '2024-01-01T00-00-00Z_.txt', '2024-01-01T00-00-00Z__.txt',
    '2024-01-01T00-00-00Z_a_b.txt', '2024-01-01T00-00-00Z_a.txt.txt', '2024-01-01T00-00-00Z_a\nb.txt',
    '2024-01-01T00-00-00Z_a\rb.txt', '2024-01-01T00-00-00Z_a\u2028b.txt', '2024-01-01T00-00-00Z_a\u2029b.txt',
    '2024-01-01T00-00-00Z_a\u0085b.txt', '2024-01-01T00-00-00Z_é😀.txt', '2024-01-01T00-00-00z_user.txt',
    '2024-01-01t00-00-00Z_user.txt', '2024-1-1T00-00-00Z_user.txt', '12024-01-01T00-00-00Z_user.txt',
    ' 2024-01-01T00-00-00Z_user.txt', 'x2024-01-01T00-00-00Z_user.txt', '٢٠٢٤-01-01T00-00-00Z_user.txt',
    '9999-99-99T99-99-99Z_user.txt', '2024-01-01T00-00-00Z-user.txt', '2024-01-01T00-00-00Z_ .txt',
    '2024-01-01T00-00-00Z_ user .txt', '2024-01-01T00-00-00Z_\nuser.txt', '2024-01-01T00-00-00Z_user\n.txt',
    '0000-00-00T00-00-00Z_0.txt', 'user.txt', '.txt', '2024-01-01T00-00-00Z_user.txt.txt',
    '2024-01-01T00-00-00Z_$1.txt',
  ];
  const headers = {
    none: '# ---\nx',
    'role only': '# Role: given\n# ---\nx',
    'time only': '# Timestamp: 2001-02-03T04:05:06Z\n# ---\nx',
    both: '# Timestamp: 2001-02-03T04:05:06Z\n# Role: given\n# ---\nx',
    'empty role': '# Timestamp: 2001-02-03T04:05:06Z\n# Role:\n# ---\nx',
  };
  const nameCases = Object.values(headers).map((text) => ({
    entries: (userId) => transcripts(userId, Object.fromEntries(fileNames.map((name) => [`s/${name}`, text]))),
    options: [
      NO_LIMIT,
      { role: 'user' },
      { limit: 3, since: EARLIEST },
      { role: 'given', until: { $date: Date.UTC(2010, 0) } },
    ],
  }));
  return [
    {
      name: 'transcript contents',
      zoned: true,
      entries: [...transcripts('u', withNames(plainNames)), ...transcripts('v', withNames(stampedNames))],
      calls: contentCalls,
    },
    vaultOfUsers('transcript file names', nameCases),
    {
      name: 'transcript sessions',
      entries: transcripts(
        'u',
        Object.fromEntries(
          Array.from({ length: 60 }, (_, index) => [
            `s${index % 7}/${String(index).padStart(2, '0')}.txt`,
            `# Timestamp: ${index % 5 === 0 ? 'none' : `2024-01-${String(1 + (index % 28)).padStart(2, '0')}`}\n# Role: ${index % 3}\n# Session: ${index % 4 === 0 ? `s${index % 2}` : ''}\n# ---\n${index}`,
          ]),
        ),
      ),
      calls: [
        NO_LIMIT,
        {},
        { sessionId: 's3' },
        { sessionId: 's0', limit: 0 },
        { role: '1', limit: 4 },
        { role: '1', sessionId: 's1' },
        { since: { $date: Date.UTC(2024, 0, 9) }, limit: 0 },
        { until: { $date: Date.UTC(2024, 0, 9) }, limit: 0 },
      ].map((options) => ({ userId: 'u', options })),
    },
  ];
}

/** Boundaries of since and until, to the millisecond. */
function boundaryVault() {
  const times = [-1, 0, 1, 999, 1000, 1714979289000, 1714979289001, 8.64e15, -8.64e15];
  const contents = times.flatMap((time) => [
    `{"created_ts":"${new Date(time).toISOString()}"}`,
    ...(time === 0 ? ['{"created_ts":"0","timestamp":5}'] : [`{"created_ts":${time}}`]),
  ]);
  const calls = [{ options: NO_LIMIT }];
  for (const time of times) {
    calls.push(
      { options: { limit: 0, since: { $date: time } } },
      { options: { limit: 0, until: { $date: time } } },
      { options: { since: { $date: time }, until: { $date: time } } },
    );
  }
  return vaultOfCapsules('boundaries of since and until', contents, calls, { zoned: true });
}

/** Capsules without any timestamp are stamped with the time of the call. */
function missingTimestampVault() {
  const cases = [
    { 'a.json': '{}' },
    { 'a.json': '{"raw":"a"}', 'b.json': '{"raw":"b"}', 'c.json': '{"raw":"c","timestamp":""}' },
    {
      'a.json': '{"raw":"a"}',
      'old.json': stamped('"raw":"old"'),
      'future.json': '{"created_ts":"3000-01-01T00:00:00Z"}',
    },
    { 'a.json': '{"created_ts":"","timestamp":"2024-01-01"}', 'b.json': '{"created_ts":0,"timestamp":0}' },
    { 'a.json': '{"raw":"a"}', 'b.json': '{"created_ts":"none"}' },
  ];
  // biome-ignore format: a packed list is easier to read
  const options = [
    NO_LIMIT, {}, { since: { $date: Date.UTC(2026, 0) } }, { until: { $date: Date.UTC(2026, 0) } },
    { until: { $date: Date.UTC(2999, 0) } },
  ];
  return vaultOfUsers(
    'missing timestamps',
    cases.map((files) => ({ entries: (userId) => capsules(userId, files), options })),
  );
}

/**
 * The vaults written by hand.
 *
 * @returns {VaultDescription[]}
 */
function oddVaults() {
  return [
    vaultOfCapsules('whole files', FILE_TEXTS, [
      { options: NO_LIMIT, anyOrder: true },
      { options: { limit: 0, role: 'user' }, anyOrder: true },
    ]),
    vaultOfCapsules('bad bytes', badByteContents(), [{ options: NO_LIMIT, anyOrder: true }]),
    ...fieldValueVaults(),
    ...fallbackVaults(),
    ...embeddingVaults(),
    nestingVault(),
    nestedTimestampVault(),
    bigFileVault(),
    numberVault(),
    ...dateVaults(),
    transcriptDateVault(),
    zoneChangeVault(),
    boundaryVault(),
    missingTimestampVault(),
    ...sortVaults(),
    optionsVault(),
    userIdVault(),
    configVault(),
    relativePathVault(),
    folderVault(),
    permissionVault(),
    ...nameVaults(),
    sessionVault(),
    ...transcriptVaults(),
  ];
}

// ---------------------------------------------------------------------------------------------------------------------
// Random vaults

// biome-ignore format: a packed list is easier to read
const WORDS = [
  'memory', 'nova', 'katana', 'blue', 'river', 'remember', 'feel', 'why', 'é', '日本', '😀', 'a"b', 'x\\y', 'tab\there',
  'line\nbreak', '\u2028', '\u0000',
];
const ROLES = ['user', 'assistant', 'system'];

/** @param {Dice} dice */
const someWords = (dice, most = 12) => Array.from({ length: dice.between(1, most) }, () => dice.pick(WORDS)).join(' ');

/**
 * An instant between 2000 and 2025, or long after every run of these tests.
 *
 * @param {Dice} dice
 */
const someTime = (dice) =>
  dice.chance(0.97) ? dice.between(Date.UTC(2000, 0), Date.UTC(2025, 10)) : Date.UTC(3000, dice.between(0, 11), 5);

/**
 * JSON text of a value, in one of the layouts that writers use.
 *
 * @param {Dice} dice
 * @param {unknown} value
 */
function layOut(dice, value) {
  const text = dice.make([
    () => JSON.stringify(value),
    () => JSON.stringify(value, null, 2),
    () => JSON.stringify(value, null, '\t'),
    () => `${JSON.stringify(value, null, 2).replaceAll('\n', '\r\n')}\r\n`,
  ]);
  return dice.chance(0.2)
    ? text.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    : text;
}

/**
 * One memory as Chatty and VVAULT write it.
 *
 * @param {Dice} dice
 */
function ordinaryCapsule(dice) {
  const text = someWords(dice);
  const iso = new Date(someTime(dice)).toISOString();
  const capsule = dice.chance(0.7)
    ? {
        memory_id: `mem_${dice.between(1e9, 9e9)}`,
        source_id: 'imported_log',
        created_ts: iso.replace(/\.\d+Z$/, 'Z'),
        raw: text,
        raw_sha256: digestOf(text),
      }
    : {
        id: 'x',
        timestamp: dice.pick([iso, iso.replace('Z', '000+00:00'), iso.slice(0, 10), iso.slice(0, 19)]),
        content: text,
        hash: digestOf(text),
      };
  if (dice.chance(0.8)) capsule.role = dice.pick(ROLES);
  if (dice.chance(0.6)) capsule.tags = Array.from({ length: dice.between(0, 4) }, () => dice.pick(WORDS));
  if (dice.chance(0.6)) capsule.consent = dice.pick(['self', 'partner', 'unknown']);
  if (dice.chance(0.6))
    Object.assign(capsule, {
      embed_model: 'mini:lm-6',
      embedding: Array.from({ length: dice.pick([0, 3, 128, 384]) }, () => dice.fraction() * 2 - 1),
    });
  if (dice.chance(0.2))
    Object.assign(capsule, {
      metadata: { version: '1.0', nested: { raw: 'no', tags: ['no'] } },
      driftIndex: dice.between(0, 10),
      pre: null,
    });
  return capsule;
}

/**
 * Options that agree with what the calls ask for elsewhere: no session, so that capsules may name any.
 *
 * @param {Dice} dice
 */
function ordinaryOptions(dice) {
  const options = {};
  if (dice.chance(0.6))
    options.limit = dice.pick([
      0,
      1,
      2,
      3,
      5,
      10,
      20,
      1000,
      2.5,
      0.5,
      { $number: 'NaN' },
      { $number: 'Infinity' },
      { $undefined: true },
    ]);
  if (dice.chance(0.3)) options.role = dice.pick([...ROLES, ...ROLES, 'nobody', '']);
  if (dice.chance(0.3)) options.since = { $date: dice.pick([someTime(dice), someTime(dice), 0]) };
  if (dice.chance(0.3)) options.until = { $date: someTime(dice) };
  if (dice.chance(0.1))
    options[dice.pick(['since', 'until', 'role', 'sessionId'])] = dice.pick([null, '', 0, { $undefined: true }]);
  return options;
}

/**
 * @param {Dice} dice
 * @param {string[]} userIds
 * @param {number} count
 * @returns {VaultCall[]}
 */
function ordinaryCalls(dice, userIds, count) {
  return Array.from({ length: count }, () => ({
    userId: dice.pick(userIds),
    ...(dice.chance(0.9) ? { options: ordinaryOptions(dice) } : {}),
  }));
}

/** @param {Dice} dice */
function ordinaryVault(dice) {
  const entries = [];
  for (const userId of ['u', 'v']) {
    const files = {};
    const count = dice.pick([0, 1, 3, 10, 30]);
    for (let index = 0; index < count; index++)
      files[`${dice.pick(['mem', 'Nova', 'é'])}_${dice.between(0, 99999)}.json`] = layOut(dice, ordinaryCapsule(dice));
    entries.push(...capsules(userId, files));
  }
  return { entries, calls: ordinaryCalls(dice, ['u', 'v', 'u', 'v', 'absent'], 10) };
}

/**
 * The text of a JSON number, string, array or object in any lawful form.
 *
 * @param {Dice} dice
 * @param {number} depth
 * @returns {string}
 */
function jsonText(dice, depth = 3) {
  const digits = (most) => Array.from({ length: dice.between(1, most) }, () => dice.between(0, 9)).join('');
  const blank = () => (dice.chance(0.2) ? dice.pick([' ', '\n', '\t', '\r\n', '  ']) : '');
  const string = () => {
    const pieces = Array.from({ length: dice.between(0, 6) }, () =>
      dice.pick([
        'a',
        'é',
        '😀',
        '\\n',
        '\\"',
        '\\\\',
        '\\/',
        '\\u0041',
        '\\ud83d',
        '\\ude00',
        '\\ud83d\\ude00',
        '\\u0000',
        '\u2028',
        '\u007f',
        'raw',
        '__proto__',
        '0',
        ' ',
      ]),
    );
    return `"${pieces.join('')}"`;
  };
  const number = () =>
    `${dice.pick(['', '-'])}${dice.make([() => '0', () => `${dice.between(1, 9)}`, () => `${dice.between(1, 9)}${digits(25)}`])}${dice.chance(0.4) ? `.${digits(dice.pick([2, 20, 60]))}` : ''}${dice.chance(0.3) ? `${dice.pick(['e', 'E'])}${dice.pick(['', '+', '-'])}${digits(dice.pick([1, 2, 3]))}` : ''}`;
  const scalar = () =>
    dice.make([string, number, () => dice.pick(['true', 'false', 'null', '""', '0', '-0', '[]', '{}'])]);
  const list = () =>
    `[${blank()}${Array.from({ length: dice.between(0, 4) }, () => jsonText(dice, depth - 1)).join(`${blank()},${blank()}`)}${blank()}]`;
  const record = () =>
    `{${blank()}${Array.from({ length: dice.between(0, 4) }, () => `${dice.chance(0.3) ? dice.pick(['"a"', '"1"', '"0"', '"__proto__"', '"toString"', '"valueOf"']) : string()}${blank()}:${blank()}${jsonText(dice, depth - 1)}`).join(`${blank()},${blank()}`)}${blank()}}`;
  return depth <= 0 ? scalar() : dice.make([scalar, scalar, list, record]);
}

/**
 * Fields with values of any kind; at most one capsule of a user lacks a timestamp, since the order of several would
 * depend on the clock.
 *
 * @param {Dice} dice
 */
function oddFieldVault(dice) {
  const entries = [];
  const calls = [];
  for (let user = 0; user < 6; user++) {
    const userId = `u${user}`;
    const files = {};
    let mayLackTimestamp = true;
    const oddDates = dice.chance(0.4);
    for (let index = dice.between(1, 14); index > 0; index--) {
      const pairs = dice
        .shuffle(FIELDS)
        .slice(0, dice.between(0, FIELDS.length))
        .map((field) => {
          const isDate = field === 'created_ts' || field === 'timestamp';
          if (isDate && !(oddDates && dice.chance(0.3)))
            return [field, JSON.stringify(new Date(someTime(dice)).toISOString())];
          return [field, dice.chance(0.5) ? dice.pick(VALUE_TEXTS) : jsonText(dice)];
        });
      if (dice.chance(0.3))
        pairs.splice(dice.between(0, pairs.length), 0, [
          dice.pick(['ignored', 'memory_id', '__proto__', 'Raw']),
          jsonText(dice, 4),
        ]);
      if (dice.chance(0.2) && pairs.length > 0)
        pairs.push([pairs[0][0], dice.pick([pairs[0][1], '"again"', '""', '0'])]);
      const read = JSON.parse(objectText(pairs));
      const lacksTimestamp = !read.created_ts && !read.timestamp;
      if (lacksTimestamp && !mayLackTimestamp) pairs.push(['created_ts', `"${PLAIN_DATE}"`]);
      if (lacksTimestamp) mayLackTimestamp = false;
      files[`${index}.json`] = objectText(pairs);
    }
    entries.push(...capsules(userId, files));
    calls.push(
      { userId, options: NO_LIMIT },
      { userId, options: { since: EARLIEST } },
      ...ordinaryCalls(dice, [userId], 2),
    );
  }
  return { entries, calls, zoned: true };
}

// biome-ignore format: a packed list is easier to read
const JSON_SPLINTERS = [
  '"', '\\', ',', ':', '{', '}', '[', ']', '0', '-', '+', '.', 'e', 'E', ' ', '\t', '\n', '\r', '\v', '\f', '\u00a0',
  '\ufeff', '\u2028', '\u0000', '\u001f', '\u007f', '/', '//', '/**/', 'NaN', 'Infinity', 'true', 'null', 'nul', '\\u',
  '\\u12', '\\ud800', '\\x41', "'", '01', '1.', '.5', '1e', '--1', ',,', '1 2', '\\"', '"":', '{}', '[]', '"a":1,',
  ',"raw":""', '"raw":"again",', '\\u0072',
];
const BYTE_SPLINTERS = ['80', 'ff', 'c3', 'e282', 'f09f98', 'eda080', 'efbbbf', 'c080', 'f4908080', '00', 'c3a9'];

/**
 * Changes a few bytes of a text, most often near something that matters to a parser.
 *
 * @param {Dice} dice
 * @param {Buffer} original
 * @param {string[]} splinters
 * @returns {Buffer}
 */
function splinter(dice, original, splinters) {
  let bytes = original;
  for (let times = dice.pick([1, 1, 1, 2, 3]); times > 0; times--) {
    let place = dice.make([
      () => dice.between(0, bytes.length),
      () => dice.between(0, Math.min(12, bytes.length)),
      () => Math.max(0, bytes.length - dice.between(0, 12)),
    ]);
    if (dice.chance(0.5)) {
      const mark = bytes.indexOf(dice.pick(['"', ':', ',', '[', '\\', '}']), place);
      if (mark >= 0) place = mark + dice.between(0, 1);
    }
    const piece = dice.chance(0.8) ? Buffer.from(dice.pick(splinters)) : Buffer.from(dice.pick(BYTE_SPLINTERS), 'hex');
    const dropped = dice.pick([0, 0, 1, 1, 2, 5]);
    const inserted = dice.make([
      () => piece,
      () => piece,
      () => Buffer.alloc(0),
      () => bytes.subarray(place, place + dice.between(1, 20)),
    ]);
    bytes = Buffer.concat(
      dice.chance(0.05)
        ? [bytes.subarray(0, place)]
        : [bytes.subarray(0, place), inserted, bytes.subarray(place + dropped)],
    );
  }
  return bytes;
}

/** @param {Dice} dice */
function brokenJsonVault(dice) {
  const contents = [];
  for (let index = dice.between(40, 120); index > 0; index--) {
    const text = dice.make([
      () => layOut(dice, ordinaryCapsule(dice)),
      () => layOut(dice, ordinaryCapsule(dice)),
      () =>
        objectText([
          ['raw', jsonText(dice)],
          ['ignored', jsonText(dice, 4)],
          ['tags', jsonText(dice)],
          ['created_ts', '"2024-01-01"'],
        ]),
      () => jsonText(dice, 4),
    ]);
    // Objects as timestamps could fail the whole call, and then the other files would not be compared.
    const bytes = splinter(dice, Buffer.from(text), JSON_SPLINTERS);
    contents.push(
      /created_ts|timestamp/.test(bytes.toString('latin1')) && /valueOf|toString/.test(bytes.toString('latin1'))
        ? { text }
        : { base64: bytes.toString('base64') },
    );
  }
  const calls = [
    { options: NO_LIMIT, anyOrder: true },
    { options: { limit: 0, role: 'user' }, anyOrder: true },
  ];
  return vaultOfCapsules('', contents, calls);
}

// biome-ignore format: a packed list is easier to read
const DATE_SPLINTERS = [
  ' ', '  ', '-', '+', ':', '.', ',', '/', 'T', 't', 'Z', 'z', '(', ')', '(x)', 'AM', 'pm', 'GMT', 'UTC', 'utc', 'PST',
  'EDT', 'EST', 'Mar', 'march', 'Sept', 'Mon', '0', '00', '1', '12', '31', '99', '2024', '+5', '+05', '+0530', '-05:30',
  '\u2212', '\u00a0', '\t', 'x', 'é', '.5', '.123456', ' 10:00', ' 5:00 PM', '6000',
];

/**
 * A text that looks like a date.
 *
 * @param {Dice} dice
 * @returns {string}
 */
function dateText(dice) {
  const time = new Date(someTime(dice));
  const two = (number) => String(number).padStart(dice.chance(0.9) ? 2 : 1, '0');
  const year = dice.make([
    () => String(time.getUTCFullYear()),
    () => String(time.getUTCFullYear()),
    () => String(dice.between(0, 120)),
    () => String(dice.between(1850, 2037)),
    () => dice.pick(['+002024', '-000044', '0000', '0099', '9999']),
  ]);
  const month = dice.chance(0.95) ? dice.between(1, 12) : dice.pick([0, 13, 99]);
  const day = dice.chance(0.9) ? dice.between(1, 28) : dice.pick([0, 29, 30, 31, 32]);
  const monthName = dice.pick([
    'Jan',
    'February',
    'mar',
    'APR',
    'May',
    'June',
    'Jul',
    'Aug',
    'Sept',
    'October',
    'Nov',
    'Dec',
  ]);
  const fraction = () =>
    dice.chance(0.4) ? `.${String(dice.between(0, 999999999)).padStart(9, '0').slice(0, dice.between(1, 9))}` : '';
  const clock = () =>
    `${two(dice.chance(0.95) ? dice.between(0, 23) : dice.pick([24, 25]))}:${two(dice.chance(0.97) ? dice.between(0, 59) : 60)}${dice.chance(0.7) ? `:${two(dice.between(0, 59))}${fraction()}` : ''}`;
  const zone = () =>
    dice.pick([
      '',
      '',
      'Z',
      'z',
      ' GMT',
      ' UTC',
      '+00:00',
      '-05:00',
      '+0530',
      ' +0200',
      ' PST',
      ' EDT',
      ' GMT+0200',
      ' GMT-5',
      ' (x)',
      ' GMT+0100 (CET)',
      ' AM',
      ' PM',
      'pm',
    ]);
  const text = dice.make([
    () => time.toISOString(),
    () => time.toUTCString(),
    () => time.toISOString().replace('Z', dice.pick(['', '+00:00', '000Z', '123-08:00'])),
    () => `${year}-${two(month)}-${two(day)}${dice.pick(['T', ' ', 't', ', ', '  '])}${clock()}${zone()}`,
    () => `${year}-${two(month)}-${two(day)}`,
    () =>
      `${year}${dice.pick(['/', '.', '-', ' '])}${month}${dice.pick(['/', '.', '-', ' '])}${day} ${clock()}${zone()}`,
    () => `${monthName} ${day}, ${year} ${clock()}${zone()}`,
    () =>
      `${day}${dice.pick([' ', '-', '. '])}${monthName}${dice.pick([' ', '-', ', '])}${year}${dice.chance(0.6) ? ` ${clock()}${zone()}` : ''}`,
    () => `${month}/${day}/${year}${dice.chance(0.5) ? ` ${clock()}${zone()}` : ''}`,
    () => `Mon ${monthName} ${day} ${year} ${clock()}${zone()}`,
    () => dice.pick(DATE_TEXTS),
  ]);
  if (!dice.chance(0.4) || text.length > 200) return text;
  let changed = text;
  for (let times = dice.between(1, 2); times > 0; times--) {
    const place = dice.between(0, changed.length);
    changed =
      changed.slice(0, place) +
      (dice.chance(0.75) ? dice.pick(DATE_SPLINTERS) : '') +
      changed.slice(place + dice.pick([0, 0, 1, 1, 2]));
  }
  return changed === '' ? 'x' : changed;
}

/** @param {Dice} dice */
function dateVault(dice) {
  const texts = Array.from({ length: dice.between(10, 60) }, () => dateText(dice));
  const contents = texts.map((text) =>
    objectText([
      [dice.pick(['created_ts', 'timestamp']), dice.chance(0.97) ? JSON.stringify(text) : JSON.stringify([text])],
    ]),
  );
  const asked = dice.shuffle(texts).slice(0, 25);
  const calls = [
    { options: NO_LIMIT },
    { options: { limit: 0, since: EARLIEST } },
    { options: { limit: 0, until: { $date: someTime(dice) } } },
    ...asked.map((text) => ({ options: { since: { $dateOf: text }, until: { $dateOf: text } } })),
  ];
  return vaultOfCapsules('', contents, calls, { zoned: true });
}

/** @param {Dice} dice */
function sortVault(dice) {
  const size = dice.make([
    () => dice.between(2, 40),
    () => dice.between(2, 40),
    () => dice.between(33, 70),
    () => dice.between(33, 70),
    () => dice.between(100, 400),
    () => dice.between(400, 1200),
  ]);
  return vaultOfCapsules('', sortableContents(dice, sortKeys(dice, size)), SORT_CALLS);
}

/**
 * @param {Dice} dice
 * @returns {string}
 */
function transcriptText(dice) {
  const end = dice.chance(0.9) ? '\n' : '\r\n';
  const stamp = () =>
    dice.make([
      () => new Date(someTime(dice)).toISOString(),
      () => new Date(someTime(dice)).toISOString(),
      () => dateText(dice).replace(/[\r\n]/g, ' '),
      () => '',
    ]);
  const makers = [
    () => `# Timestamp: ${stamp()}`,
    () => `# Timestamp: ${stamp()}`,
    () => `# Role: ${dice.pick([...ROLES, ...ROLES, '', 'odd role'])}`,
    () => `# Role: ${dice.pick(ROLES)}`,
    () => `# User: ${dice.pick(['u', '', 'someone else'])}`,
    () => `# Session: ${dice.pick(['s0', 's1', '', 'other'])}`,
    () => '# Tokens: 12',
    () => `# Emotions: ${dice.chance(0.7) ? jsonText(dice, 2).replace(/[\r\n]/g, ' ') : dice.pick(['bad', '{', ''])}`,
    () => dice.pick(['free text', '#', '# ', '', '# --', '# Timestamp', ' # Role: no', '\ufeff']),
  ];
  const lines = Array.from({ length: dice.between(0, 8) }, () => dice.make(makers));
  if (dice.chance(0.9)) lines.push('# ---');
  if (dice.chance(0.7)) lines.push('');
  lines.push(someWords(dice, 20));
  if (dice.chance(0.2)) lines.push('# ---', '# Role: in the body', '');
  return lines.join(end);
}

/** @param {Dice} dice */
function transcriptVault(dice) {
  const files = {};
  const sessions = ['s0', 's1', 'é', 'S0'];
  for (let index = dice.between(0, 40); index > 0; index--) {
    const stamp = new Date(someTime(dice)).toISOString().replace(/[:.]/g, '-');
    const name = dice.make([
      () => `${stamp.slice(0, 19)}Z_${dice.pick(ROLES)}.txt`,
      () => `${stamp}_${dice.pick(ROLES)}.txt`,
      () => `${dice.pick(['a', 'B', '😀', '\uff5e'])}${index}.txt`,
      () => `${index}.md`,
    ]);
    const text = Buffer.from(transcriptText(dice));
    files[`${dice.pick(sessions)}/${name}`] = {
      base64: (dice.chance(0.2)
        ? splinter(dice, text, ['\n', '#', ' ', '# ---\n', '\r', '\u00a0', '\u0085', '# Role: x\n'])
        : text
      ).toString('base64'),
    };
  }
  const entries = transcripts('u', files);
  if (dice.chance(0.2)) entries.push({ path: 'users/u/transcripts/file', text: 'x' });
  if (dice.chance(0.15)) entries.push({ path: `users/u/transcripts/${dice.pick(['a', 's00', 'z'])}`, link: 'nowhere' });
  if (dice.chance(0.1)) entries.push({ path: 'users/u/capsules', link: 'nowhere' });
  const calls = ordinaryCalls(dice, ['u'], 8);
  for (const sessionId of dice.shuffle([...sessions, 'absent', 'other', 5]).slice(0, 4))
    calls.push({ userId: 'u', options: { ...ordinaryOptions(dice), sessionId } });
  calls.push({ userId: 'u', options: NO_LIMIT });
  return { entries, calls, zoned: true };
}

/** Several users with capsules, transcripts, links and what does not belong there. @param {Dice} dice */
function mixedVault(dice) {
  const entries = [];
  const userIds = ['u', 'v', 'w_1762969514958', 'x'];
  for (const userId of userIds) {
    const kind = dice.pick(['capsules', 'transcripts', 'both', 'none']);
    if (kind === 'none') entries.push({ path: `users/${userId}`, directory: true });
    if (kind !== 'transcripts' && kind !== 'none') {
      const folder = `users/${userId}/capsules`;
      entries.push(
        { path: folder, directory: true },
        { path: `${folder}/first.json`, text: layOut(dice, ordinaryCapsule(dice)) },
      );
      const makers = [
        (name) => ({ path: `${folder}/${name}.json`, text: layOut(dice, ordinaryCapsule(dice)) }),
        (name) => ({ path: `${folder}/${name}.json`, text: layOut(dice, ordinaryCapsule(dice)) }),
        (name) => ({
          path: `${folder}/${name}.json`,
          base64: splinter(dice, Buffer.from(layOut(dice, ordinaryCapsule(dice))), ['\u0000', 'x', '}', '"']).toString(
            'base64',
          ),
        }),
        (name) => ({
          path: `${folder}/${name}.json`,
          link: dice.pick([
            'first.json',
            'nowhere',
            `../../${userId}/capsules/first.json`,
            `{vault}/users/${userId}/capsules/first.json`,
            '.',
            `${name}.json`,
          ]),
        }),
        (name) => ({ path: `${folder}/${name}.json`, hardLink: `${folder}/first.json` }),
        (name) => ({ path: `${folder}/${name}.json`, directory: true }),
        (name) => ({
          path: `${folder}/${name}.${dice.pick(['txt', 'JSON', 'json.tmp', 'jsonl'])}`,
          text: layOut(dice, ordinaryCapsule(dice)),
        }),
      ];
      for (let index = dice.between(0, 12); index > 0; index--)
        entries.push(dice.pick(makers)(`${dice.pick(['a', 'B', 'é', '_'])}${index}`));
    }
    if (kind !== 'capsules' && kind !== 'none') {
      entries.push(
        ...transcripts(
          userId,
          Object.fromEntries(
            Array.from({ length: dice.between(0, 6) }, (_, index) => [
              `s${index % 2}/${index}.txt`,
              transcriptText(dice),
            ]),
          ),
        ),
      );
    }
  }
  entries.push({ path: 'users/linked', link: 'u' });
  const calls = ordinaryCalls(dice, [...userIds, 'linked', 'absent', 'u/../v', './w_1762969514958'], 14);
  // A broken file may lack its timestamp, and the place of such a capsule among no dates would depend on the clock.
  for (const call of calls) call.anyOrder = true;
  for (const call of calls)
    if (call.options !== undefined) call.options = { ...call.options, limit: dice.pick([0, { $undefined: true }]) };
  for (const call of calls) if (call.options === undefined) call.options = NO_LIMIT;
  return { entries, calls, zoned: true };
}

const RANDOM_KINDS = {
  ordinary: ordinaryVault,
  'odd fields': oddFieldVault,
  'broken JSON': brokenJsonVault,
  dates: dateVault,
  order: sortVault,
  transcripts: transcriptVault,
  mixed: mixedVault,
};

/**
 * A vault made from a seed: the same on every machine.
 *
 * @param {number} seed
 * @returns {VaultDescription}
 */
function randomVault(seed) {
  const kinds = Object.keys(RANDOM_KINDS);
  const kind = kinds[seed % kinds.length];
  return { ...RANDOM_KINDS[kind](new Dice(seed)), name: `random ${seed} (${kind})` };
}

module.exports = {
  Dice,
  describeValue,
  digestOf,
  decodeValue,
  differenceOfOutcomes,
  differencesOfRuns,
  encodeValue,
  holdConsole,
  loadReadMemories,
  oddVaults,
  randomVault,
  runCall,
  runVault,
  summariseOutcome,
  writeVault,
};
