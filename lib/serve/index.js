'use strict';

const crypto = require('node:crypto');
const { once } = require('node:events');
const dns = require('node:dns/promises');
const fs = require('node:fs/promises');
const http = require('node:http');
const path = require('node:path');
const { Refusal, Vanished, admit, demandLoopbackName, demandMethod, demandSameOrigin } = require('../answering');
const { fail, inTurn, isLoopbackAddress, respondTagged } = require('../answering');
const { createCapsuleHandler } = require('../capsule-handler');
const { refused, withCode } = require('../errors');
const { EventStream } = require('../event-stream');
const { createAnswers } = require('./answers');

/** @typedef {import('../../index').Vault} Vault */
/** @typedef {import('../answering').Request} Request */
/** @typedef {import('../answering').Response} Response */

const READING = ['GET', 'HEAD'];
/** Connections at once; more wait until the system gives them up. */
const MOST_CONNECTIONS = 512;
/** A connection that is still at work when the server closes has so many milliseconds. */
const CLOSING = 1000;

/** All that is served without a token: the same for everybody, and nothing of the vault. */
const MODULES = ['main', 'source', 'elements', 'overview', 'timeline', 'construct', 'integrity'];
const PAGE = [
  { pathname: '/', name: 'index.html', type: 'text/html; charset=utf-8' },
  { pathname: '/style.css', name: 'style.css', type: 'text/css; charset=utf-8' },
  { pathname: '/icon.svg', name: 'icon.svg', type: 'image/svg+xml' },
  ...MODULES.map((name) => ({ pathname: `/${name}.mjs`, name: `${name}.mjs`, type: 'text/javascript; charset=utf-8' })),
];

/**
 * What the page may do: run its own scripts, show its own style, ask this server. `require-trusted-types-for` has the
 * browser refuse every way to make markup of a text, should one ever find its way into the page.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const HEADERS = new Map([
  ['Content-Security-Policy', POLICY],
  ['X-Content-Type-Options', 'nosniff'],
  ['Referrer-Policy', 'no-referrer'],
  ['Cross-Origin-Opener-Policy', 'same-origin'],
  ['Cross-Origin-Resource-Policy', 'same-origin'],
]);

/**
 * Serves an open, watched vault to people (the page) and programs (`createCapsuleHandler`'s routes).
 *
 * @param {Vault} vault
 * @param {{ host?: string, port?: number, token?: string | null }} [options] `port`: 0 for any that is free. `token`:
 *   whoever wants to see something of the vault must have it; a host that others can reach is refused without one.
 * @returns {Promise<{ url: string, close(): Promise<void> }>}
 * @throws `VVAULT_INVALID_ARGUMENT`; `VVAULT_TOKEN_REQUIRED`; `VVAULT_PORT_IN_USE`; `VVAULT_PERMISSION` or `VVAULT_SYSTEM`
 *   if the system refuses the address.
 */
async function serveVault(vault, options = {}) {
  const { host = '127.0.0.1', port = 4646, token } = options ?? {};
  if (typeof host !== 'string' || host === '') throw refused('host must be an address or a name, such as 127.0.0.1');
  if (!(Number.isInteger(port) && port >= 0 && port <= 65_535))
    throw refused('port must be a whole number up to 65535');
  if (token !== undefined && token !== null && !(typeof token === 'string' && /^[!-~]+$/.test(token))) {
    throw refused('token must be a text of visible ASCII signs, without spaces, as it is sent in a header');
  }
  const address = await addressOf(host);
  const isLocal = isLoopbackAddress(address);
  if (!isLocal && !token) {
    const message =
      `${host} can be reached from other machines: give a token, which whoever wants to see the vault must have, ` +
      'or serve on 127.0.0.1';
    throw withCode(new Error(message), 'VVAULT_TOKEN_REQUIRED');
  }
  const isKnown = token ? comparison(token) : null;
  const page = await readPage();
  // Whoever comes to it has been admitted here.
  const capsules = createCapsuleHandler(vault, { authorize: () => true });
  const events = new EventStream(vault, ['imported', 'updated', 'removed', 'rejected']);
  const routes = createAnswers(vault);

  /** @param {Request} req */
  async function admitted(req) {
    const { authorization = '', 'sec-fetch-site': site = 'none' } = req.headers;
    // No web page of another origin has any business here, not even to have a browser ask.
    if (site !== 'none' && site !== 'same-origin') throw new Refusal(403, 'Requests from other origins are not served');
    if (isKnown === null) {
      await admit(req, undefined);
    } else {
      demandSameOrigin(req);
      const given = /^Bearer +([!-~]+)$/i.exec(authorization)?.[1];
      if (given === undefined || !isKnown(given)) {
        throw new Refusal(401, 'The token is missing or wrong', { 'WWW-Authenticate': 'Bearer' });
      }
    }
  }

  /**
   * @param {Request} req
   * @param {Response} res
   */
  async function answer(req, res) {
    await inTurn(req, res);
    const [pathname, search] = /** @type {[string, string?]} */ ((req.url ?? '').split('?', 2));
    if (isLocal) demandLoopbackName(req);
    const file = page.get(pathname);
    if (file) {
      demandMethod(req, READING);
      respondTagged(req, res, file.content, { type: file.type });
      return;
    }
    await admitted(req);
    const route = routes.get(pathname);
    if (/^\/api\/capsules(\/|$)/.test(pathname)) {
      await capsules(req, res);
    } else if (pathname === '/api/events') {
      demandMethod(req, READING);
      events.send(req, res);
    } else if (route) {
      demandMethod(req, READING);
      const told = await route(new URLSearchParams(search));
      respondTagged(req, res, Buffer.from(JSON.stringify({ success: true, ...told })));
    } else {
      throw new Refusal(404, 'Not found');
    }
  }

  const server = http.createServer((req, res) => {
    for (const [name, value] of HEADERS) res.setHeader(name, value);
    answer(req, res).catch((error) => {
      if (!(error instanceof Vanished)) fail(req, res, error);
    });
  });
  server.maxConnections = MOST_CONNECTIONS;

  const release = () => {
    capsules.close();
    events.close();
  };
  try {
    server.listen(port, address);
    await once(server, 'listening');
  } catch (thrown) {
    release();
    throw listenError(thrown, host, port);
  }

  /** @type {Promise<void> | undefined} */
  let closed;
  const close = () => {
    closed ??= new Promise((resolve) => {
      release();
      const timer = setTimeout(() => server.closeAllConnections(), CLOSING);
      server.close(() => {
        clearTimeout(timer);
        resolve();
      });
      server.closeIdleConnections();
    });
    return closed;
  };
  const { port: taken } = /** @type {import('node:net').AddressInfo} */ (server.address());
  // No other name of this machine is served than a loopback one.
  const shown = isLocal && !/^(.+\.)?localhost$/i.test(host) ? address.replace(/^::ffff:/i, '') : host;
  return { url: `http://${shown.includes(':') ? `[${shown}]` : shown}:${taken}`, close };
}

/**
 * The address that is listened on. It is looked up once, so that what is judged is what is used.
 *
 * @param {string} host
 */
async function addressOf(host) {
  try {
    return (await dns.lookup(host)).address;
  } catch (thrown) {
    const { message } = /** @type {Error} */ (thrown);
    throw withCode(new Error(`${JSON.stringify(host)} is no address of this machine: ${message}`), 'VVAULT_SYSTEM');
  }
}

/**
 * @param {unknown} thrown
 * @param {string} host
 * @param {number} port
 */
function listenError(thrown, host, port) {
  const { code, message } = /** @type {NodeJS.ErrnoException} */ (thrown);
  if (code === 'EADDRINUSE') {
    return withCode(new Error(`port ${port} of ${host} is taken: choose another, or 0 for any`), 'VVAULT_PORT_IN_USE');
  }
  const known = code === 'EACCES' ? 'VVAULT_PERMISSION' : 'VVAULT_SYSTEM';
  return withCode(new Error(`${host}, port ${port}, can't be listened on: ${message}`, { cause: thrown }), known);
}

/**
 * Whether a text is the token, in a time that tells nothing of it.
 *
 * @param {string} token
 * @returns {(given: string) => boolean}
 */
function comparison(token) {
  const digest = (/** @type {string} */ text) => crypto.createHash('sha256').update(text).digest();
  const known = digest(token);
  return (given) => crypto.timingSafeEqual(digest(given), known);
}

/** The page's files by their paths: no path of a request is ever looked for on the disk. */
async function readPage() {
  const files = PAGE.map(async ({ pathname, name, type }) => {
    const content = await fs.readFile(path.join(__dirname, 'page', name));
    return /** @type {const} */ ([pathname, { content, type }]);
  });
  return new Map(await Promise.all(files));
}

module.exports = { serveVault };
