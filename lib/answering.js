'use strict';

// Answers over HTTP: what `createCapsuleHandler` and `serveVault` share.

const fs = require('node:fs/promises');
const path = require('node:path');
const { inspect, types } = require('node:util');
const { isWithin } = require('./absolute');
const { Audience } = require('./audience');
const { complain, toldOf } = require('./errors');
const { escapeHarmful } = require('./harmless');
const { insideOf } = require('./vault');

/**
 * A request of Node.js, and what Express adds to it.
 *
 * @typedef {import('node:http').IncomingMessage & { baseUrl?: string, body?: unknown }} Request
 */
/** @typedef {import('node:http').ServerResponse} Response */

/** The answer to a request whose body is not wanted is read before the connection ends, if that takes no longer. */
const LINGER = 1000;
/** Whoever takes nothing of an answer for so long is let go: the answer would be kept for as long as the connection is. */
const STALLED = 60_000;
/** Nor may it take longer in all, however steadily little of it is taken. */
const LONGEST_SENDING = 120_000;

const JSON_TYPE = 'application/json; charset=utf-8';

/** A construct's capsule in a folder `identity`. */
const IDENTITY_FILE = 'capsule.json';

/** What proxies add, who may be sent by anybody. */
const FORWARDED =
  /^(forwarded|via|x-real-ip|x-client-ip|x-original-.+|x-forwarded-.+|x-cluster-client-ip|(cf|true|fastly)-.*ip)$/;

/** What each error of the vault means to a client who stores. Of any other, nothing is told. */
const STATUS_OF_CODE = new Map([
  ['VVAULT_INVALID_ARGUMENT', 400],
  ['VVAULT_INVALID_CAPSULE', 400],
  ['VVAULT_INVALID_NAME', 400],
  ['VVAULT_NOT_A_CAPSULE', 400],
  ['VVAULT_TOO_LARGE', 413],
  ['VVAULT_UNSOUND', 422],
]);

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
 * Lets a request pass, or throws.
 *
 * @param {Request} req
 * @param {((req: any) => unknown) | undefined} authorize
 */
async function admit(req, authorize) {
  if (authorize) {
    if (!(await decisionOf(authorize, req))) throw new Refusal(401, 'Authorization required');
    return;
  }
  const { remoteAddress } = req.socket;
  if (!isLoopbackAddress(remoteAddress) || Object.keys(req.headers).some((name) => FORWARDED.test(name))) {
    throw new Refusal(403, 'Only callers on this machine are served');
  }
  demandLoopbackName(req);
  demandSameOrigin(req);
}

/**
 * @param {(req: any) => unknown} authorize
 * @param {Request} req
 */
async function decisionOf(authorize, req) {
  try {
    return await authorize(req);
  } catch (thrown) {
    // It may have a code of the vault's, whose messages are for the client. Of what is no error, not even the log can show more
    // than a text.
    throw new Error('authorize failed', { cause: types.isNativeError(thrown) ? thrown : toldOf(thrown).message });
  }
}

/**
 * A web page can have its own name lead to this machine, and then read what is served under that name.
 *
 * @param {Request} req
 */
function demandLoopbackName(req) {
  const host = hostOf(req);
  if (host !== undefined && !isLoopbackName(authorityOf(`http://${host}`)?.hostname)) {
    throw new Refusal(403, 'Only requests to this machine by its loopback names are served');
  }
}

/**
 * Any web page can have a browser send something, though not read the answer.
 *
 * @param {Request} req
 */
function demandSameOrigin(req) {
  const { origin } = req.headers;
  if (origin === undefined || req.method === 'GET' || req.method === 'HEAD') return;
  const host = hostOf(req);
  const own = host === undefined ? undefined : authorityOf(`http://${host}`);
  if (authorityOf(origin)?.host !== (own?.host ?? '')) {
    throw new Refusal(403, 'Requests from other origins are not served');
  }
}

/**
 * @param {Request} req
 * @returns {string | undefined}
 */
function hostOf(req) {
  return req.headers.host ?? /** @type {string | undefined} */ (req.headers[':authority']);
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
 * @param {Request} req
 * @param {string[]} methods
 */
function demandMethod(req, methods) {
  if (methods.includes(req.method ?? '')) return;
  throw new Refusal(405, 'Method not allowed', { Allow: methods.join(', ') });
}

/**
 * Where a file is in the vault: where the vault is, is nobody's business.
 *
 * @param {string} root
 * @param {string} file
 */
function relative(root, file) {
  if (!isWithin(root, file)) return path.basename(file);
  return path.relative(root, file).split(path.sep).join('/');
}

/**
 * What leaves a vault's place out of a text.
 *
 * @param {import('../index').Vault} vault
 * @returns {(text: string) => string}
 */
function withoutPlace(vault) {
  // The longer first: one may be within the other, as /tmp in /private/tmp.
  const roots = [vault.root, insideOf(vault).realRoot].sort((one, other) => other.length - one.length);
  return (text) => roots.reduce((rest, root) => rest.replaceAll(root, ''), text);
}

/** How deep `discoverCapsules` looks into folders. */
const DEEPEST = 24;

/**
 * Where a file that the list may have really lies; `null` if there is none.
 *
 * @param {string} vault Its folder.
 * @param {string} place From the vault's folder. It may be anything that somebody asks for.
 */
async function listedFile(vault, place) {
  const steps = place.split('/');
  if (steps.some((step) => step === '' || step === '.' || step === '..') || steps.length > DEEPEST + 1) return null;
  const [folder, name] = [path.basename(vault), ...steps].slice(-2);
  if (!(name.endsWith('.capsule') || (name === IDENTITY_FILE && folder === 'identity'))) return null;
  const root = await realPath(vault);
  if (root === null) return null;
  const file = path.join(root, ...steps);
  // As in the list, no link counts, neither to a file nor to a folder on the way.
  return isWithin(root, file) && (await realPath(file)) === file ? file : null;
}

/** What the system tells of itself, and not of a file. */
const EXHAUSTED = ['EMFILE', 'ENFILE', 'ENOMEM', 'EIO'];

/** @param {string} file */
function realPath(file) {
  return fs.realpath(file).catch((error) => {
    if (EXHAUSTED.includes(error.code)) throw error;
    return null;
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
  const { code, message: told } = toldOf(error);
  if (code === 'VVAULT_BUSY') {
    // The vault's own message tells where it is.
    const message = 'Another process has locked the instance: try again';
    respondJson(req, res, 409, { success: false, error: message }, { 'Retry-After': '1' });
    return;
  }
  const status = error instanceof Refusal ? error.status : STATUS_OF_CODE.get(code ?? '');
  if (status !== undefined) {
    respondJson(req, res, status, { success: false, error: told }, error.headers);
    return;
  }
  let text = told;
  try {
    text = inspect(error);
  } catch {}
  complain('A request for capsules failed:', oneLine(text));
  const closed = code === 'VVAULT_CLOSED';
  const message = closed ? 'The vault is closed' : 'Internal server error';
  respondJson(req, res, closed ? 503 : 500, { success: false, error: message });
}

/**
 * A text for the log: in one line, and nothing in it that a terminal would take for more than text.
 *
 * @param {string} text
 */
function oneLine(text) {
  return escapeHarmful(JSON.stringify(text));
}

/**
 * Work that is done once for all who ask for it meanwhile. It always begins after the question was asked, so that the
 * answer holds what was so then.
 *
 * @template T
 * @param {() => Promise<T>} work
 * @returns {() => Promise<T>}
 */
function shared(work) {
  /** @type {Promise<unknown>} */
  let running = Promise.resolve();
  /** @type {Promise<T> | undefined} */
  let next;
  return () => {
    next ??= running.then(() => {
      next = undefined;
      const done = work();
      running = done.catch(() => {});
      return done;
    });
    return next;
  };
}

/**
 * Answers with what may be kept and asked for again.
 *
 * @param {Request} req
 * @param {Response} res
 * @param {Buffer} body
 * @param {{ type?: string, sha256?: string }} [known] `sha256`: in hexadecimals, where the body is long.
 */
function respondTagged(req, res, body, { type = JSON_TYPE, sha256 } = {}) {
  const tag = sha256 ?? sha256Of(body);
  const headers = { ETag: `"${tag}"`, 'Cache-Control': 'private, no-cache', 'Content-Type': type };
  const asked = req.headers['if-none-match'] ?? '';
  const has = asked.trim() === '*' || Array.from(asked.matchAll(/"([^"]*)"/g)).some(([, known]) => known === tag);
  if (has) respond(req, res, 304, null, headers);
  else respond(req, res, 200, body, headers);
}

/**
 * @param {Buffer} body
 */
function sha256Of(body) {
  // Not with this file: it takes as long as a quarter of the package, and who has no web server needs none of it.
  return require('node:crypto').createHash('sha256').update(body).digest('hex');
}

/**
 * @param {Request} req
 * @param {Response} res
 * @param {number} status
 * @param {object} answer
 * @param {Record<string, string>} [headers]
 */
function respondJson(req, res, status, answer, headers = {}) {
  respond(req, res, status, Buffer.from(JSON.stringify(answer)), {
    'Cache-Control': 'no-store',
    'Content-Type': JSON_TYPE,
    ...headers,
  });
}

/** Of whom the connections hear when they close. @type {InstanceType<typeof Audience<() => void>>} */
const ofConnections = new Audience();

/**
 * Whether nobody is there any more to take an answer.
 *
 * @param {Request} req
 * @param {Response} res
 */
function isOver(req, res) {
  return res.destroyed || (req.httpVersionMajor < 2 && req.socket.destroyed);
}

/**
 * Calls a function once an answer is sent or nobody is there any more to take it. An answer that waits behind others of its
 * connection does not hear itself that the connection is closed.
 *
 * @param {Request} req
 * @param {Response} res
 * @param {() => void} then
 */
function onceOver(req, res, then) {
  const over = () => {
    res.off('close', over);
    ofConnections.leave(req.socket, 'close', over);
    then();
  };
  res.once('close', over);
  // Later versions have no answers that wait for others, and their sockets are not to be touched.
  if (req.httpVersionMajor < 2) ofConnections.join(req.socket, 'close', over);
}

/**
 * Waits until the requests that came before this one on its connection are answered: only then Node.js gives its answer the
 * connection. Else whoever sends many of them ahead, and takes no answer, has all of the answers kept.
 *
 * @param {Request} req
 * @param {Response} res
 */
async function inTurn(req, res) {
  // Later versions send answers in any order, and no more at once than they have agreed on.
  if (req.httpVersionMajor >= 2) return;
  const isAnswered = () => isOver(req, res) || res.writableEnded;
  if (res.socket === null && !isAnswered()) {
    await new Promise((resolve) => {
      res.once('socket', resolve);
      onceOver(req, res, () => resolve(undefined));
    });
  }
  if (isAnswered()) throw new Vanished();
}

/**
 * @param {Request} req
 * @param {Response} res
 * @param {number} status
 * @param {Buffer | null} body
 * @param {Record<string, string | number>} headers
 */
function respond(req, res, status, body, headers) {
  if (isOver(req, res) || res.headersSent) return;
  const all = { ...headers, 'X-Content-Type-Options': 'nosniff' };
  if (body) Object.assign(all, { 'Content-Length': body.length });
  res.setTimeout(STALLED, () => res.destroy());
  const sending = setTimeout(() => res.destroy(), LONGEST_SENDING).unref();
  const { socket } = req;
  onceOver(req, res, () => {
    clearTimeout(sending);
    // It would hold for the next answer on the connection, which may be somebody else's. Node.js sets one itself for the pause between
    // two, but not where the next request has come already, or where there is to be none.
    if (socket.timeout === STALLED) socket.setTimeout(/** @type {any} */ (socket).server?.timeout ?? 0);
  });
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

module.exports = {
  IDENTITY_FILE,
  Refusal,
  Vanished,
  admit,
  demandLoopbackName,
  demandMethod,
  demandSameOrigin,
  fail,
  inTurn,
  isLoopbackAddress,
  isOver,
  listedFile,
  onceOver,
  realPath,
  relative,
  respondJson,
  respondTagged,
  shared,
  withoutPlace,
};
