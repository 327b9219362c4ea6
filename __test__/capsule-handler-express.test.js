'use strict';

// The handler in real Express, 4 and 5.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const { test } = require('node:test');

const { Vault, createCapsuleHandler } = require('..');
const { atEnd } = require('./support/at-end');
const { ask, serve } = require('./support/capsule-server');
const { makeCapsule } = require('./support/construct-capsules');
const { temporaryVault } = require('./support/temporary-vault');

/** @param {string} instanceName @param {string[]} [memories] */
const capsuleOf = (instanceName, memories = ['kept']) =>
  makeCapsule({ instanceName, uuid: instanceName, timestamp: '2026-01-01T00:00:00.000000+00:00', memories });

for (const name of ['express', 'express4']) {
  const express = require(name);
  const { version } = require(`${name}/package.json`);

  /**
   * An application with the handler in it, mounted in four ways.
   *
   * @param {import('node:test').TestContext} t
   * @param {(app: any, handler: any) => void} mount
   * @param {import('..').CapsuleHandlerOptions} [options]
   */
  const application = async (t, mount, options) => {
    const place = temporaryVault(t);
    const vault = await Vault.open(place.root, { create: true });
    atEnd(t, () => vault.close());
    await vault.storeCapsule(capsuleOf('Nova'));
    const app = express();
    mount(app, createCapsuleHandler(vault, options));
    app.use((/** @type {any} */ _request, /** @type {any} */ response) => response.status(418).end());
    app.use(
      (/** @type {any} */ error, /** @type {any} */ _request, /** @type {any} */ response, /** @type {any} */ _next) =>
        response.status(error.status ?? 599).send(`application: ${error.type}`),
    );
    const { port } = await serve(t, app);
    const post = (/** @type {string} */ body, where = '/api/capsules', headers = {}) =>
      ask(port, where, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });
    return { port, vault, place, post };
  };

  /** @type {[string, string, (app: any, handler: any) => void, object?][]} */
  const mounts = [
    ['app.use(handler)', '/api/capsules', (app, handler) => app.use(handler)],
    ['app.use(basePath, handler)', '/api/capsules', (app, handler) => app.use('/api/capsules', handler)],
    ['app.use(elsewhere, handler)', '/v/api/capsules', (app, handler) => app.use('/v', handler)],
    [
      'a router, with a basePath of its own',
      '/tenants/one/kept',
      (app, handler) => {
        const router = express.Router();
        router.use('/one', handler);
        app.use('/tenants', router);
      },
      { basePath: '/tenants/one/kept' },
    ],
    ['app.all(route)', '/api/capsules', (app, handler) => app.all(/^\/api\/capsules/, handler)],
  ];
  for (const [title, base, mount, options] of mounts) {
    test(`Express ${version}, ${title}: reads, HEAD, 304, stores, and hands on`, async (t) => {
      const { port, post } = await application(t, mount, options);
      const listed = await ask(port, base);
      assert.deepEqual([listed.status, JSON.parse(listed.text).count], [200, 1]);
      const one = await ask(port, `${base}/nova`);
      assert.deepEqual([one.status, one.text], [200, `{"success":true,"capsule":${capsuleOf('Nova')}}`]);
      for (const place of [base, `${base}/nova`]) {
        const { headers, text } = await ask(port, place);
        const head = await ask(port, place, { method: 'HEAD' });
        assert.deepEqual([head.status, head.text, head.headers.etag], [200, '', headers.etag]);
        assert.equal(head.headers['content-length'], String(Buffer.byteLength(text)));
        const kept = await ask(port, place, { headers: { 'if-none-match': String(headers.etag) } });
        assert.deepEqual([kept.status, kept.text], [304, '']);
      }
      assert.equal((await ask(port, `${base}/nobody`)).status, 404);
      assert.equal((await ask(port, `${base}/%65vents`)).status, 404, 'this is a name');
      assert.equal((await ask(port, `${base}/%2e%2e%2f%2e%2e%2fetc%2fpasswd`)).status, 404);
      assert.equal((await ask(port, base, { method: 'PUT' })).status, 405);
      assert.equal((await post(capsuleOf('Stored'), base)).status, 201);
      assert.equal((await ask(port, `${base}/stored`)).status, 200);
      for (const place of ['/', '/other', `${base}que`, `${base}/x/y`]) {
        if (title.startsWith('app.all') && place.startsWith(base)) continue;
        assert.equal((await ask(port, place)).status, 418, place);
      }
    });
  }

  test(`Express ${version}: bodies that others have parsed, or not, or refused`, async (t) => {
    for (const parser of ['json', 'text', 'raw', 'urlencoded']) {
      const { post, place } = await application(
        t,
        (app, handler) => {
          const settings = { text: { type: 'application/json' }, raw: { type: 'application/json' } };
          const given = settings[/** @type {keyof typeof settings} */ (parser)] ?? { extended: false };
          app.use(express[parser]({ ...given, limit: 10_000 }));
          app.use('/api/capsules', handler);
        },
        { maxBodyBytes: 5000 },
      );
      assert.equal((await post(capsuleOf('Sound'))).status, 201, parser);
      // An object has lost its text, and with it what the hash covers.
      const float = capsuleOf('Sound').replace('"empathy": 8', '"empathy": 8.0');
      assert.equal((await post(float)).status, parser === 'json' ? 201 : 422, parser);
      const changed = await post(capsuleOf('Changed').replace('kept', 'lost'));
      assert.equal(changed.status, 422, parser);
      assert.equal((await post('{"a": 1}')).status, 400, parser);
      assert.equal((await post(capsuleOf('Large', ['x'.repeat(20_000)]))).status, 413, parser);
      assert.equal((await post(capsuleOf('Some', ['x'.repeat(6000)]))).status, 413, parser);
      const broken = await post('{ not JSON');
      assert.equal(broken.status, 400, parser);
      // The parser's refusal is the application's to answer.
      assert.equal(broken.text.startsWith('application: '), parser === 'json');
      assert.equal((await post('', undefined, { 'content-type': 'text/plain' })).status, 415, parser);
      assert.deepEqual(fs.readdirSync(place.path('capsules')).sort(), ['Nova', 'Sound']);
    }
  });

  test(`Express ${version}: an error is answered here, in JSON, and tells nothing`, async (t) => {
    const logged = t.mock.method(console, 'error', () => {});
    const authorize = () => {
      throw new Error('secret');
    };
    const { port } = await application(t, (app, handler) => app.use(handler), { authorize });
    const { status, text } = await ask(port, '/api/capsules');
    assert.deepEqual([status, JSON.parse(text)], [500, { success: false, error: 'Internal server error' }]);
    assert.equal(logged.mock.callCount(), 1);
    assert.equal((await ask(port, '/other')).status, 418);
  });

  test(`Express ${version}: events, and again to those who come back`, async (t) => {
    const { port, vault } = await application(t, (app, handler) => app.use('/api/capsules', handler));
    const path = '/api/capsules/events';
    const head = await ask(port, path, { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers['content-type']], [200, 'text/event-stream; charset=utf-8']);
    /** @param {Record<string, string>} headers @param {RegExp} pattern */
    const listen = async (headers, pattern, then = async () => {}) => {
      const request = http.get({ host: '127.0.0.1', port, path, agent: false, headers });
      request.on('error', () => {});
      const [response] = await once(request, 'response');
      let text = '';
      await then();
      for await (const piece of response.setEncoding('utf8')) {
        text += piece;
        if (pattern.test(text)) break;
      }
      request.destroy();
      return text;
    };
    const first = await listen({}, /data: .*\n\n/, async () => {
      await vault.storeCapsule(capsuleOf('Eve'));
    });
    const [, id] = /event: imported\nid: (.+)\ndata: .*"instanceName":"Eve"/.exec(first) ?? assert.fail(first);
    await vault.storeCapsule(capsuleOf('Ada'));
    const second = await listen({ 'last-event-id': id }, /data: .*\n\n/);
    assert.match(second, /"instanceName":"Ada"/);
    assert.doesNotMatch(second, /Eve|reset/);
  });
}
