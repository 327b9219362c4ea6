'use strict';

// A vault as it is served: over HTTP, and as the page shows it in a real browser.

const assert = require('node:assert/strict');
const dns = require('node:dns/promises');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');

const { Vault } = require('..');
const { serveVault } = require('../lib/serve');
const { atEnd, keepTimeZone } = require('./support/at-end');
const { openPage, skip, untilIn } = require('./support/browser');
const { ask, gate } = require('./support/capsule-server');
const { metadataOf, sealCapsule, timestampOf } = require('./support/construct-capsules');
const { temporaryVault } = require('./support/temporary-vault');

/** @typedef {import('./support/browser').BrowserPage} BrowserPage */

const MIRA = 'mira_lindqvist_1741035327000';

/**
 * A served vault.
 *
 * @param {import('node:test').TestContext} t
 * @param {{ token?: string, fill?: (put: (file: string, text: string) => void) => void }} [options] `fill`: what is in it
 *   when it is opened.
 */
async function served(t, { token, fill } = {}) {
  const place = temporaryVault(t);
  const root = place.path('north-harbour');
  const put = (/** @type {string} */ file, /** @type {string} */ text) => {
    const whole = path.join(root, file);
    fs.mkdirSync(path.dirname(whole), { recursive: true });
    fs.writeFileSync(`${whole}.part`, text);
    fs.renameSync(`${whole}.part`, whole);
  };
  fs.mkdirSync(root);
  fill?.(put);
  const vault = await Vault.open(root, { create: true, watch: true, cacheDir: null });
  atEnd(t, () => vault.close());
  const server = await serveVault(vault, { port: 0, token });
  atEnd(t, () => server.close());
  const port = Number(new URL(server.url).port);
  /** @param {string} where @param {http.OutgoingHttpHeaders} [headers] */
  const get = async (where, headers = {}) => {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await ask(port, where, { headers: { ...authorization, ...headers } });
    return { ...answer, json: () => JSON.parse(answer.text) };
  };
  return { ...server, port, vault, root, put, get };
}

/** @param {string} instanceName @param {number} [day] @param {object} [rest] */
const capsuleOf = (instanceName, day = 1, rest = {}) =>
  sealCapsule({
    metadata: metadataOf(instanceName, `${instanceName}-${day}`, `2026-01-0${day}T00:00:00.000000+00:00`),
    traits: { empathy: 8, persistence: 9, curiosity: 7 },
    personality: { personality_type: 'INFJ', big_five_traits: { openness: 9 } },
    memory: { short_term_memories: [`a memory of ${instanceName}`], long_term_memories: [], memory_count: 1 },
    environment: {},
    ...rest,
  });

/** @param {string} raw @param {object} [rest] */
const memoryOf = (raw, rest = {}) =>
  JSON.stringify({ created_ts: '2026-02-01T10:00:00Z', raw, role: 'user', tags: [], ...rest });

const ROUTES = [
  '/api/overview',
  '/api/verdicts',
  '/api/memories?user=x',
  '/api/capsule?path=x',
  '/api/versions?instance=x',
  '/api/events',
  '/api/capsules',
  '/api/capsules/events',
  '/api/nothing',
];

test('a host that others can reach is refused without a token, and wrong options are', async (t) => {
  const vault = await Vault.open(temporaryVault(t).root, { create: true });
  atEnd(t, () => vault.close());
  for (const host of ['0.0.0.0', '::', '192.0.2.1']) {
    await assert.rejects(serveVault(vault, { host, port: 0 }), { code: 'VVAULT_TOKEN_REQUIRED' });
  }
  const any = /** @type {any} */ (serveVault);
  for (const options of [{ host: '' }, { port: -1 }, { port: 1.5 }, { port: '80' }, { token: '' }, { token: 'a b' }]) {
    await assert.rejects(any(vault, options), { code: 'VVAULT_INVALID_ARGUMENT' }, JSON.stringify(options));
  }
  await assert.rejects(any({}), { code: 'VVAULT_INVALID_ARGUMENT' });
  const listeners = () => vault.eventNames().map((name) => vault.listenerCount(name));
  const before = listeners();
  const first = await serveVault(vault, { port: 0 });
  const { port } = new URL(first.url);
  await assert.rejects(serveVault(vault, { port: Number(port) }), {
    code: 'VVAULT_PORT_IN_USE',
    message: /choose another/,
  });
  const open = await serveVault(vault, { host: '0.0.0.0', port: 0, token: 'secret' });
  assert.equal((await ask(Number(new URL(open.url).port), '/api/overview')).status, 401);
  await Promise.all([first.close(), open.close(), first.close()]);
  assert.deepEqual(listeners(), before);
  await assert.rejects(ask(Number(port), '/'), { code: 'ECONNREFUSED' });
});

test('what is told as the address of the page is served', async (t) => {
  const vault = await Vault.open(temporaryVault(t).root, { create: true });
  atEnd(t, () => vault.close());
  const resolved = new Map([['north-harbour', '127.0.0.1']]);
  if (process.platform === 'linux') resolved.set('::ffff:127.0.0.1', '::ffff:127.0.0.1');
  const real = dns.lookup;
  t.mock.method(dns, 'lookup', async (/** @type {string} */ host) => {
    const address = resolved.get(host);
    return address === undefined ? real(host) : { address, family: address.includes(':') ? 6 : 4 };
  });
  for (const host of [...resolved.keys(), 'localhost', '127.0.0.1']) {
    const server = await serveVault(vault, { host, port: 0 });
    atEnd(t, () => server.close());
    for (const place of ['/', '/api/overview']) assert.equal((await fetch(server.url + place)).status, 200, host);
  }
});

test('the page comes with its policy, and only the page comes without a token', async (t) => {
  const { port, get } = await served(t, { token: 'a-secret' });
  const html = await ask(port, '/');
  assert.equal(html.status, 200);
  assert.equal(
    html.headers['content-security-policy'],
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; " +
      "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  );
  const files = fs.readdirSync(path.join(__dirname, '../lib/serve/page')).filter((name) => name !== 'index.html');
  for (const name of ['', ...files]) {
    const { status, headers, text } = await ask(port, `/${name}`);
    assert.equal(status, 200, name);
    assert.deepEqual(
      [headers['x-content-type-options'], headers['referrer-policy'], headers['cross-origin-resource-policy']],
      ['nosniff', 'no-referrer', 'same-origin'],
    );
    assert.equal(headers['cache-control'], 'private, no-cache');
    assert.doesNotMatch(text, /https?:\/\/(?!www\.w3\.org\/2000\/svg)|style="| on[a-z]+="|<script>/);
    const kept = await ask(port, `/${name}`, { headers: { 'if-none-match': String(headers.etag) } });
    assert.deepEqual([kept.status, kept.text], [304, '']);
    assert.equal((await ask(port, `/${name}`, { method: 'HEAD' })).text, '');
    assert.equal((await ask(port, `/${name}`, { method: 'POST' })).status, 405);
  }
  for (const place of [
    '/index.html',
    '/../index.js',
    '/%2e%2e/index.js',
    '/..%2f',
    '//',
    '/main.mjs/',
    '/page/main.mjs',
  ]) {
    assert.equal((await ask(port, place)).status, 401, place);
    assert.equal((await get(place)).status, 404, place);
  }
  for (const place of ROUTES) {
    for (const authorization of [
      undefined,
      '',
      'a-secret',
      'Bearer',
      'Bearer ',
      'Bearer a-secre',
      'Bearer a-secret1',
      'Basic a-secret',
    ]) {
      const answer = await ask(port, place, { headers: authorization === undefined ? {} : { authorization } });
      assert.deepEqual(
        [answer.status, answer.headers['www-authenticate']],
        [401, 'Bearer'],
        `${place} ${authorization}`,
      );
      assert.equal(answer.headers['access-control-allow-origin'], undefined);
    }
    assert.equal((await ask(port, `${place}${place.includes('?') ? '&' : '?'}token=a-secret`)).status, 401);
  }
  assert.equal((await get('/api/overview')).status, 200);
  assert.equal((await get('/api/overview', { authorization: 'bearer  a-secret' })).status, 200);
});

test('no other web page gets at it: not by a name of its own, nor from its origin', async (t) => {
  for (const token of [undefined, 'a-secret']) {
    const { port, get, root } = await served(t, { token });
    for (const place of ['/', '/api/overview', '/api/capsules', '/api/events']) {
      for (const host of [
        'evil.example',
        `evil.example:${port}`,
        'localhost.evil.example',
        '127.0.0.1.evil.example',
        '10.0.0.1',
      ]) {
        assert.equal((await get(place, { host })).status, 403, `${place} ${host}`);
      }
    }
    for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, '[::1]', 'vault.localhost']) {
      assert.equal((await get('/api/overview', { host })).status, 200, host);
    }
    for (const site of ['cross-site', 'same-site']) {
      assert.equal((await get('/api/overview', { 'sec-fetch-site': site })).status, 403);
      assert.equal((await get('/', { 'sec-fetch-site': site })).status, 200, 'a link to the page may stand anywhere');
    }
    assert.equal((await get('/api/overview', { 'sec-fetch-site': 'same-origin' })).status, 200);
    const post = async (/** @type {http.OutgoingHttpHeaders} */ headers) => {
      const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const sent = { 'content-type': 'application/json', ...authorization, ...headers };
      return (await ask(port, '/api/capsules', { method: 'POST', body: capsuleOf('Nova'), headers: sent })).status;
    };
    for (const origin of ['http://evil.example', 'null', `http://localhost:${port + 1}`, 'http://localhost']) {
      assert.equal(await post({ origin }), 403, origin);
    }
    assert.deepEqual(fs.readdirSync(path.join(root, 'capsules')), []);
    assert.equal(await post({ origin: `http://127.0.0.1:${port}` }), 201);
    assert.equal(
      (await ask(port, '/api/overview', { method: 'OPTIONS', headers: { origin: 'http://evil.example' } })).status,
      403,
    );
  }
});

test('what the page is told', async (t) => {
  const { get, vault, root } = await served(t, {
    fill(put) {
      put(`users/${MIRA}/instances/nova-001/nova-001.capsule`, capsuleOf('Nova', 1));
      put(`users/${MIRA}/instances/nova-001/identity/nova-001.capsule`, capsuleOf('Nova', 2));
      put('users/shard_0000/tomas/capsules/m.json', memoryOf('in a shard'));
      put('instances/luna-001/identity/capsule.json', capsuleOf('Luna', 4));
      put('instances/luna-001/identity/other.json', capsuleOf('Luna', 5));
      put('users/.hidden/x.txt', '');
      put('users/shard_x/y.txt', '');
      put('capsules/Nova/Nova_1.capsule', capsuleOf('Nova', 3).replace('a memory', 'no memory'));
      for (let place = 0; place < 25; place += 1) {
        const rest = {
          created_ts: timestampOf(place * 1000),
          role: place % 2 ? 'user' : 'assistant',
          tags: place % 5 ? [] : ['five'],
        };
        put(`users/${MIRA}/capsules/m${place}.json`, memoryOf(`memory ${place}`, rest));
      }
    },
  });
  const outside = temporaryVault(t);
  fs.writeFileSync(outside.path('secret.capsule'), capsuleOf('Secret'));
  fs.symlinkSync(outside.root, path.join(root, 'users/link'));
  const [version] = await vault.listCapsules('Nova');
  await vault.addTag('Nova', version.uuid, 'kept');

  assert.deepEqual(await vault.listUsers(), [MIRA, 'shard_x', 'tomas'].sort());
  const told = (await get('/api/overview')).json();
  assert.deepEqual([told.vault, told.isWatched, told.userCount, told.capsuleCount], ['north-harbour', true, 3, 4]);
  assert.deepEqual(told.users, await vault.listUsers());
  const brief = told.constructs.map((/** @type {any} */ { owner, name, instances, versions }) => [
    owner,
    name,
    instances,
    versions.map((/** @type {any} */ { uuid, path: place }) => [uuid, place]),
  ]);
  assert.deepEqual(brief, [
    [null, 'luna-001', [], [['Luna-4', 'instances/luna-001/identity/capsule.json']]],
    [null, 'Nova', ['Nova'], [['Nova-3', 'capsules/Nova/Nova_1.capsule']]],
    [
      MIRA,
      'nova-001',
      [],
      [
        ['Nova-2', `users/${MIRA}/instances/nova-001/identity/nova-001.capsule`],
        ['Nova-1', `users/${MIRA}/instances/nova-001/nova-001.capsule`],
      ],
    ],
  ]);
  assert.deepEqual((await get('/api/versions?instance=Nova')).json().versions[0].tags, ['kept']);

  const verdicts = (await get('/api/verdicts')).json();
  assert.deepEqual([verdicts.count, verdicts.unsound, verdicts.unstated], [30, 1, 26]);
  assert.deepEqual(verdicts.problems[0].path, 'capsules/Nova/Nova_1.capsule');
  assert.match(verdicts.problems[0].reason, /fingerprint/);
  const capsule = (await get(`/api/capsule?path=${encodeURIComponent(verdicts.problems[0].path)}`)).json();
  assert.deepEqual([capsule.integrity.valid, capsule.reason], [false, verdicts.problems[0].reason]);
  assert.deepEqual(capsule.traits.entries[0], { group: '', name: 'empathy', value: 8 });
  const own = await get(`/api/capsule?path=${encodeURIComponent('instances/luna-001/identity/capsule.json')}`);
  assert.deepEqual([own.status, own.json().uuid], [200, 'Luna-4']);
  for (const place of [
    'instances/luna-001/identity/other.json',
    `users/${MIRA}/capsules/m0.json`,
    '../x.capsule',
    'users/link/secret.capsule',
    '/etc/passwd',
    'capsules/../capsules/Nova/Nova_1.capsule',
    '',
  ]) {
    assert.equal((await get(`/api/capsule?path=${encodeURIComponent(place)}`)).status, 404, place);
  }

  const pages = [];
  for (let next = 0; next !== null; ) {
    const page = (await get(`/api/memories?user=${MIRA}&limit=10&offset=${next}`)).json();
    pages.push(page.memories.map((/** @type {any} */ { content }) => content));
    next = page.next;
  }
  assert.deepEqual(
    pages.map(({ length }) => length),
    [10, 10, 5],
  );
  assert.deepEqual(
    pages.flat(),
    Array.from({ length: 25 }, (_, place) => `memory ${24 - place}`),
  );
  const texts = async (/** @type {string} */ query) =>
    (await get(`/api/memories?${query}`)).json().memories.map((/** @type {any} */ { content }) => content);
  assert.deepEqual(await texts(`user=${MIRA}&tag=five&role=user`), ['memory 15', 'memory 5']);
  assert.deepEqual(await texts(`user=${MIRA}&since=2026-01-01T00:00:00.003Z&until=2026-01-01T00:00:00.004Z`), [
    'memory 4',
    'memory 3',
  ]);
  assert.deepEqual(await texts(`user=${MIRA}&construct=nova&limit=1`), ['a memory of Nova']);
  assert.deepEqual(await texts('user=tomas'), ['in a shard']);
  assert.deepEqual(await texts('user=nobody'), []);
  for (const [query, status] of /** @type {[string, number][]} */ ([
    ['', 400],
    ['user=x&limit=201', 400],
    ['user=x&limit=-1', 400],
    ['user=x&limit=1e2', 400],
    ['user=x&offset=x', 400],
    ['user=x&since=never', 400],
    ['user=..%2f..%2fetc', 404],
    ['user=%2e%2e', 404],
    ['construct=nobody', 404],
    ['construct=..%2fx', 404],
  ])) {
    const { status: told, json, text } = await get(`/api/memories?${query}`);
    assert.equal(told, status, `${query} ${text}`);
    assert.deepEqual([json().success, typeof json().error], [false, 'string']);
    assert.ok(!text.includes(root));
  }
});

test('versions without a zone have their time in UTC, wherever the server is', async (t) => {
  keepTimeZone(t);
  const { get, put } = await served(t);
  const times = ['2026-01-01T00:00:00.000000', '2026-01-01 00:00:00', '2025-12-31T16:00:00-08:00'];
  for (const [place, timestamp] of times.entries()) {
    const metadata = metadataOf('Nova', `Nova-${place}`, timestamp);
    put(`capsules/Nova/${place}.capsule`, capsuleOf('Nova', 1, { metadata }));
  }
  for (const TZ of ['America/Los_Angeles', 'Asia/Tokyo']) {
    process.env.TZ = TZ;
    const [{ versions }] = (await get('/api/overview')).json().constructs;
    const told = versions.map((/** @type {any} */ { time }) => time);
    assert.deepEqual(told, Array(3).fill(Date.UTC(2026)), TZ);
  }
});

test('where the vault is, is not told, however it is named', { skip: process.platform === 'win32' }, async (t) => {
  const place = temporaryVault(t);
  const real = path.join(fs.realpathSync(place.root), 'real');
  fs.mkdirSync(path.join(real, 'instances/nova-001'), { recursive: true });
  // Its name is a part of the real one, as on macOS the name of a temporary file is.
  const named = path.join(place.root, 're');
  fs.symlinkSync(real, named);
  const vault = await Vault.open(named, { watch: true, cacheDir: null });
  atEnd(t, () => vault.close());
  const server = await serveVault(vault, { port: 0 });
  atEnd(t, () => server.close());
  const port = Number(new URL(server.url).port);
  const request = http.get({ host: '127.0.0.1', port, path: '/api/events', agent: false });
  const [response] = await once(request, 'response');
  response.setEncoding('utf8');
  const rejected = once(vault, 'capsule:rejected');
  fs.symlinkSync(place.root, path.join(real, 'instances/nova-001/out.capsule'));
  assert.match((await rejected)[0].reason, new RegExp(`${real}/instances`), 'to the program it is told');
  let text = '';
  while (!text.includes('event: rejected')) text += (await once(response, 'data'))[0];
  request.destroy();
  const [, data] = /event: rejected\n.*\ndata: (.*)\n/.exec(text) ?? assert.fail(text);
  assert.match(JSON.parse(data).reason, / '\/instances\/nova-001\/out\.capsule'$/);
});

test('verdicts are those of the files as they are, and judged once for those who ask at once', async (t) => {
  const { get, vault, put, root, port } = await served(t);
  const real = vault.verifyCapsules.bind(vault);
  const { promise: opened, resolve: open } = gate();
  const verify = t.mock.method(vault, 'verifyCapsules', () => opened.then(() => real()));
  const sockets = Array.from({ length: 20 }, () => net.connect(port, '127.0.0.1').setEncoding('utf8'));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  for (const socket of sockets) socket.write('GET /api/verdicts HTTP/1.1\r\nHost: localhost\r\n\r\n');
  // What is sent after them is answered after they have come.
  await get('/api/overview');
  open();
  for (const socket of sockets) {
    let text = '';
    while (!text.includes('"count":0')) text += (await once(socket, 'data'))[0];
    socket.destroy();
  }
  assert.ok(verify.mock.callCount() <= 2, 'one for the first, one for all that came after it had begun');
  const unsound = async () => {
    const { problems } = (await get('/api/verdicts')).json();
    return problems.map((/** @type {any} */ problem) => problem.path);
  };
  // Of the first the watch tells that it came, but not that it went; of the second nothing.
  for (const place of [`users/${MIRA}/capsules/m.json`, 'kept/x.capsule']) {
    put(place, '{"raw":');
    assert.deepEqual(await unsound(), [place]);
    fs.rmSync(path.join(root, place));
    assert.deepEqual(await unsound(), []);
  }
});

test('every event is told, and again to those who come back; closing ends it', async (t) => {
  const { port, put, close, vault } = await served(t);
  const listen = async (headers = {}) => {
    const request = http.get({ host: '127.0.0.1', port, path: '/api/events', agent: false, headers });
    const [response] = await once(request, 'response');
    response.setEncoding('utf8');
    let text = '';
    const until = async (/** @type {RegExp} */ pattern) => {
      while (!pattern.test(text)) text += (await once(response, 'data'))[0];
      return text;
    };
    return { request, response, until };
  };
  const first = await listen();
  await first.until(/id: /);
  put(`users/${MIRA}/capsules/m.json`, memoryOf('one'));
  const [, id] = /event: imported\nid: (.+)\n/.exec(await first.until(/event: imported[\s\S]*\n\n/)) ?? assert.fail();
  put(`users/${MIRA}/capsules/m.json`, memoryOf('two'));
  await first.until(/event: updated[\s\S]*\n\n/);
  put('instances/bad-001/bad-001.capsule', capsuleOf('Bad').replace('a memory', 'no memory'));
  assert.doesNotMatch(await first.until(/event: rejected[\s\S]*\n\n/), new RegExp(vault.root));
  fs.rmSync(path.join(vault.root, `users/${MIRA}/capsules/m.json`));
  await first.until(/event: removed[\s\S]*\n\n/);
  first.request.destroy();
  const second = await listen({ 'last-event-id': id });
  assert.doesNotMatch(await second.until(/removed/), /event: imported|reset/);
  const ended = once(second.response, 'end');
  second.response.resume();
  await Promise.all([close(), ended]);
});

test('nothing of a capsule ever runs, and all of it is shown as text', { skip }, async (t) => {
  const canary = 'window.canary = true; fetch("https://evil.example/")';
  const payloads = [
    `<script>${canary}</script>`,
    `<img src=x onerror='${canary}'>`,
    `"><svg onload='${canary}'>`,
    `<iframe srcdoc="<script>${canary}</script>"></iframe>`,
    `<a href="javascript:${canary}">x</a>`,
    `javascript:${canary}`,
    `<meta http-equiv="refresh" content="0;url=https://evil.example/">`,
    `<style>@import "https://evil.example/x.css";</style><base href="https://evil.example/">`,
    `</title></textarea><form action="https://evil.example/"><button>x`,
    `{{constructor.constructor('${canary}')()}} \${${canary}}`,
    '\u202egnp.exe\u2066\u200b\u0007',
  ];
  const [script, image] = payloads;
  // No sign of a path or of Windows, which a file's name can't have.
  const user = `ann"'<img src=x onerror=alert(1)>`;
  const construct = `eve'"<svg onload=alert(1)>-001`;
  const huge = 'X'.repeat(300_000);
  const hostile = JSON.stringify({
    metadata: { instance_name: image, uuid: script, timestamp: '2026-01-01T00:00:00+00:00', fingerprint_hash: script },
    title: script,
    traits: { [script]: 5, [image]: script, constructor: 6, toString: 7, huge: huge, [huge]: 3 },
    personality: Object.fromEntries(payloads.map((payload, place) => [payload, { [payload]: payload, place }])),
    memory: { short_term_memories: payloads, memory_log: [huge] },
  }).replace('"constructor":6', '"constructor":6,"__proto__":{"polluted":9},"hasOwnProperty":8');
  const sent = (/** @type {string} */ raw, place = 0) =>
    memoryOf(raw, {
      role: payloads[place % payloads.length],
      tags: [...payloads, '__proto__'],
      created_ts: timestampOf(place),
    }).replace('{', '{"__proto__":{"polluted":true},');
  const { url, put } = await served(t, {
    fill(put) {
      payloads.forEach((payload, place) => {
        put(`users/${user}/capsules/<img src=x onerror=alert(${place})>.json`, sent(payload, place));
      });
      put(`users/${user}/capsules/huge.json`, sent(huge));
      put(
        `users/${user}/capsules/odd.json`,
        memoryOf('', { created_ts: { a: script }, role: [script], raw: { [image]: 1 } }),
      );
      put(`users/${user}/instances/${construct}/x.capsule`, hostile);
      put('capsules/<b>bold/x.capsule', JSON.stringify({ traits: { '<i>x': -0.5, y: 1, z: 0 } }));
      put(`users/${user}/transcripts/<u>session/x.txt`, `# Role: ${script}\n# ---\n${image}`);
    },
  });
  const { page, troubles } = await openPage(t, url);
  const isClean = async (/** @type {string} */ where) => {
    await untilIn(page, "document.querySelector('main h1') && !document.querySelector('[aria-busy=true], .loading')");
    const found = await page.evaluate(`(() => ({
      canary: window.canary ?? null,
      polluted: {}.polluted ?? null,
      made: [...document.querySelectorAll('script, iframe, base, meta[http-equiv], main img, main style, form[action], object, embed, b, i, u')]
        .map((each) => each.outerHTML),
      handlers: [...document.querySelectorAll('*')].flatMap((each) => [...each.attributes])
        .filter(({ name, value }) => /^on|^style$|^srcdoc$/.test(name) || /^\\s*(javascript|data):/i.test(value)).map(({ name }) => name),
      links: [...document.querySelectorAll('a')].map((each) => each.getAttribute('href')).filter((href) => !href.startsWith('#')),
    }))()`);
    const scripts = ['<script type="module" src="main.mjs"></script>'];
    assert.deepEqual(found, { canary: null, polluted: null, made: scripts, handlers: [], links: [] }, where);
    assert.deepEqual(troubles, [], where);
  };
  await page.goto(url);
  await page.locator('.badge.bad').first().waitFor();
  await isClean('overview');
  assert.equal(await page.locator('.card-name', { hasText: construct }).count(), 1);
  await page.locator('.card-name', { hasText: construct }).click();
  await page.locator('.bars').first().waitFor();
  await isClean('construct');
  const text = await page.locator('main').innerText();
  for (const payload of [script, image, payloads[3], '__proto__', 'constructor'])
    assert.ok(text.includes(payload), payload);
  assert.ok(text.length < 40_000, 'huge texts are cut');
  assert.doesNotMatch(text, /\p{Bidi_Control}/u, 'no name changes the direction of others');
  await page.goto(`${url}/#/construct?name=%3Cb%3Ebold`);
  await page.locator('.fill.below').waitFor();
  await isClean('negative traits');
  await page.goto(`${url}/#/timeline?user=${encodeURIComponent(user)}&construct=${encodeURIComponent(construct)}`);
  await page.locator('.memory').first().waitFor();
  await isClean('timeline');
  for (const payload of payloads.slice(0, -1)) {
    assert.equal(
      await page
        .locator('.content', { hasText: payload })
        .first()
        .evaluate((/** @type {any} */ each) => each.childElementCount),
      0,
    );
  }
  await page.goto(`${url}/#/integrity`);
  await page.locator('.problem').first().waitFor();
  await isClean('integrity');
  await page.goto(`${url}/#/${encodeURIComponent(script)}?x=${encodeURIComponent(image)}`);
  await isClean('an address that is no view');
  await page.goto(
    `${url}/#/construct?name=${encodeURIComponent(image)}&owner=${encodeURIComponent(script)}&version=javascript:alert(1)`,
  );
  await isClean('a construct that is not there');
  await page.goto(`${url}/#/`);
  await page.locator('.live:not(.away)').waitFor();
  put(`users/${user}/capsules/<img src=x onerror=alert(9)>new.json`, sent(script));
  put(`users/${user}/instances/late'"<img src=x>/y.capsule`, hostile);
  await page.locator('.event.rejected').first().waitFor();
  await page.locator('.event.imported').first().waitFor();
  await isClean('events');

  // Had a text become markup all the same, the browser would have refused it.
  await assert.rejects(page.evaluate("document.body.innerHTML = '<b>x</b>'"), /TrustedHTML/);
  await assert.rejects(page.evaluate("document.body.setAttribute('onclick', 'window.canary = 1')"), /TrustedScript/);
  assert.ok(
    troubles.some((trouble) => trouble.startsWith('policy: require-trusted-types-for')),
    'a violation would have been noticed',
  );
});

/** What a vault of people and constructs has. @param {(file: string, text: string) => void} put */
function lived(put) {
  put(`users/${MIRA}/instances/nova-001/nova-001.capsule`, capsuleOf('Nova', 1));
  put('users/tomas/instances/bad-001/bad-001.capsule', capsuleOf('Bad').replace('a memory', 'no memory'));
  const memories = [
    ['The apricot tree has two leaves.', { created_ts: '2026-01-10T09:00:00Z', tags: ['garden'], role: 'user' }],
    [
      'Two leaves after eleven weeks.',
      { created_ts: '2026-01-10T09:02:00Z', tags: ['garden', 'reminder'], role: 'assistant' },
    ],
    ['The buns are done.', { created_ts: '2026-01-12T18:00:00Z', tags: ['recipe'], role: 'user' }],
  ];
  memories.forEach(([raw, rest], place) => {
    put(`users/${MIRA}/capsules/m${place}.json`, memoryOf(/** @type {string} */ (raw), /** @type {object} */ (rest)));
  });
}

test('the overview leads to a construct, its traits, versions, tags and verdicts', { skip }, async (t) => {
  const { url, vault } = await served(t, { fill: lived });
  for (const day of [1, 2]) await vault.storeCapsule(capsuleOf('Aurora', day));
  const [newest, oldest] = await vault.listCapsules('Aurora');
  await vault.addTag('Aurora', newest.uuid, 'stable');
  await vault.addTag('Aurora', oldest.uuid, 'before-the-move');
  const { page, troubles } = await openPage(t, url);
  await page.goto(url);
  await page.locator('.badge.bad').waitFor();
  assert.match(
    await page.locator('.tiles').innerText(),
    /Users\s+2\s+Constructs\s+3\s+Capsules\s+4\s+Unsound files\s+1/,
  );
  assert.match(
    await page.locator('.card', { hasText: 'Aurora' }).innerText(),
    /sound, F1[\s\S]*the vault’s own[\s\S]*2 versions/,
  );
  await page.getByLabel('Find a construct or a user').fill('nova');
  assert.deepEqual(await page.locator('.card-name').allInnerTexts(), ['nova-001']);
  await page.getByLabel('Find a construct or a user').fill('lindq');
  assert.deepEqual(await page.locator('.card-name').allInnerTexts(), ['nova-001', 'Mira Lindqvist']);
  await page.getByLabel('Find a construct or a user').fill('');

  await page.locator('.card', { hasText: 'Aurora' }).click();
  await page.locator('.radar').waitFor();
  assert.equal(await page.locator('.radar .point').count(), 3);
  const bars = await page
    .locator('section', { hasText: 'Traits' })
    .first()
    .locator('.bars dt, .bars dd')
    .allInnerTexts();
  assert.deepEqual(
    bars.map((/** @type {string} */ text) => text.trim()),
    ['empathy', '8', 'persistence', '9', 'curiosity', '7'],
  );
  const fill = page.locator('.bars .fill').first();
  assert.equal(await fill.getAttribute('width'), '80', 'eight of ten');
  const rows = page.locator('tbody tr');
  await rows.first().locator('.tags').waitFor();
  assert.deepEqual(await rows.locator('.tags').allInnerTexts(), ['stable', 'before-the-move']);
  await rows.nth(1).locator('a').click();
  await page.locator('.facts', { hasText: 'Aurora-1' }).waitFor();
  assert.equal(await page.locator('tbody tr.current .tags').innerText(), 'before-the-move');

  await page.goto(`${url}/#/construct?name=bad-001&owner=tomas`);
  await page.locator('.notice.bad', { hasText: 'This capsule is not sound' }).waitFor();
  assert.match(await page.locator('.notice.bad').innerText(), /the fingerprint matches none/);
  await page.getByRole('link', { name: 'Integrity' }).click();
  await page.locator('.problem').waitFor();
  assert.match(
    await page.locator('.problem').innerText(),
    /users\/tomas\/instances\/bad-001\/bad-001\.capsule[\s\S]*the fingerprint/,
  );
  assert.equal(await page.title(), 'Integrity · north-harbour');
  assert.deepEqual(troubles, []);
});

test('the timeline is filtered by user, construct, role, time, tags and text', { skip }, async (t) => {
  const { url } = await served(t, { fill: lived });
  const { page, troubles } = await openPage(t, url);
  await page.goto(`${url}/#/timeline?user=${MIRA}`);
  const shown = async (/** @type {string[]} */ expected) => {
    const wanted = JSON.stringify(expected);
    await untilIn(
      page,
      `JSON.stringify([...document.querySelectorAll('.memory:not([hidden]) .content')].map((each) => each.textContent)) === ${JSON.stringify(wanted)}`,
    );
  };
  const [tree, leaves, buns] = [
    'The apricot tree has two leaves.',
    'Two leaves after eleven weeks.',
    'The buns are done.',
  ];
  await shown([buns, leaves, tree]);
  assert.deepEqual(await page.locator('.memories h2').allInnerTexts(), [
    'Monday, 12 January 2026',
    'Saturday, 10 January 2026',
  ]);
  await page.getByLabel('Text').fill('LEAVES');
  await shown([leaves, tree]);
  assert.match(await page.locator('.status').innerText(), /2 of the 3/);
  assert.equal(await page.evaluate("CSS.highlights.get('found').size"), 2);
  await page.getByLabel('Text').fill('');
  await page.getByLabel('Role').fill('user');
  await page.getByLabel('Role').press('Enter');
  await shown([buns, tree]);
  await page.getByLabel('Role').fill('');
  await page.getByRole('textbox', { name: 'Tags' }).fill('garden, reminder');
  await shown([buns, leaves, tree]);
  assert.equal(await page.evaluate('document.activeElement.name'), 'tags', 'whoever is typing is not disturbed');
  await page.getByRole('textbox', { name: 'Tags' }).press('Enter');
  await shown([leaves]);
  await page.getByRole('textbox', { name: 'Tags' }).fill('');
  await page.locator('[name=until]').fill('2026-01-10');
  await page.locator('[name=until]').press('Enter');
  await shown([leaves, tree]);
  await page.locator('[name=since]').fill('2026-01-11');
  await page.locator('[name=since]').press('Enter');
  await page.getByText('None that the filters let through').waitFor();
  await page.getByText('Take the filters off').click();
  await shown([buns, leaves, tree]);
  await page.getByLabel('With the construct').selectOption('nova-001');
  await shown([buns, leaves, tree, 'a memory of Nova']);
  await page.goBack();
  await shown([buns, leaves, tree]);
  await page.locator('[name=user]').selectOption('tomas');
  await page.getByText('There are none here yet').waitFor();
  assert.deepEqual(troubles, []);
});

/**
 * A way to a server that can be cut.
 *
 * @param {import('node:test').TestContext} t
 * @param {number} port
 */
async function wire(t, port) {
  /** @type {Set<net.Socket>} */
  const sockets = new Set();
  let [isCut, sent] = [false, ''];
  const server = net.createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = net.connect(port, '127.0.0.1');
    near.on('data', (piece) => {
      sent += piece.toString('latin1');
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(one);
      one.pipe(other);
      one.on('error', () => {});
      one.once('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  atEnd(t, () => {
    cut();
    server.close();
  });
  const mend = () => {
    isCut = false;
    sent = '';
  };
  const { port: own } = /** @type {net.AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${own}`, cut, mend, sent: () => sent };
}

test('imports appear as they happen, also those during a broken connection', { skip }, async (t) => {
  const { port, put, root } = await served(t, { fill: lived });
  const { url, cut, mend, sent } = await wire(t, port);
  const { page } = await openPage(t, url);
  await page.goto(url);
  await page.locator('.live', { hasText: 'Live' }).waitFor();
  put(`users/${MIRA}/capsules/new.json`, memoryOf('just now'));
  await page.locator('.event.imported', { hasText: 'new.json' }).waitFor();
  put('users/zoe/instances/eve-001/eve-001.capsule', capsuleOf('Eve', 5));
  await page.locator('.card', { hasText: 'eve-001' }).locator('.badge.good').waitFor();
  await page.locator('.card', { hasText: 'zoe' }).first().waitFor();

  await page.goto(`${url}/#/timeline?user=${MIRA}`);
  await page.locator('.memory').nth(3).waitFor();
  put(`users/${MIRA}/capsules/newer.json`, memoryOf('even later', { created_ts: '2026-02-02T10:00:00Z' }));
  await page.locator('.memory.new', { hasText: 'even later' }).waitFor();
  assert.equal(await page.locator('.memory').first().locator('.content').innerText(), 'even later');
  put(`users/${MIRA}/capsules/older.json`, memoryOf('in between', { created_ts: '2026-01-11T10:00:00Z' }));
  await page.locator('.memory.new', { hasText: 'in between' }).waitFor();
  assert.deepEqual(await page.locator('.memories h2').allInnerTexts(), [
    'Monday, 2 February 2026',
    'Sunday, 1 February 2026',
    'Monday, 12 January 2026',
    'Sunday, 11 January 2026',
    'Saturday, 10 January 2026',
  ]);
  cut();
  await page.locator('.live.away').waitFor();
  put(`users/${MIRA}/capsules/missed.json`, memoryOf('meanwhile', { created_ts: '2026-02-03T10:00:00Z' }));
  await delayUntil(() => fs.existsSync(path.join(root, `users/${MIRA}/capsules/missed.json`)));
  mend();
  await page.locator('.memory.new', { hasText: 'meanwhile' }).waitFor();
  assert.match(sent(), /\r\nlast-event-id: /i);
  fs.rmSync(path.join(root, `users/${MIRA}/capsules/missed.json`));
  await page.getByText('Memories have come, changed or gone').waitFor();
  await page.getByRole('button', { name: 'Show as they are now' }).click();
  await untilIn(page, "document.querySelector('.memory') && !document.body.textContent.includes('meanwhile')");
});

/** @param {() => boolean} holds */
async function delayUntil(holds) {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test('a locked vault is opened by its token, which is kept for the tab', { skip }, async (t) => {
  const { url, put } = await served(t, { token: 'the-token', fill: lived });
  const { page, troubles } = await openPage(t, url);
  await page.goto(`${url}/#/timeline?user=${MIRA}`);
  await page.getByRole('heading', { name: 'This vault is locked' }).waitFor();
  assert.equal(await page.evaluate('document.activeElement.id'), 'token');
  assert.equal(await page.locator('nav').isVisible(), false);
  for (const wrong of ['wrong', 'ключ']) {
    await page.locator('#token').fill(wrong);
    await page.locator('#token').press('Enter');
    await page.locator('[role=alert]', { hasText: /token/ }).waitFor();
    assert.equal(await page.evaluate('sessionStorage.length'), 0);
  }
  await page.locator('#token').fill('the-token');
  await page.getByRole('button', { name: 'Open' }).click();
  await page.locator('.memory').nth(2).waitFor();
  await page.locator('.live', { hasText: 'Live' }).waitFor();
  put(`users/${MIRA}/capsules/new.json`, memoryOf('just now'));
  await page.locator('.memory.new', { hasText: 'just now' }).waitFor();
  await page.reload();
  await page.locator('.memory').nth(3).waitFor();
  assert.equal(await page.evaluate('document.cookie'), '');
  assert.doesNotMatch(await page.evaluate('location.href'), /the-token/);
  const expected = /^console: Failed to load resource: the server responded with a status of 401/;
  assert.deepEqual(
    troubles.filter((trouble) => !expected.test(trouble)),
    [],
  );
});

test('an empty vault, a server that is gone, and a vault that fills', { skip }, async (t) => {
  const { url, put, close } = await served(t);
  const { page } = await openPage(t, url);
  await page.goto(url);
  await page.getByText('This vault is empty').waitFor();
  await page.getByRole('link', { name: 'Timeline' }).click();
  await page.getByText('No user chosen').waitFor();
  await page.getByRole('link', { name: 'Integrity' }).click();
  await page.getByText('Nothing to check').waitFor();
  await page.getByRole('link', { name: 'Timeline' }).click();
  // One without a time has that of each question, and is the same memory all the same.
  put(`users/${MIRA}/capsules/new.json`, memoryOf('the first', { created_ts: undefined }));
  await page.locator('.memory', { hasText: 'the first' }).waitFor();
  for (const [place, raw] of ['the second', 'the third'].entries()) {
    put(`users/${MIRA}/capsules/newer${place}.json`, memoryOf(raw));
    await page.locator('.memory', { hasText: raw }).waitFor();
  }
  assert.equal(await page.locator('.memory').count(), 3);
  await close();
  await page.locator('.live.away').waitFor();
  await page.getByLabel('Role').fill('user');
  await page.getByLabel('Role').press('Enter');
  await page.getByText('The server can’t be reached.').waitFor();
  await page.getByRole('button', { name: 'Try again' }).waitFor();
});

test('ten thousand memories come by the page, and the page stays quick', { skip }, async (t) => {
  const { url } = await served(t, {
    fill(put) {
      put(`users/${MIRA}/capsules/0.json`, memoryOf('x'));
      const folder = `users/${MIRA}/capsules`;
      for (let place = 1; place < 10_000; place += 1) {
        put(
          `${folder}/${place}.json`,
          memoryOf(`memory ${place} ${'of many words '.repeat(20)}`, { created_ts: timestampOf(place * 1000) }),
        );
      }
    },
  });
  const { page, troubles } = await openPage(t, url);
  await page.addInitScript(`window.longest = 0;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) window.longest = Math.max(window.longest, duration);
    }).observe({ type: 'longtask', buffered: true });`);
  await page.goto(`${url}/#/timeline?user=${MIRA}`);
  await page.locator('.memory').nth(99).waitFor({ state: 'attached' });
  for (const many of [200, 300, 400]) {
    await page.evaluate('scrollTo(0, document.body.scrollHeight)');
    await page
      .locator('.memory')
      .nth(many - 1)
      .waitFor({ state: 'attached' });
  }
  assert.ok((await page.locator('.memory').count()) < 1500, 'what nobody scrolled to is not there');
  await page.getByLabel('Text').fill('memory 9999');
  await untilIn(page, "document.querySelectorAll('.memory:not([hidden])').length === 1");
  assert.ok(/** @type {number} */ (await page.evaluate('window.longest')) < 1000);
  assert.deepEqual(troubles, []);
});

test('on a phone, by keyboard, and for those who do not see', { skip }, async (t) => {
  const { url } = await served(t, {
    fill(put) {
      lived(put);
      put(
        `users/${MIRA}/capsules/long.json`,
        memoryOf('W'.repeat(3000), { tags: ['T'.repeat(300)], role: 'R'.repeat(300) }),
      );
      put(`users/${'u'.repeat(200)}/capsules/m.json`, memoryOf('x'));
      put(
        `capsules/${'C'.repeat(150)}/x.capsule`,
        JSON.stringify({ traits: { ['N'.repeat(300)]: 5, b: 1e21, c: 0.1 } }),
      );
    },
  });
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    const { page, troubles } = await openPage(t, url, { viewport: { width: 360, height: 700 }, colorScheme });
    for (const view of [
      '',
      `timeline?user=${MIRA}`,
      `construct?name=${'C'.repeat(150)}`,
      'integrity',
      'construct?name=bad-001&owner=tomas',
    ]) {
      await page.goto(`${url}/#/${view}`);
      await untilIn(page, "document.querySelector('main h1') && !document.querySelector('[aria-busy=true], .loading')");
      const found = await page.evaluate(`(() => ({
        width: document.documentElement.scrollWidth,
        headings: document.querySelectorAll('h1').length,
        unlabelled: [...document.querySelectorAll('input, select')].filter((each) => !each.labels?.length && !each.ariaLabel).length,
        unnamed: [...document.querySelectorAll('a, button')].filter((each) => !each.hidden && !each.textContent.trim()).length,
        twice: [...document.querySelectorAll('[id]')].map(({ id }) => id).filter((id, at, all) => all.indexOf(id) !== at),
        contrast: getComputedStyle(document.body).backgroundColor,
      }))()`);
      const { contrast, ...rest } = /** @type {any} */ (found);
      assert.deepEqual(rest, { width: 360, headings: 1, unlabelled: 0, unnamed: 0, twice: [] }, view);
      assert.equal(contrast, colorScheme === 'light' ? 'rgb(246, 245, 249)' : 'rgb(19, 17, 25)');
    }
    await page.goto(url);
    await page.locator('.card').first().waitFor();
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate('document.activeElement.textContent'), 'Skip to the content');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate('document.activeElement.id'), 'main');
    await page.getByRole('link', { name: 'Timeline' }).press('Enter');
    await untilIn(page, "document.title.startsWith('Timeline')");
    assert.equal(
      await page.evaluate('document.activeElement.id'),
      'main',
      'whoever has come to a view is at its beginning',
    );
    assert.equal(await page.getByRole('link', { name: 'Timeline' }).getAttribute('aria-current'), 'page');
    assert.deepEqual(troubles, []);
  }
});
