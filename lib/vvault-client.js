'use strict';

const path = require('node:path');
const { setTimeout: delay } = require('node:timers/promises');
const native = require('./native');
const { named, text } = require('./arguments');
const { refused, toVaultError, withCode } = require('./errors');
const { requestOf } = require('./reading');
const { severalLooks } = require('./several-looks');

/** @typedef {import('./errors').VaultError} VaultError */
/** @typedef {(id: string) => Promise<any>} Source Gives a construct's capsule, parsed, or throws a VaultError. */
/** @typedef {{ retryable?: boolean, retryAfter?: number }} Again Whether a failed request may be made once more, and when. */

const OPTIONS = ['mode', 'vaultPath', 'userId', 'baseUrl', 'headers', 'capsuleIds', 'timeoutMs'];
const DEFAULT_IDS = ['nova-001'];
const DEFAULT_TIMEOUT = 30_000;
/** So many capsules are loaded at a time. */
const PARALLEL = 4;
const LARGEST_BODY = 64 * 1024 * 1024;
/** As much of an answer that is no capsule is looked at, for what the server says in it. */
const LARGEST_EXPLANATION = 64 * 1024;

const ATTEMPTS = 4;
const FIRST_WAIT = 100;
/** A server that asks to be left alone for longer is not asked again. */
const LONGEST_WAIT = 30_000;
const REDIRECTS = 5;
/** zlib's codes of what can't be decoded; not that of what ends too early, which is a broken connection. */
const UNDECODABLE = /^(Z_(?!BUF_ERROR)|ERR__ERROR_|ZSTD_error_)/;
const REDIRECTING = new Set([301, 302, 303, 307, 308]);

/** What can't be the name of a construct: nor of a part of an URL or path. */
const NO_NAME = /[\p{Cc}\p{Cs}/\\]/u;
const LONGEST_NAME = 255;

/** Loads constructs' capsules, from a vault's folder or over HTTP: see `index.d.ts`. */
class VVAULTClient {
  /** @type {unknown[] | undefined} */
  #ids;
  /** @type {() => Source} */
  #sourceOf;

  /** @type {Map<string, VaultError>} What was left out by the last call of `loadAllCapsules`, and why. */
  errors = new Map();

  /** @param {import('../index').VVAULTClientOptions} [options] */
  constructor(options = {}) {
    named(options, OPTIONS);
    const { mode = 'filesystem', capsuleIds } = options;
    if (capsuleIds !== undefined && capsuleIds !== null && !Array.isArray(capsuleIds)) {
      throw refused('capsuleIds must be an array of strings');
    }
    this.#ids = capsuleIds ? [...capsuleIds] : undefined;
    if (mode === 'filesystem') this.#sourceOf = folderOf(options);
    else if (mode === 'http') this.#sourceOf = serverOf(options);
    else throw refused("mode must be 'filesystem' or 'http'");
  }

  /** @returns {Promise<Record<string, any>>} */
  async loadAllCapsules() {
    const ids = [...new Set(this.#ids ?? idsOfEnvironment())];
    const source = this.#sourceOf();
    const capsules = new Map();
    const errors = new Map();
    const waiting = ids.values();
    const work = async () => {
      for (const id of waiting) {
        try {
          capsules.set(id, await source(checkedId(id)));
        } catch (thrown) {
          errors.set(id, errorOf(thrown));
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARALLEL, ids.length) }, work));
    // In the order of the ids, whichever came first.
    const inOrder = (/** @type {Map<any, any>} */ found) => ids.filter((id) => found.has(id));
    this.errors = new Map(inOrder(errors).map((id) => [/** @type {string} */ (id), errors.get(id)]));
    // Without a prototype, so that `__proto__` is a key like others.
    const loaded = Object.create(null);
    for (const id of inOrder(capsules)) loaded[/** @type {string} */ (id)] = capsules.get(id);
    return loaded;
  }
}

function idsOfEnvironment() {
  const ids = (process.env.CAPSULE_IDS ?? '').split(',').map((id) => id.trim());
  const stated = ids.filter((id) => id !== '');
  return stated.length > 0 ? stated : DEFAULT_IDS;
}

/**
 * @param {unknown} id
 * @returns {string}
 */
function checkedId(id) {
  if (typeof id !== 'string' || id === '') throw refused("a capsule's id must be a non-empty string");
  if (id === '.' || id === '..' || id.length > LONGEST_NAME || NO_NAME.test(id)) {
    throw refused(`${printable(id)} can't be a capsule's id: give a construct's name, such as nova-001`);
  }
  return id;
}

/**
 * Capsules from a vault's folder.
 *
 * @param {import('../index').VVAULTClientOptions} options
 * @returns {() => Source}
 */
function folderOf({ vaultPath, userId }) {
  const root = vaultPath ?? (process.env.VVAULT_ROOT_PATH || process.env.VVAULT_PATH);
  if (root === undefined) {
    throw refused("no vault: give vaultPath, or set VVAULT_ROOT_PATH or VVAULT_PATH to the vault's folder");
  }
  text(root, 'vaultPath');
  // An empty one must not mean all users.
  if (userId !== undefined && userId !== null) text(userId, 'userId');
  const directories = { users: 'users', capsules: 'capsules', transcripts: 'transcripts' };
  const options = { create: false, report: false, ...directories };
  return () => {
    const folder = path.resolve(root);
    const user = userId ? requestOf(folder, directories, userId, {}).user : undefined;
    const opening = native.openVault(folder, options, undefined, new native.ReadingProgress());
    // Each capsule's own call tells of a failure; there may be none.
    opening.catch(() => {});
    return async (id) => {
      const vault = await opening;
      const find = async () => {
        const { path: file, problem } = await vault.restore(id, {}, user);
        if (problem) throw toVaultError(new Error(problem));
        return file;
      };
      return severalLooks(find, async (file) => parsed(await native.loadCapsule(file), file));
    };
  };
}

/**
 * Capsules from a server that speaks VVAULT's web API.
 *
 * @param {import('../index').VVAULTClientOptions} options
 * @returns {() => Source}
 */
function serverOf({ baseUrl, headers: given, timeoutMs = DEFAULT_TIMEOUT, userId }) {
  const base = urlOf(baseUrl);
  if (userId !== undefined && userId !== null) {
    throw refused("userId is for the mode 'filesystem': VVAULT's web API asks for a capsule, not for whose it is");
  }
  if (!(Number.isSafeInteger(timeoutMs) && timeoutMs > 0 && timeoutMs <= 0x7fffffff)) {
    throw refused('timeoutMs must be a whole number of milliseconds above 0');
  }
  // They would be sent as the text of that name.
  const unset = Object.entries(given ?? {}).find(([, value]) => value === undefined || value === null);
  if (unset) throw refused(`headers.${printable(unset[0])} must be a string`);
  /** @type {Headers} */
  let headers;
  try {
    headers = new Headers(given ?? {});
  } catch {
    // The reason would quote the value, which may be a key.
    throw refused('headers must be names and values that HTTP allows');
  }
  if (!headers.has('accept')) headers.set('accept', 'application/json');
  const folder = base.pathname.replace(/\/+$/, '');
  const ask = async (/** @type {string} */ name) => {
    const url = new URL(base);
    // Of itself, `events` is the stream of events.
    const segment = name === 'events' ? '%65vents' : encodeURIComponent(name);
    url.pathname = `${folder}/api/capsules/${segment}`;
    const body = await persistently(() => request(url, headers, AbortSignal.timeout(timeoutMs), timeoutMs));
    return judged(body, whereOf(url));
  };
  return () => (id) =>
    ask(id).catch((error) => {
      // VVAULT's own server takes the name of a file.
      if (error.code !== 'VVAULT_NO_CONSTRUCT' || id.endsWith('.capsule')) throw error;
      return ask(`${id}.capsule`).catch((other) => {
        throw other.code === 'VVAULT_NO_CONSTRUCT' ? error : other;
      });
    });
}

/**
 * @param {unknown} baseUrl
 * @returns {URL}
 */
function urlOf(baseUrl) {
  let url;
  try {
    url = new URL(/** @type {string} */ (baseUrl));
  } catch {
    throw refused("baseUrl must be the server's URL, such as http://localhost:8000");
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw refused('baseUrl must begin with http:// or https://');
  if (url.username !== '' || url.password !== '') throw refused('baseUrl must have no password: give it in headers');
  return url;
}

/**
 * Makes a request until it succeeds, fails for good, or has failed often enough.
 *
 * @template T
 * @param {() => Promise<T>} attempt
 * @returns {Promise<T>}
 */
async function persistently(attempt) {
  for (let made = 1; ; made += 1) {
    try {
      return await attempt();
    } catch (error) {
      const { retryable = false, retryAfter = 0 } = failures.get(/** @type {Error} */ (error)) ?? {};
      // With chance in it, so that clients that failed together don't come again together.
      const backoff = FIRST_WAIT * 2 ** (made - 1) * (0.5 + Math.random() / 2);
      if (!retryable || made === ATTEMPTS || retryAfter > LONGEST_WAIT) throw error;
      await delay(Math.max(backoff, retryAfter));
    }
  }
}

/**
 * What is known of errors besides their code: not in the error itself, where callers would see it.
 *
 * @type {WeakMap<Error, Again>}
 */
const failures = new WeakMap();

/**
 * @param {string} code
 * @param {string} message
 * @param {Again & { cause?: unknown }} [options]
 */
function failure(code, message, { cause, ...again } = {}) {
  const error = withCode(new Error(message, cause === undefined ? undefined : { cause }), code);
  failures.set(error, again);
  return error;
}

/**
 * The body of the answer to one request.
 *
 * @param {URL} first
 * @param {Headers} headers
 * @param {AbortSignal} signal
 * @param {number} timeout What the signal's is.
 * @returns {Promise<Buffer>}
 */
async function request(first, headers, signal, timeout) {
  let url = first;
  try {
    for (let redirects = 0; ; redirects += 1) {
      // Not followed by `fetch` itself, which would send the headers, and keys in them, to anybody.
      const response = await fetch(url, { headers, signal, redirect: 'manual' });
      try {
        const location = response.headers.get('location');
        if (REDIRECTING.has(response.status) && location !== null) url = redirected(url, location, redirects);
        else if (response.ok) return await bodyOf(response, url);
        else throw await refusal(response, url);
      } finally {
        // What is left of a body would hold the connection.
        if (!response.bodyUsed) response.body?.cancel().catch(() => {});
      }
    }
  } catch (thrown) {
    if (failures.has(/** @type {Error} */ (thrown))) {
      // A server that gives a status and then hangs has used up its time like others.
      if (signal.aborted) failures.delete(/** @type {Error} */ (thrown));
      throw thrown;
    }
    if (signal.aborted) {
      throw failure('VVAULT_TIMEOUT', `${whereOf(url)} has not answered whole within ${timeout} ms (timeoutMs)`);
    }
    // `fetch` says no more than "fetch failed".
    const reason = /** @type {any} */ (thrown)?.cause ?? thrown;
    const said = printable(reason?.message || reason?.code || reason);
    if (UNDECODABLE.test(reason?.code)) {
      const message = `${whereOf(url)} sends what can't be decoded as its Content-Encoding says: ${said}`;
      throw failure('VVAULT_NOT_A_CAPSULE', message, { cause: thrown });
    }
    const message = `${whereOf(url)} can't be reached: ${said}`;
    throw failure('VVAULT_NETWORK', message, { cause: thrown, retryable: true });
  }
}

/**
 * @param {URL} from
 * @param {string} location
 * @param {number} redirects How often that has happened already.
 */
function redirected(from, location, redirects) {
  const url = URL.canParse(location, from.href) ? new URL(location, from) : null;
  const refusing = (/** @type {string} */ why) =>
    failure('VVAULT_HTTP_STATUS', `${whereOf(from)} redirects ${why}: set baseUrl to where the capsules are`);
  if (url === null) throw refusing('to nowhere');
  if (url.origin !== from.origin) throw refusing(`to another origin, ${printable(url.origin)}, which is not followed`);
  if (url.username !== '' || url.password !== '') throw refusing('to a URL with a password');
  if (redirects >= REDIRECTS) throw refusing('again and again');
  return url;
}

/**
 * Why there is no capsule in an answer.
 *
 * @param {Response} response
 * @param {URL} url
 */
async function refusal(response, url) {
  const { status } = response;
  const said = await explanationOf(response);
  const message = `${whereOf(url)} answers with status ${status}${said}`;
  if (status === 404) return failure('VVAULT_NO_CONSTRUCT', message);
  const hint = status === 401 || status === 403 ? ': is a key missing in headers?' : '';
  const retryable = status === 408 || status === 429 || status >= 500;
  const retryAfter = millisecondsOf(response.headers.get('retry-after'));
  return failure('VVAULT_HTTP_STATUS', message + hint, { retryable, retryAfter });
}

/**
 * What the server says in an answer that is no success; nothing if it can't be told.
 *
 * @param {Response} response
 */
async function explanationOf(response) {
  const type = response.headers.get('content-type') ?? '';
  if (!/\bjson\b/i.test(type)) return type === '' ? '' : ` (${printable(type)}: is baseUrl right?)`;
  try {
    const { error } = JSON.parse(new TextDecoder().decode((await bytesOf(response, LARGEST_EXPLANATION)) ?? undefined));
    return typeof error === 'string' ? `: ${printable(error)}` : '';
  } catch {
    return '';
  }
}

/**
 * How long `Retry-After` asks to wait.
 *
 * @param {string | null} value Seconds, or a date.
 */
function millisecondsOf(value) {
  if (value === null) return 0;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? 0 : Math.max(0, date - Date.now());
}

/**
 * @param {Response} response
 * @param {URL} url
 */
async function bodyOf(response, url) {
  const body = await bytesOf(response, LARGEST_BODY);
  if (body !== null) return body;
  throw failure(
    'VVAULT_TOO_LARGE',
    `${whereOf(url)} sends more than ${LARGEST_BODY} bytes, which is the most that is taken`,
  );
}

/**
 * A body; `null` if it is larger than allowed, of which no more is read then.
 *
 * @param {Response} response
 * @param {number} largest Bytes, after decompression.
 * @returns {Promise<Buffer | null>}
 */
async function bytesOf(response, largest) {
  if (Number(response.headers.get('content-length')) > largest) return null;
  const chunks = [];
  let length = 0;
  for await (const chunk of /** @type {AsyncIterable<Uint8Array>} */ (response.body ?? [])) {
    length += chunk.byteLength;
    if (length > largest) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/**
 * The capsule in an answer `{ success, capsule }`, once its hash has been found right.
 *
 * @param {Buffer} body
 * @param {string} where
 * @returns {Promise<any>}
 */
async function judged(body, where) {
  const loaded = await native.judgeAnswer(body).catch((thrown) => {
    const { code, message } = /** @type {VaultError} */ (toVaultError(thrown));
    throw failure(code, `${where}: ${printable(message)}`);
  });
  return parsed(loaded, where);
}

/**
 * The capsule, parsed, if nothing speaks against it.
 *
 * @param {import('../binding').LoadedCapsule} loaded
 * @param {string} where
 */
function parsed(loaded, where) {
  const text = loaded.text();
  if (text === null) throw unread(loaded.errorMessage ?? '', where);
  let capsule;
  try {
    capsule = JSON.parse(text);
  } catch (error) {
    // Python writes NaN and Infinity, which are hashed but can't be parsed here.
    const { message } = /** @type {Error} */ (error);
    throw failure('VVAULT_NOT_A_CAPSULE', `${where} can't be parsed in JavaScript: ${printable(message)}`);
  }
  if (!isObject(capsule)) throw failure('VVAULT_NOT_A_CAPSULE', `${where}: a capsule is a JSON object`);
  if (loaded.errorMessage) throw failure('VVAULT_UNSOUND', `${where}: ${loaded.errorMessage}`);
  return capsule;
}

/**
 * Why a file that was found could not be read.
 *
 * @param {string} problem In Node.js's words.
 * @param {string} file
 */
function unread(problem, file) {
  let code = 'VVAULT_SYSTEM';
  if (/^(ENOENT|ENOTDIR):/.test(problem)) code = 'VVAULT_NO_CONSTRUCT';
  else if (/^(EACCES|EPERM):/.test(problem)) code = 'VVAULT_PERMISSION';
  return withCode(new Error(`${file}: ${problem}`), code, file);
}

/** @param {unknown} value */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Where a capsule comes from, for messages: without what follows `?`, which may be a key.
 *
 * @param {URL} url
 */
function whereOf(url) {
  return url.origin + url.pathname;
}

/**
 * What others wrote, as it can be put into a message or log: in one line, and not too long.
 *
 * @param {unknown} value
 */
function printable(value) {
  const line = String(value).replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+/gu, ' ');
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}

/**
 * @param {unknown} thrown
 * @returns {VaultError}
 */
function errorOf(thrown) {
  const error = /** @type {VaultError} */ (toVaultError(thrown));
  // Of what failed here, such as a full disk below the folder for temporary files, the system's code says more.
  return /^VVAULT_/.test(error.code) ? error : withCode(new Error(error.message, { cause: error }), 'VVAULT_SYSTEM');
}

module.exports = { VVAULTClient };
