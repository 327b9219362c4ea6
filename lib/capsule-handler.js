'use strict';

const path = require('node:path');
const { isWithin } = require('./absolute');
const { IDENTITY_FILE, Refusal, Vanished, admit, demandMethod, fail, inTurn, listedFile } = require('./answering');
const { realPath, relative, respondJson, respondTagged, shared } = require('./answering');
const { timeOfCapsule } = require('./capsule-time');
const { refused } = require('./errors');
const { EventStream } = require('./event-stream');
const { jsonText } = require('./json-text');
const { severalLooks } = require('./several-looks');
const { SHARD, insideOf } = require('./vault');

/** @typedef {import('../index').Vault} Vault */
/** @typedef {import('../index').DiscoveredCapsule} DiscoveredCapsule */
/** @typedef {import('./answering').Request} Request */
/** @typedef {import('./answering').Response} Response */
/** @typedef {(error?: unknown) => void} Next */

const LARGEST_BODY = 64 * 1024 * 1024;
/** A body must have come within so many milliseconds: what has come of it is kept until then. */
const LONGEST_RECEIVING = 120_000;
const COLLECTION = ['GET', 'HEAD', 'POST'];
const SINGLE = ['GET', 'HEAD'];

const OPTIONS = new Set(['authorize', 'basePath', 'maxBodyBytes']);
/** What the vault says of a name that is nobody's. */
const NAMELESS = new Set(['VVAULT_INVALID_NAME', 'VVAULT_NO_CONSTRUCT', 'VVAULT_OUTSIDE']);
/** How it says that a name is not one user's: the code is that of a name that is nobody's. */
const SEVERAL = /^several users have a /;
/** Where capsules lie in a user's folder, and in the vault's own. What lies elsewhere is a copy. */
const KNOWN_PLACE =
  /^(instances\/[^/]+\/((identity|memup)\/)?|capsules\/([^/]+\/)?|account\/capsule\/(versions\/)?)[^/]+$/;

/**
 * VVAULT's web API of a vault: see `index.d.ts`.
 *
 * @param {Vault} vault
 * @param {import('../index').CapsuleHandlerOptions} [options]
 */
function createCapsuleHandler(vault, options = {}) {
  const { answerWith, isClosed } = insideOf(vault);
  // One that is misspelt would leave the door open.
  for (const name of Object.keys(options ?? {})) if (!OPTIONS.has(name)) throw refused(`there is no option ${name}`);
  const { authorize, basePath = '/api/capsules', maxBodyBytes = LARGEST_BODY } = options ?? {};
  if (authorize !== undefined && typeof authorize !== 'function') throw refused('authorize must be a function');
  if (typeof basePath !== 'string' || !/^(\/[^/?#\s]+)+\/?$/.test(basePath)) {
    throw refused('basePath must be a path such as /api/capsules');
  }
  if (!(Number.isSafeInteger(maxBodyBytes) && maxBodyBytes > 0)) {
    throw refused('maxBodyBytes must be a whole number above 0');
  }
  const base = basePath.replace(/\/$/, '');
  const imports = new EventStream(vault, ['imported']);
  const discovered = shared(() => vault.discoverCapsules());

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
      await inTurn(req, res);
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
    const found = await discovered();
    const entries = found.map((capsule) => entryOf({ ...capsule, path: relative(vault.root, capsule.path) }));
    respondTagged(req, res, listOf(entries));
  }

  /**
   * @param {Request} req
   * @param {Response} res
   * @param {string} name
   */
  async function single(req, res, name) {
    demandMethod(req, SINGLE);
    const { body, sha256 } = await severalLooks(
      () => filesOf(vault, name, discovered),
      (files) => answerOfSound(files, answerWith),
    );
    respondTagged(req, res, body, { sha256 });
  }

  /**
   * @param {Request} req
   * @param {Response} res
   */
  function events(req, res) {
    demandMethod(req, SINGLE);
    if (isClosed()) throw new Refusal(503, 'The vault is closed');
    imports.send(req, res);
  }

  return Object.assign(handler, { close: () => imports.close() });
}

/** Characters of an entry in the list: a capsule may call itself anything, at any length. */
const LONGEST_ENTRY = 64 * 1024;

/**
 * A capsule in the list, as JSON. One that says too much of itself is listed as if it said nothing.
 *
 * @param {DiscoveredCapsule} capsule
 */
function entryOf(capsule) {
  try {
    const text = jsonText(capsule);
    if (text.length <= LONGEST_ENTRY) return text;
  } catch (error) {
    // Longer than any string.
    if (!(error instanceof RangeError)) throw error;
  }
  const { name, path: place, size, modified, type } = capsule;
  const nothing = { title: name, description: '', version: '1.0.0', tags: [] };
  return JSON.stringify({ name, path: place, size, modified, type, ...nothing });
}

/**
 * Not as one string, which can't have any length.
 *
 * @param {string[]} entries
 */
function listOf(entries) {
  const parts = entries.map((entry, place) => Buffer.from(place === 0 ? entry : `,${entry}`));
  return Buffer.concat([
    Buffer.from('{"success":true,"capsules":['),
    ...parts,
    Buffer.from(`],"count":${parts.length}}`),
  ]);
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
 * The files that a name may mean, the best first: one of this name or path, as the list has it, else the construct's.
 *
 * @param {Vault} vault
 * @param {string} name
 * @param {() => Promise<DiscoveredCapsule[]>} discovered Asked only where the name alone does not say where the file is.
 * @returns {Promise<(string | null)[]>} `null` where no file is that may be given.
 */
async function filesOf(vault, name, discovered) {
  if (name.endsWith('.capsule') || path.posix.basename(name) === IDENTITY_FILE) {
    if (name.includes('/')) return [await listedFile(vault.root, name)];
    const named = newestFirst(await discovered()).filter((capsule) => capsule.name === name);
    const places = named.map(({ path: file }) => ({ file, ...placeOf(vault, file) }));
    const owners = new Set(places.map(({ owner }) => owner));
    owners.delete(null);
    if (owners.size > 1) throw several();
    const rank = (/** @type {{ within: string }} */ { within }) => Number(KNOWN_PLACE.test(within));
    places.sort((one, other) => rank(other) - rank(one));
    if (places.length > 0) {
      return Promise.all(places.map(({ file }) => listedFile(vault.root, relative(vault.root, file))));
    }
  }
  const source = await insideOf(vault)
    .fileOf(name)
    .catch((error) => {
      // The vault's own messages tell where it is.
      if (error.code === 'VVAULT_UNSOUND') throw unsound();
      if (error.code === 'VVAULT_NO_CONSTRUCT' && SEVERAL.test(error.message)) throw several();
      throw NAMELESS.has(error.code) ? missing() : error;
    });
  const [root, file] = await Promise.all([vault.root, source].map(realPath));
  return [root !== null && file !== null && isWithin(root, file) ? file : null];
}

/**
 * The answer with the first capsule that is sound.
 *
 * @param {(string | null)[]} files
 * @param {ReturnType<typeof insideOf>['answerWith']} answerWith
 */
async function answerOfSound(files, answerWith) {
  let refusal = missing();
  for (const file of files) {
    const answer = file === null ? null : await answerWith(file);
    if (answer?.body) return { body: answer.body, sha256: answer.sha256 };
    if (answer !== null) refusal = unsound();
  }
  throw refusal;
}

/** @param {DiscoveredCapsule[]} capsules */
function newestFirst(capsules) {
  const time = (/** @type {DiscoveredCapsule} */ { timestamp }) => timeOfCapsule(timestamp) || 0;
  return [...capsules].sort((a, b) => time(b) - time(a) || Date.parse(b.modified) - Date.parse(a.modified));
}

/**
 * The user in whose folder a file is, and where it is within that folder, or within the vault's own.
 *
 * @param {Vault} vault
 * @param {string} file
 * @returns {{ owner: string | null, within: string }}
 */
function placeOf(vault, file) {
  const users = path.resolve(vault.root, insideOf(vault).directories.users);
  if (!isWithin(users, file)) return { owner: null, within: relative(vault.root, file) };
  const steps = relative(users, file).split('/');
  if (SHARD.test(steps[0])) steps.shift();
  const owner = steps.length > 1 ? /** @type {string} */ (steps.shift()) : null;
  return { owner, within: steps.join('/') };
}

function missing() {
  return new Refusal(404, 'Capsule not found');
}

function several() {
  return new Refusal(409, 'Several users have a capsule of this name: ask for it by its path, as the list has it');
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
  if (typeof body === 'object' && body !== null && (req.readableEnded || Object.keys(body).length > 0)) {
    if (Buffer.byteLength(JSON.stringify(body)) > largest) throw tooLarge();
    return body;
  }
  if (req.readableEnded) throw new Refusal(400, 'There is no body, or others have read it');
  // Parsers have decoded what they hand on, and leave the header as it is.
  if (!/^\s*(identity\s*)?$/i.test(req.headers['content-encoding'] ?? '')) {
    throw new Refusal(415, 'A capsule is sent without a Content-Encoding', { 'Accept-Encoding': 'identity' });
  }
  if (Number(req.headers['content-length']) > largest) throw tooLarge();
  return received(req, largest, tooLarge);
}

/**
 * @param {Request} req
 * @param {number} largest
 * @param {() => InstanceType<typeof Refusal>} tooLarge
 * @returns {Promise<Buffer>}
 */
function received(req, largest, tooLarge) {
  return new Promise((resolve, reject) => {
    /** @type {Buffer[]} */
    let chunks = [];
    let length = 0;
    const settle = (/** @type {() => void} */ how) => {
      clearTimeout(timer);
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
    const late = () => new Refusal(408, 'The body has not come in time');
    const timer = setTimeout(() => settle(() => reject(late())), LONGEST_RECEIVING).unref();
    // A body that breaks off after this is told of as an error, which nobody else awaits.
    req.on('error', () => {});
    if (req.destroyed) vanish();
    else req.on('data', take).on('end', finish).on('error', vanish).on('close', vanish);
  });
}

module.exports = { createCapsuleHandler, placeOf };
