'use strict';

// Servers on loopback, and requests as they are sent, for the tests of what speaks HTTP.

const { once } = require('node:events');
const http = require('node:http');

const { atEnd } = require('./at-end');

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {http.IncomingHttpHeaders} headers
 * @property {string} text
 */

/**
 * A server that is gone when the test ends.
 *
 * @param {import('node:test').TestContext} test
 * @param {http.RequestListener} listener
 * @returns {Promise<{ url: string, port: number, server: http.Server }>}
 */
async function serve(test, listener) {
  const server = http.createServer(listener).listen(0, '127.0.0.1');
  atEnd(test, () => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${port}`, port, server };
}

/**
 * One request on a connection of its own; unlike `fetch` it sends any header, and the path as it is.
 *
 * @param {number} port
 * @param {string} path
 * @param {http.RequestOptions & { body?: string | Buffer }} [options]
 * @returns {Promise<Answer>}
 */
async function ask(port, path, { body, ...options } = {}) {
  const request = http.request({ host: '127.0.0.1', port, path, agent: false, ...options });
  request.end(body);
  const [response] = await once(request, 'response');
  let text = '';
  for await (const piece of response.setEncoding('utf8')) text += piece;
  return { status: response.statusCode, headers: response.headers, text };
}

/** A promise that others resolve. */
function gate() {
  let resolve = () => {};
  const promise = /** @type {Promise<void>} */ (
    new Promise((done) => {
      resolve = done;
    })
  );
  return { promise, resolve };
}

module.exports = { ask, gate, serve };
