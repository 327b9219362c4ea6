'use strict';

const crypto = require('node:crypto');
const { EventEmitter } = require('node:events');
const fs = require('node:fs/promises');
const path = require('node:path');
const { isDeepStrictEqual } = require('node:util');
const native = require('./native');
const { refused } = require('./errors');

/** @typedef {import('../index').Vault} Vault */
/** @typedef {import('../index').CapsuleEvent} CapsuleEvent */
/** @typedef {import('../index').DiscoveredCapsule} DiscoveredCapsule */
/**
 * A request of Node.js, and what Express adds to it.
 *
 * @typedef {import('node:http').IncomingMessage & { baseUrl?: string, body?: unknown }} Request
 */
/** @typedef {import('node:http').ServerResponse} Response */
/** @typedef {(error?: unknown) => void} Next */
/** @typedef {{ id: string, text: string }} Told An event as it is sent. */

const LARGEST_BODY = 64 * 1024 * 1024;
/** The answer to a request whose body is not wanted is read before the connection ends, if that takes no longer. */
const LINGER = 1000;
/** Whoever takes nothing of an answer for so long is let go: the answer would be kept for as long as the connection is. */
const STALLED = 60_000;
const HEARTBEAT = 15_000;
/** Whoever takes events up so slowly that more is waiting is let go, and can resume. */
const MOST_WAITING = 1024 * 1024;
/** For those who resume: so many events and characters are kept. All must fit into what may wait for a client. */
const KEPT_EVENTS = 1000;
const KEPT_LENGTH = 256 * 1024;
const LONGEST_EVENT = 16 * 1024;

const COLLECTION = ['GET', 'HEAD', 'POST'];
const SINGLE = ['GET', 'HEAD'];

/** What each error of the vault means to a client who stores. Of any other, nothing is told. */
const STATUS_OF_CODE = new Map([
  ['VVAULT_INVALID_ARGUMENT', 400],
  ['VVAULT_INVALID_CAPSULE', 400],
  ['VVAULT_INVALID_NAME', 400],
  ['VVAULT_NOT_A_CAPSULE', 400],
  ['VVAULT_TOO_LARGE', 413],
  ['VVAULT_UNSOUND', 422],
]);

/** What the vault says of a name that is nobody's. */
const NAMELESS = new Set(['VVAULT_INVALID_NAME', 'VVAULT_NO_CONSTRUCT', 'VVAULT_OUTSIDE']);

/** An answer that is no success. Its message is for the client. */
class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {Record<string, string>} [headers]
   */
  constructor(status, message, headers = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** The client is gone: there is nobody to answer. */
class Vanished extends Error {}

/**
 * VVAULT's web API of a vault: see `index.d.ts`.
 *
 * @param {Vault} vault
 * @param {import('../index').CapsuleHandlerOptions} [options]
 */
function createCapsuleHandler(vault, options = {}) {
  if (!(vault instanceof EventEmitter) || typeof (/** @type {any} */ (vault).discoverCapsules) !== 'function') {
    throw refused('createCapsuleHandler(vault) takes an open vault: await Vault.open(root)');
  }
  const { authorize, basePath = '/api/capsules', maxBodyBytes = LARGEST_BODY } = options ?? {};
  if (authorize !== undefined && typeof authorize !== 'function') throw refused('authorize must be a function');
  if (typeof basePath !== 'string' || !/^(\/[^/?#\s]+)+\/?$/.test(basePath)) {
    throw refused('basePath must be a path such as /api/capsules');
  }
  if (!(Number.isSafeInteger(maxBodyBytes) && maxBodyBytes > 0)) {
    throw refused('maxBodyBytes must be a whole number above 0');
  }
  const base = basePath.replace(/\/$/, '');
  const imports = new Imports(vault);

  /**
   * Never rejects: Express 4 would not notice.
   *
   * @param {Request} req
   * @param {Response} res
   * @param {Next} [next]
   * @returns {Promise<void>}
   */
  async function handler(req, res, next) {
    const below = pathBelow(base, req);
    if (below === null || (req.method === 'OPTIONS' && next)) {
      if (next) next();
      else respondJson(req, res, 404, { success: false, error: 'Not found' });
      return;
    }
    try {
      await admit(req, authorize);
      if (below === '') await collection(req, res);
      else if (below === 'events') events(req, res);
      else await single(req, res, decoded(below));
    } catch (error) {
      if (!(error instanceof Vanished)) fail(req, res, error);
    }
  }

  /**
   * @param {Request} req
   * @param {Response} res
   */
  async function collection(req, res) {
    demandMethod(req, COLLECTION);
    if (req.method === 'POST') {
      const stored = path.basename(await vault.storeCapsule(await capsuleIn(req, maxBodyBytes)));
      respondJson(req, res, 201, { success: true, capsule: stored });
      return;
    }
    const found = await vault.discoverCapsules();
    const capsules = found.map((capsule) => ({ ...capsule, path: relative(vault.root, capsule.path) }));
    respondTagged(req, res, Buffer.from(JSON.stringify({ success: true, capsules, count: capsules.length })));
  }

  /**
   * @param {Request} req
   * @param {Response} res
   * @param {string} name
   */
  async function single(req, res, name) {
    demandMethod(req, SINGLE);
    const text = await capsuleText(vault, name);
    // The text as it is: what is parsed and written again has other hashes, as 1.0 becomes 1.
    respondTagged(req, res, Buffer.from(`{"success":true,"capsule":${text}}`));
  }

  /**
   * @param {Request} req
   * @param {Response} res
   */
  function events(req, res) {
    demandMethod(req, SINGLE);
    const headers = {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-cache, no-transform',
      'X-Accel-Buffering': 'no',
      'X-Content-Type-Options': 'nosniff',
    };
    res.writeHead(200, headers);
    if (req.method === 'HEAD') res.end();
    else imports.send(res, req.headers['last-event-id'] || undefined);
  }

  return Object.assign(handler, { close: () => imports.close() });
}

/** The imports of a vault, and whoever listens to them over HTTP. */
class Imports {
  /** @type {Set<Response>} */
  #clients = new Set();
  /** @type {Told[]} The newest events, the oldest first. */
  #kept = [];
  #keptLength = 0;
  /** The id of the event before those that are kept. */
  #before;
  /** What tells the ids of this process from those of one before. */
  #run = crypto.randomUUID();
  #count = 0;
  #closed = false;
  /** @type {NodeJS.Timeout | undefined} */
  #heart;
  #vault;
  /** One for all clients, so that it does not matter how many there are, and those who come back have missed nothing. */
  #listener = (/** @type {CapsuleEvent} */ event) => this.#tell(event);

  /** @param {Vault} vault */
  constructor(vault) {
    this.#vault = vault;
    this.#before = this.#localId();
    vault.on('capsule:imported', this.#listener);
  }

  /**
   * Sends a client what is told from now on, and before that what came after the event that it had last.
   *
   * @param {Response} res
   * @param {string | string[] | undefined} last
   */
  send(res, last) {
    if (this.#closed) {
      res.end();
      return;
    }
    const newest = this.#kept.at(-1)?.id ?? this.#before;
    const place = last === this.#before ? 0 : this.#kept.findLastIndex(({ id }) => id === last) + 1;
    let text = 'retry: 3000\n';
    if (last === undefined) text += `id: ${newest}\n\n`;
    else if (place === 0 && last !== this.#before) text += `event: reset\nid: ${newest}\ndata: {}\n\n`;
    else
      text += `\n${this.#kept
        .slice(place)
        .map((told) => told.text)
        .join('')}`;
    // Both come also when the connection breaks, which is nobody's error.
    res.on('error', () => {});
    res.once('close', () => this.#forget(res));
    if (res.destroyed) return;
    this.#clients.add(res);
    this.#heart ??= setInterval(() => this.#write(': heartbeat\n\n'), HEARTBEAT).unref();
    write(res, text);
  }

  /** Ends all streams, and listens no more. */
  close() {
    this.#closed = true;
    this.#vault.off('capsule:imported', this.#listener);
    for (const res of this.#clients) res.end();
  }

  /** @param {Response} res */
  #forget(res) {
    this.#clients.delete(res);
    if (this.#clients.size > 0) return;
    clearInterval(this.#heart);
    this.#heart = undefined;
  }

  /** @param {CapsuleEvent} event */
  #tell(event) {
    this.#count += 1;
    const { memories, path: file, cursor, ...rest } = event;
    const id = typeof cursor === 'string' && /^[\x20-\x7e]+$/.test(cursor) ? cursor : this.#localId();
    const place = { path: relative(this.#vault.root, file), cursor };
    let data = JSON.stringify({ ...rest, ...place, memoryCount: memories?.length ?? 0 });
    // The capsule's own members can have any size.
    if (data.length > LONGEST_EVENT) data = JSON.stringify({ kind: event.kind, format: event.format, ...place });
    const told = { id, text: `event: imported\nid: ${id}\ndata: ${data}\n\n` };
    this.#kept.push(told);
    this.#keptLength += told.text.length;
    while (this.#kept.length > KEPT_EVENTS || this.#keptLength > KEPT_LENGTH) {
      const oldest = /** @type {Told} */ (this.#kept.shift());
      this.#keptLength -= oldest.text.length;
      this.#before = oldest.id;
    }
    this.#write(told.text);
  }

  /** Of an event that has no cursor, as the vault is not watched. */
  #localId() {
    return `${this.#run}.${this.#count}`;
  }

  /** @param {string} text */
  #write(text) {
    for (const res of this.#clients) write(res, text);
  }
}

/**
 * @param {Response} res
 * @param {string} text
 */
function write(res, text) {
  res.write(text);
  // Where Express compresses, it also collects.
  /** @type {any} */ (res).flush?.();
  if (res.writableLength > MOST_WAITING) res.destroy();
}

/**
 * Lets a request pass, or throws.
 *
 * @param {Request} req
 * @param {((req: any) => unknown) | undefined} authorize
 */
async function admit(req, authorize) {
  if (authorize) {
    if (!(await authorize(req))) throw new Refusal(401, 'Authorization required');
    return;
  }
  const { remoteAddress } = req.socket;
  const forwarded = req.headers.forwarded ?? req.headers['x-forwarded-for'];
  if (!isLoopbackAddress(remoteAddress) || forwarded !== undefined) {
    throw new Refusal(403, 'Only callers on this machine are served');
  }
  // A web page can have its own name lead to this machine, and then read what is served under that name.
  const host = req.headers.host ?? /** @type {string | undefined} */ (req.headers[':authority']);
  const authority = host === undefined ? undefined : authorityOf(`http://${host}`);
  if (host !== undefined && !isLoopbackName(authority?.hostname)) {
    throw new Refusal(403, 'Only requests to this machine by its loopback names are served');
  }
  const { origin } = req.headers;
  if (req.method === 'POST' && origin !== undefined && authorityOf(origin)?.host !== (authority?.host ?? '')) {
    throw new Refusal(403, 'Requests from other origins are not served');
  }
}

/** @param {string} url */
function authorityOf(url) {
  try {
    const { host, hostname } = new URL(url);
    return { host, hostname };
  } catch {
    return undefined;
  }
}

/** @param {string | undefined} address */
function isLoopbackAddress(address) {
  return address !== undefined && /^(::1|(::ffff:)?127(\.\d{1,3}){3})$/i.test(address);
}

/** @param {string | undefined} name As `URL` writes it. */
function isLoopbackName(name) {
  return name !== undefined && /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(name);
}

/**
 * What follows the base path: `''` for itself, the last segment of what is directly below, `null` for any other path. Where
 * Express has mounted the handler, the whole path counts, or what is left of it below the mount.
 *
 * @param {string} base
 * @param {Request} req
 * @returns {string | null}
 */
function pathBelow(base, req) {
  const url = req.url ?? '';
  for (const whole of [(req.baseUrl ?? '') + url, url]) {
    // Proxies may be sent whole URLs.
    const [pathname] = whole.replace(/^https?:\/\/[^/?#]*/i, '').split(/[?#]/, 1);
    if (pathname === base || pathname === `${base}/`) return '';
    if (!pathname.startsWith(`${base}/`)) continue;
    const below = pathname.slice(base.length + 1);
    return below.includes('/') ? null : below;
  }
  return null;
}

/** @param {string} segment */
function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new Refusal(400, 'The name is not encoded as URLs are');
  }
}

/**
 * @param {Request} req
 * @param {string[]} methods
 */
function demandMethod(req, methods) {
  if (methods.includes(req.method ?? '')) return;
  throw new Refusal(405, 'Method not allowed', { Allow: methods.join(', ') });
}

/**
 * The text of a sound capsule: of the file of this name (or path, as the list has it), else of the construct.
 *
 * The name is only ever compared with those of files that the vault itself has found.
 *
 * @param {Vault} vault
 * @param {string} name
 * @returns {Promise<string>}
 */
async function capsuleText(vault, name) {
  const found = newestFirst(await vault.discoverCapsules());
  const named = found.filter((capsule) => capsule.name === name || relative(vault.root, capsule.path) === name);
  if (named.length > 0) {
    const owners = new Set(named.map((capsule) => ownerOf(relative(vault.root, capsule.path))));
    owners.delete('');
    if (owners.size > 1) {
      throw new Refusal(409, 'Several have a capsule of this name: ask for it by its path, as the list has it');
    }
    return soundText(vault, named, () => true);
  }
  const state = await vault.restoreConstruct(name).catch((error) => {
    // The vault's own messages tell where it is.
    if (error.code === 'VVAULT_UNSOUND') throw unsound();
    throw NAMELESS.has(error.code) ? missing() : error;
  });
  // Where the vault has found it is not told: it is the one that restores to the same.
  const version = ({ uuid = null, timestamp = null }) => [uuid, timestamp];
  const candidates = found.filter((capsule) => isDeepStrictEqual(version(capsule), version(state)));
  return soundText(vault, candidates, (text) => isDeepStrictEqual(JSON.parse(native.restoreConstruct(text)), state));
}

/**
 * The text of the first capsule that is sound and wanted.
 *
 * @param {Vault} vault
 * @param {DiscoveredCapsule[]} capsules
 * @param {(text: string) => boolean} isWanted
 * @returns {Promise<string>}
 */
async function soundText(vault, capsules, isWanted) {
  let refusal = missing();
  const root = await fs.realpath(vault.root);
  for (const { path: file } of capsules) {
    // What was a file of the vault when it was found may have become a link.
    const real = await fs.realpath(file).catch(() => null);
    if (real === null || !isBelow(root, real)) continue;
    const loaded = await native.loadCapsule(real);
    const text = loaded.text();
    if (text === null) continue;
    if (loaded.errorMessage || !isObjectText(text)) refusal = unsound();
    else if (isWanted(text)) return text;
  }
  throw refusal;
}

/**
 * Whether it can stand in an answer as it is. Python also writes NaN, which is no JSON.
 *
 * @param {string} text
 */
function isObjectText(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** @param {DiscoveredCapsule[]} capsules */
function newestFirst(capsules) {
  const time = (/** @type {DiscoveredCapsule} */ { timestamp }) =>
    (typeof timestamp === 'string' && Date.parse(timestamp)) || 0;
  return [...capsules].sort((a, b) => time(b) - time(a) || Date.parse(b.modified) - Date.parse(a.modified));
}

/**
 * The folder that holds all that is one user's, or the vault's own: `''`.
 *
 * @param {string} file From the vault's folder.
 */
function ownerOf(file) {
  return `/${file}`.split(/\/(?:instances|capsules|account|archive|constructs)\//, 1)[0];
}

/**
 * Where a file is in the vault: where the vault is, is nobody's business.
 *
 * @param {string} root
 * @param {string} file
 */
function relative(root, file) {
  if (!isBelow(root, file)) return path.basename(file);
  return path.relative(root, file).split(path.sep).join('/');
}

/**
 * @param {string} root
 * @param {string} file
 */
function isBelow(root, file) {
  const way = path.relative(root, file);
  return way !== '' && way !== '..' && !way.startsWith(`..${path.sep}`) && !path.isAbsolute(way);
}

function missing() {
  return new Refusal(404, 'Capsule not found');
}

function unsound() {
  return new Refusal(422, 'The capsule is not sound: it is not what its writer wrote, or no JSON');
}

/**
 * What is to be stored: the body's bytes as they came, or what Express has made of them.
 *
 * @param {Request} req
 * @param {number} largest
 * @returns {Promise<string | Buffer | object>}
 */
async function capsuleIn(req, largest) {
  const [type, ...parameters] = (req.headers['content-type'] ?? '').toLowerCase().split(';');
  const charset = parameters.map((text) => /^\s*charset\s*=\s*"?([^"\s]*)/.exec(text)?.[1]).find(Boolean) ?? 'utf-8';
  if (!/^\s*application\/([\w.-]+\+)?json\s*$/.test(type) || !/^utf-?8$/.test(charset)) {
    throw new Refusal(415, 'A capsule is sent as application/json, in UTF-8');
  }
  const tooLarge = () => new Refusal(413, `The body is too large: at most ${largest} bytes are taken`);
  const { body } = req;
  if (typeof body === 'string' || body instanceof Uint8Array) {
    if (Buffer.byteLength(body) > largest) throw tooLarge();
    return typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  }
  // Some parsers leave an empty object where they have not parsed.
  if (typeof body === 'object' && body !== null && (req.readableEnded || Object.keys(body).length > 0)) return body;
  if (req.readableEnded) throw new Refusal(400, 'There is no body, or others have read it');
  if (Number(req.headers['content-length']) > largest) throw tooLarge();
  return received(req, largest, tooLarge);
}

/**
 * @param {Request} req
 * @param {number} largest
 * @param {() => Refusal} tooLarge
 * @returns {Promise<Buffer>}
 */
function received(req, largest, tooLarge) {
  return new Promise((resolve, reject) => {
    /** @type {Buffer[]} */
    let chunks = [];
    let length = 0;
    const settle = (/** @type {() => void} */ how) => {
      req.off('data', take).off('end', finish).off('error', vanish).off('close', vanish);
      chunks = [];
      how();
    };
    const take = (/** @type {Buffer | string} */ chunk) => {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      length += bytes.length;
      if (length > largest) settle(() => reject(tooLarge()));
      else chunks.push(bytes);
    };
    const finish = () => {
      const body = Buffer.concat(chunks, length);
      settle(() => resolve(body));
    };
    const vanish = () => settle(() => reject(new Vanished()));
    // A body that breaks off after this is told of as an error, which nobody else awaits.
    req.on('error', () => {});
    if (req.destroyed) reject(new Vanished());
    else req.on('data', take).on('end', finish).on('error', vanish).on('close', vanish);
  });
}

/**
 * @param {Request} req
 * @param {Response} res
 * @param {any} error
 */
function fail(req, res, error) {
  if (res.headersSent) {
    res.destroy();
    return;
  }
  if (error?.code === 'VVAULT_BUSY') {
    // The vault's own message tells where it is.
    const message = 'Another process has locked the instance: try again';
    respondJson(req, res, 409, { success: false, error: message }, { 'Retry-After': '1' });
    return;
  }
  const status = error instanceof Refusal ? error.status : STATUS_OF_CODE.get(error?.code);
  if (status !== undefined) {
    respondJson(req, res, status, { success: false, error: error.message }, error.headers);
    return;
  }
  // In one line, whatever is in it.
  console.error('A request for capsules failed:', JSON.stringify(String(error?.stack ?? error)));
  const closed = error?.code === 'VVAULT_CLOSED';
  const message = closed ? 'The vault is closed' : 'Internal server error';
  respondJson(req, res, closed ? 503 : 500, { success: false, error: message });
}

/**
 * Answers with what may be kept and asked for again.
 *
 * @param {Request} req
 * @param {Response} res
 * @param {Buffer} body JSON.
 */
function respondTagged(req, res, body) {
  const tag = crypto.createHash('sha256').update(body).digest('base64url');
  const headers = { ETag: `"${tag}"`, 'Cache-Control': 'private, no-cache' };
  const asked = req.headers['if-none-match'] ?? '';
  const has = asked.trim() === '*' || Array.from(asked.matchAll(/"([^"]*)"/g)).some(([, known]) => known === tag);
  if (has) respond(req, res, 304, null, headers);
  else respond(req, res, 200, body, headers);
}

/**
 * @param {Request} req
 * @param {Response} res
 * @param {number} status
 * @param {object} answer
 * @param {Record<string, string>} [headers]
 */
function respondJson(req, res, status, answer, headers = {}) {
  respond(req, res, status, Buffer.from(JSON.stringify(answer)), { 'Cache-Control': 'no-store', ...headers });
}

/**
 * @param {Request} req
 * @param {Response} res
 * @param {number} status
 * @param {Buffer | null} body JSON.
 * @param {Record<string, string | number>} headers
 */
function respond(req, res, status, body, headers) {
  if (res.destroyed || res.headersSent) return;
  const all = { ...headers, 'X-Content-Type-Options': 'nosniff' };
  if (body) Object.assign(all, { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': body.length });
  res.setTimeout(STALLED, () => res.destroy());
  const hasBody = req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length']) > 0;
  const isBodyPending = hasBody && !req.complete && req.httpVersionMajor < 2;
  if (isBodyPending && body !== null && req.method !== 'HEAD') {
    // A connection that is closed while the client still sends is reset, and the answer is lost with it.
    res.writeHead(status, { ...all, Connection: 'close' });
    res.write(body);
    const end = () => {
      clearTimeout(timer);
      res.end();
    };
    const timer = setTimeout(end, LINGER).unref();
    req.on('error', () => {});
    req.once('end', end).once('close', end).resume();
    return;
  }
  res.writeHead(status, all);
  res.end(req.method === 'HEAD' ? undefined : (body ?? undefined));
}

module.exports = { createCapsuleHandler };
