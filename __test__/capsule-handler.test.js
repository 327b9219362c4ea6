'use strict';

// VVAULT's web API of a vault, asked over real connections.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { on, once } = require('node:events');
const fs = require('node:fs');
const files = require('node:fs/promises');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const { setTimeout: delay } = require('node:timers/promises');
const zlib = require('node:zlib');

const { Vault } = require('..');
const { createCapsuleHandler } = require('../lib/capsule-handler');
const { VVAULTClient } = require('../lib/vvault-client');
const { atEnd, keepTimeZone } = require('./support/at-end');
const { ask, gate, serve } = require('./support/capsule-server');
const { capsuleFilename, makeCapsule, timestampOf } = require('./support/construct-capsules');
const { temporaryVault } = require('./support/temporary-vault');

const forged = fs.readFileSync(path.join(__dirname, 'recorded/capsules/s1-forge-1.0.0.capsule'), 'utf8');
const JSON_HEADERS = { 'content-type': 'application/json' };

/** @param {string} instanceName @param {number} [day] @param {string[]} [memories] */
const capsuleOf = (instanceName, day = 1, memories = ['kept']) =>
  makeCapsule({
    instanceName,
    uuid: `${instanceName}-${day}`,
    timestamp: `2026-01-0${day}T00:00:00.000000+00:00`,
    memories,
  });

/**
 * A vault of some capsules, and a server for it.
 *
 * @param {import('node:test').TestContext} t
 * @param {object} [options]
 * @param {(handler: any) => http.RequestListener} [mount]
 */
async function serveVault(t, options = {}, mount = (handler) => handler) {
  const place = temporaryVault(t);
  const vault = await Vault.open(place.root, { create: true });
  atEnd(t, () => vault.close());
  const handler = createCapsuleHandler(vault, options);
  const served = await serve(t, mount(handler));
  const write = (/** @type {string} */ file, /** @type {string} */ text) => {
    fs.mkdirSync(path.dirname(place.path(file)), { recursive: true });
    fs.writeFileSync(place.path(file), text);
  };
  return { ...served, vault, handler, write, root: place.root };
}

/**
 * Events of a stream until there are enough; the connection is kept until `close`.
 *
 * @param {number} port
 * @param {Record<string, string>} [headers]
 */
async function listen(port, headers = {}) {
  const request = http.get({ host: '127.0.0.1', port, path: '/api/capsules/events', agent: false, headers });
  request.on('error', () => {});
  const [response] = await once(request, 'response');
  let text = '';
  response.setEncoding('utf8').on('data', (/** @type {string} */ piece) => {
    text += piece;
  });
  const until = async (/** @type {RegExp} */ pattern) => {
    for (let waited = 0; !pattern.test(text); waited += 5) {
      assert.ok(waited < 5000, `${pattern} has not come: ${text.slice(-500)}`);
      await delay(5);
    }
    return text;
  };
  return { response, until, close: () => request.destroy(), text: () => text };
}

/** @param {() => Promise<boolean>} holds */
async function until(holds) {
  for (let waited = 0; !(await holds()); waited += 5) {
    assert.ok(waited < 5000, 'it has not come to that');
    await delay(5);
  }
}

test('lists, and gives each by its names, byte for byte', async (t) => {
  const { port, write, url, root } = await serveVault(t);
  const stored = `capsules/Nova/${capsuleFilename('Nova', '2026-01-01T00:00:00.000000+00:00')}`;
  const exact = '{ "title": "T", "version": 1.0, "tags": ["x"], "big": 12345678901234567890, "é": "\\u00e9" }\n';
  write(stored, capsuleOf('Nova'));
  write('users/ann/instances/nova-001/identity/nova-001.capsule', capsuleOf('Nova', 2));
  write('instances/forge-001/forge-001.capsule', forged);
  write('capsules/odd name é.capsule', exact);
  write('users/ann/instances/luna-001/identity/capsule.json', capsuleOf('Luna'));

  const listed = await ask(port, '/api/capsules');
  assert.equal(listed.status, 200);
  assert.equal(listed.headers['content-type'], 'application/json; charset=utf-8');
  assert.ok(!listed.text.includes(root));
  const { success, capsules, count } = JSON.parse(listed.text);
  assert.deepEqual([success, count, capsules.length], [true, 5, 5]);
  const odd = capsules.find((/** @type {any} */ { name }) => name === 'odd name é.capsule');
  const { size, modified, ...rest } = odd;
  assert.deepEqual([size, Number.isNaN(Date.parse(modified))], [Buffer.byteLength(exact), false]);
  assert.deepEqual(rest, {
    name: 'odd name é.capsule',
    path: 'capsules/odd name é.capsule',
    type: 'capsule',
    title: 'T',
    description: '',
    version: 1,
    tags: ['x'],
  });
  for (const [name, text] of /** @type {[string, string][]} */ ([
    ['odd name é.capsule', exact],
    [path.basename(stored), capsuleOf('Nova')],
    [stored, capsuleOf('Nova')],
    ['nova-001.capsule', capsuleOf('Nova', 2)],
    ['nova-001', capsuleOf('Nova', 2)],
    ['Nova', capsuleOf('Nova', 2)],
    ['gpt-nova-001', capsuleOf('Nova', 2)],
    ['forge-001.capsule', forged],
    ['users/ann/instances/luna-001/identity/capsule.json', capsuleOf('Luna')],
    ['capsule.json', capsuleOf('Luna')],
    ['luna', capsuleOf('Luna')],
  ])) {
    const { status, text: body } = await ask(port, `/api/capsules/${encodeURIComponent(name)}`);
    assert.deepEqual([status, body], [200, `{"success":true,"capsule":${text}}`], name);
    assert.equal(JSON.parse(body).success, true);
  }
  const client = new VVAULTClient({
    mode: 'http',
    baseUrl: url,
    capsuleIds: ['nova-001', 'forge-001.capsule', 'nobody'],
  });
  const loaded = await client.loadAllCapsules();
  assert.deepEqual(
    { ...loaded },
    { 'nova-001': JSON.parse(capsuleOf('Nova', 2)), 'forge-001.capsule': JSON.parse(forged) },
  );
  assert.match(client.errors.get('nobody')?.message ?? '', /404: Capsule not found$/);
});

test('whatever a capsule says of itself, it is listed, and so are others', async (t) => {
  const { port, write } = await serveVault(t);
  write('instances/nova-001/nova-001.capsule', capsuleOf('Nova'));
  const deep = `${'['.repeat(10_000)}${']'.repeat(10_000)}`;
  write('capsules/deep.capsule', `{"title":${deep},"description":"d"}`);
  write('capsules/long.capsule', `{"title":"${'t'.repeat(70_000)}","tags":["x"],"metadata":{"uuid":"u"}}`);
  const { status, text } = await ask(port, '/api/capsules');
  const { capsules, count } = JSON.parse(text);
  assert.deepEqual([status, count], [200, 3]);
  assert.equal(text.includes(`"title":${deep},"description":"d"`), true);
  const { size, modified, ...long } = capsules.find((/** @type {any} */ { name }) => name === 'long.capsule');
  assert.equal(size > 70_000 && modified > '2026', true);
  assert.deepEqual(long, {
    name: 'long.capsule',
    path: 'capsules/long.capsule',
    type: 'capsule',
    title: 'long.capsule',
    description: '',
    version: '1.0.0',
    tags: [],
  });
});

test('requests that are sent ahead are answered in their order, one at a time', async (t) => {
  let [atWork, most, admitted] = [0, 0, 0];
  const { port } = await serveVault(t, {
    authorize: async () => {
      atWork += 1;
      most = Math.max(most, atWork);
      await delay(1);
      atWork -= 1;
      admitted += 1;
      return true;
    },
  });
  const socket = net.connect(port, '127.0.0.1').setEncoding('utf8');
  const names = Array.from({ length: 50 }, (_, place) => `n${place}`);
  socket.write(names.map((name) => `GET /api/capsules/${name} HTTP/1.1\r\nHost: localhost\r\n\r\n`).join(''));
  let text = '';
  for await (const piece of socket) {
    text += piece;
    if (text.split('HTTP/1.1 404').length > names.length && text.endsWith('}')) break;
  }
  assert.deepEqual([most, admitted], [1, names.length]);
  // Who is gone is not worked for.
  const leaving = net.connect(port, '127.0.0.1');
  leaving.write('GET /api/capsules/x HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(50));
  await until(async () => admitted > names.length);
  leaving.destroy();
  await delay(100);
  assert.equal(admitted < 2 * names.length, true, `${admitted}`);
});

test('a handler that is asked late, or in another order than requests came, leaves no connection waiting', async (t) => {
  const { port } = await serveVault(t, {}, (handler) => async (req, res) => {
    const [, how, wait] = req.headers['x-how']?.toString().match(/(\w+) (\d+)/) ?? [];
    if (how === 'answered') res.end('by another');
    if (wait) await delay(Number(wait));
    await handler(req, res);
  });
  const socket = net.connect(port, '127.0.0.1').setEncoding('utf8');
  t.after(() => socket.destroy());
  const hows = ['look 60', 'look 5', 'answered 30', 'look 0', 'answered 0'];
  const request = (/** @type {string} */ how) =>
    `GET /api/capsules/x HTTP/1.1\r\nHost: localhost\r\nX-How: ${how}\r\n\r\n`;
  const answered = async (/** @type {number} */ count) => {
    let text = '';
    for await (const piece of on(socket, 'data')) {
      text += piece;
      if (text.split('HTTP/1.1 ').length > count && /(\}|another)$/.test(text)) break;
    }
    return [...text.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => Number(status));
  };
  socket.write(hows.map(request).join(''));
  assert.deepEqual(await answered(5), [404, 404, 200, 404, 200]);
  for (const [how, status] of /** @type {[string, number][]} */ ([
    ['answered 20', 200],
    ['look 0', 404],
  ])) {
    socket.write(request(how));
    assert.deepEqual(await answered(1), [status], how);
    await delay(40);
  }
});

test('what the handler sets on a connection is not left to the next answer', async (t) => {
  let timeout;
  const { port } = await serveVault(t, {}, (handler) => async (req, res) => {
    if (req.url !== '/other') return handler(req, res);
    // Until the answer before is sent.
    await once(res, 'socket');
    await delay(20);
    timeout = req.socket.timeout;
    res.end('other');
  });
  const socket = net.connect(port, '127.0.0.1').setEncoding('utf8');
  t.after(() => socket.destroy());
  socket.write(['/api/capsules', '/other'].map((url) => `GET ${url} HTTP/1.1\r\nHost: localhost\r\n\r\n`).join(''));
  let text = '';
  for await (const piece of on(socket, 'data')) {
    text += piece;
    if (text.endsWith('other')) break;
  }
  assert.equal(timeout, 0);
});

test('nothing outside of the vault, and nothing unsound, is given', async (t) => {
  const { port, url, write, root } = await serveVault(t);
  const outside = temporaryVault(t);
  fs.writeFileSync(outside.path('secret.capsule'), capsuleOf('Secret'));
  write('instances/nova-001/nova-001.capsule', capsuleOf('Nova').replace('kept', 'lost'));
  write('capsules/nan.capsule', '{"a": NaN}');
  write('capsules/broken.capsule', '1},"success":{');
  fs.symlinkSync(outside.path('secret.capsule'), path.join(root, 'capsules/link.capsule'));
  for (const user of ['ann', 'bob']) write(`users/${user}/instances/eve-001/eve-001.capsule`, capsuleOf('Eve'));
  for (const [name, expected] of /** @type {[string, number][]} */ ([
    ['nobody', 404],
    ['link.capsule', 404],
    ['nova-001', 422],
    ['nova-001.capsule', 422],
    ['nan.capsule', 422],
    ['broken.capsule', 422],
    ['eve-001.capsule', 409],
    ['eve-001', 409],
    ['Eve', 409],
    [encodeURIComponent('several users have a eve-001'), 404],
    ['%2e%2e%2f%2e%2e%2fetc%2fpasswd', 404],
    ['..', 404],
    ['..%5c..%5cx', 404],
    [encodeURIComponent(outside.path('secret.capsule')), 404],
    [encodeURIComponent(path.join(root, 'capsules/nan.capsule')), 404],
    ['%00', 404],
    ['a%0d%0aX-Bad:%20yes', 404],
    ['__proto__', 404],
    ['%', 400],
    ['%ff', 400],
    ['x/y', 404],
    ['x/../../../etc', 404],
    [`${'x'.repeat(5000)}`, 404],
  ])) {
    const { status, headers, text } = await ask(port, `/api/capsules/${name}`);
    assert.equal(status, expected, name);
    assert.equal(JSON.parse(text).success, false);
    assert.equal(typeof JSON.parse(text).error, 'string');
    assert.equal(headers['x-bad'], undefined);
    assert.ok(!text.includes(root));
  }
  const eve = await ask(port, `/api/capsules/${encodeURIComponent('users/bob/instances/eve-001/eve-001.capsule')}`);
  assert.equal(eve.status, 200);
  const client = new VVAULTClient({ mode: 'http', baseUrl: url, capsuleIds: ['eve-001'] });
  await client.loadAllCapsules();
  const told = client.errors.get('eve-001');
  assert.equal(told?.code, 'VVAULT_HTTP_STATUS');
  assert.match(told?.message ?? '', /status 409: Several users have .* by its path, as the list has it$/);
});

test('of all files, those that the list has are given, and no others', async (t) => {
  const { port, vault, write, root } = await serveVault(t);
  const outside = temporaryVault(t);
  fs.writeFileSync(outside.path('capsule.json'), capsuleOf('Secret'));
  const folders = (/** @type {number} */ count) => 'd/'.repeat(count);
  for (const file of [
    'identity/capsule.json',
    'users/ann/identity/capsule.json',
    'users/bob/instances/eve-001/identity/capsule.json',
    'instances/nova-001/capsule.json',
    'instances/nova-001/identity/other.json',
    'instances/nova-001/identity/nova-001.capsule',
    'instances/nova-001/identity/capsule.json/x.json',
    'users/ann/capsules/capsule.json',
    'users/ann/capsules/memory.json',
    'indexes/Nova.json',
    'config.json',
    'capsule.json',
    'Identity/capsule.json',
    'identity/CAPSULE.JSON',
    `${folders(23)}identity/capsule.json`,
    `${folders(24)}identity/capsule.json`,
    `${folders(24)}deep.capsule`,
    `${folders(25)}deep.capsule`,
  ]) {
    write(file, capsuleOf('Nova'));
  }
  fs.symlinkSync(outside.root, path.join(root, 'instances/identity'));
  fs.mkdirSync(path.join(root, 'instances/linked-001/identity'), { recursive: true });
  fs.symlinkSync(outside.path('capsule.json'), path.join(root, 'instances/linked-001/identity/capsule.json'));
  const { capsules } = JSON.parse((await ask(port, '/api/capsules')).text);
  const listed = capsules.map((/** @type {any} */ capsule) => capsule.path);
  const files = fs.readdirSync(root, { recursive: true, encoding: 'utf8' });
  const answered = [];
  for (const file of [...files, 'instances/identity/capsule.json']) {
    const place = file.replaceAll(path.sep, '/');
    const { status } = await ask(port, `/api/capsules/${encodeURIComponent(place)}`);
    if (place.includes('/') && status === 200) answered.push(place);
  }
  assert.equal(listed.length, 6);
  assert.deepEqual(answered.sort(), listed.sort());
  const several = await ask(port, '/api/capsules/capsule.json');
  assert.equal(several.status, 409);
  await vault.close();
  const { status } = await ask(port, `/api/capsules/${encodeURIComponent('identity/capsule.json')}`);
  assert.equal(status, 503);
});

test('a capsule that is larger than the vault takes is not given by any name', async (t) => {
  const place = temporaryVault(t);
  const large = `capsules/nova-001/nova-001.capsule`;
  fs.mkdirSync(path.dirname(place.path(large)), { recursive: true });
  fs.writeFileSync(place.path(large), capsuleOf('nova-001', 1, ['x'.repeat(2000)]));
  for (const [maxCapsuleBytes, expected] of [
    [1000, 422],
    [10_000, 200],
  ]) {
    const vault = await Vault.open(place.root, { cacheDir: null, maxCapsuleBytes });
    atEnd(t, () => vault.close());
    const { port } = await serve(t, createCapsuleHandler(vault));
    for (const name of ['nova', 'nova-001.capsule', large]) {
      const { status } = await ask(port, `/api/capsules/${encodeURIComponent(name)}`);
      assert.equal(status, expected, `${name} ${maxCapsuleBytes}`);
    }
  }
});

test('HEAD, ETag and 304', async (t) => {
  const { port, write } = await serveVault(t);
  write('instances/nova-001/nova-001.capsule', capsuleOf('Nova'));
  for (const place of ['/api/capsules', '/api/capsules/nova-001']) {
    const got = await ask(port, place);
    const { etag } = got.headers;
    assert.equal(etag, `"${crypto.createHash('sha256').update(got.text).digest('hex')}"`);
    const head = await ask(port, place, { method: 'HEAD' });
    assert.deepEqual([head.status, head.text, head.headers.etag], [200, '', etag]);
    assert.equal(head.headers['content-length'], String(Buffer.byteLength(got.text)));
    for (const known of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      const kept = await ask(port, place, { headers: { 'if-none-match': known } });
      assert.deepEqual([kept.status, kept.text, kept.headers.etag], [304, '', etag]);
    }
    assert.equal((await ask(port, place, { headers: { 'if-none-match': '"x"' } })).status, 200);
  }
  const missing = await ask(port, '/api/capsules/nobody', { method: 'HEAD' });
  assert.deepEqual([missing.status, missing.text], [404, '']);
});

test('stores what is sent, byte for byte, or says why not', async (t) => {
  const { port, root } = await serveVault(t, { maxBodyBytes: 5000 });
  const post = (/** @type {string | Buffer} */ body, headers = {}) =>
    ask(port, '/api/capsules', { method: 'POST', headers: { ...JSON_HEADERS, ...headers }, body });
  const capsule = capsuleOf('Nova').replace('"kept"', '"k\\u0065pt"');
  const stored = await post(capsule, { 'content-type': 'Application/JSON; charset=UTF-8' });
  const name = capsuleFilename('Nova', '2026-01-01T00:00:00.000000+00:00');
  assert.deepEqual([stored.status, JSON.parse(stored.text)], [201, { success: true, capsule: name }]);
  assert.equal(fs.readFileSync(path.join(root, 'capsules/Nova', name), 'utf8'), capsule);

  for (const [body, headers, status] of /** @type {[string | Buffer, object, number][]} */ ([
    ['not JSON', {}, 400],
    ['', {}, 400],
    ['[]', {}, 400],
    ['{}', {}, 400],
    [capsuleOf('../x'), {}, 400],
    [capsuleOf('Nova', 2).replace('kept', 'lost'), {}, 422],
    [capsuleOf('Nova', 2, ['x'.repeat(5000)]), {}, 413],
    [capsuleOf('Nova', 2, ['x'.repeat(5000)]), { 'transfer-encoding': 'chunked' }, 413],
    [capsuleOf('Nova', 2), { 'content-type': 'text/plain' }, 415],
    [capsuleOf('Nova', 2), { 'content-type': 'application/json; charset=latin1' }, 415],
    [capsuleOf('Nova', 2), { 'content-encoding': 'gzip' }, 415],
    [zlib.gzipSync(capsuleOf('Nova', 2)), { 'content-encoding': 'GZIP' }, 415],
    [capsuleOf('Nova', 2), { origin: 'http://evil.example' }, 403],
    [capsuleOf('Nova', 2), { origin: 'null' }, 403],
  ])) {
    const answer = await post(body, headers);
    assert.equal(answer.status, status, answer.text);
    assert.equal(JSON.parse(answer.text).success, false);
    assert.ok(!answer.text.includes(root));
  }
  assert.deepEqual(fs.readdirSync(path.join(root, 'capsules')), ['Nova']);
  const own = { origin: `http://127.0.0.1:${port}`, 'content-encoding': 'identity' };
  assert.equal((await post(capsuleOf('Nova', 3), own)).status, 201);
});

test('a body without end is refused while it comes, and one that breaks off is forgotten', async (t) => {
  const { port, root, server } = await serveVault(t, { maxBodyBytes: 100_000 });
  const head = `POST /api/capsules HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
  const endless = net.connect(port, '127.0.0.1');
  endless.on('error', () => {});
  endless.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
  const chunk = `10000\r\n${' '.repeat(0x10000)}\r\n`;
  const sending = setInterval(() => endless.write(chunk), 1);
  atEnd(t, () => clearInterval(sending));
  const [answer] = await once(endless, 'data');
  assert.match(String(answer), /^HTTP\/1\.1 413 /);
  await once(endless, 'close');
  clearInterval(sending);

  const vanishing = net.connect(port, '127.0.0.1');
  await once(vanishing, 'connect');
  vanishing.write(`${head}Content-Length: 1000\r\n\r\n{`);
  await delay(50);
  vanishing.destroy();
  for (let waited = 0; ; waited += 1) {
    const count = await new Promise((resolve) => server.getConnections((_, found) => resolve(found)));
    if (count === 0) break;
    assert.ok(waited < 200);
    await delay(10);
  }
  assert.deepEqual(fs.readdirSync(path.join(root, 'capsules')), []);
});

test('only this machine is served, by its own names, where nobody authorizes', async (t) => {
  const { port } = await serveVault(t, {}, (handler) => (request, response) => {
    const address = request.headers['x-test-address'];
    if (address) Object.defineProperty(request.socket, 'remoteAddress', { value: address });
    handler(request, response);
  });
  for (const [headers, status] of /** @type {[Record<string, string>, number][]} */ ([
    [{}, 200],
    [{ 'x-test-address': '::1' }, 200],
    [{ 'x-test-address': '::ffff:127.0.0.1' }, 200],
    [{ 'x-test-address': '127.8.9.1' }, 200],
    [{ 'x-test-address': '10.0.0.1' }, 403],
    [{ 'x-test-address': '::ffff:10.127.0.0.1' }, 403],
    [{ 'x-test-address': 'fe80::1' }, 403],
    [{ host: 'localhost' }, 200],
    [{ host: `localhost:${port}` }, 200],
    [{ host: '[::1]:80' }, 200],
    [{ host: 'app.localhost' }, 200],
    [{ host: 'evil.example' }, 403],
    [{ host: '127.0.0.1.evil.example' }, 403],
    [{ host: 'localhost.evil.example:80' }, 403],
    [{ host: 'a b' }, 403],
    [{ 'x-forwarded-for': '10.0.0.1' }, 403],
    [{ forwarded: 'for=10.0.0.1' }, 403],
    [{ 'x-real-ip': '10.0.0.1' }, 403],
    [{ 'x-forwarded-host': 'vault.example' }, 403],
    [{ 'x-forwarded-proto': 'https' }, 403],
    [{ 'cf-connecting-ip': '10.0.0.1' }, 403],
    [{ via: '1.1 proxy' }, 403],
  ])) {
    const answer = await ask(port, '/api/capsules', { headers });
    assert.equal(answer.status, status, JSON.stringify(headers));
    assert.equal(JSON.parse(answer.text).success, status === 200);
  }
});

test('authorize decides, and its failure tells nothing', async (t) => {
  const logged = t.mock.method(console, 'error', () => {});
  const authorize = async (/** @type {http.IncomingMessage} */ { headers }) => {
    if (headers.authorization === 'throw') throw new Error('secret\r\n\u009b31m\u202e');
    if (headers.authorization === 'throw what is no text') throw Object.create(null);
    if (headers.authorization?.startsWith('VVAULT_')) {
      throw Object.assign(new Error('secret'), { code: headers.authorization, headers: { 'x-bad': 'secret' } });
    }
    return headers.authorization === 'yes';
  };
  const { port } = await serveVault(t, { authorize });
  const statusOf = async (/** @type {string} */ authorization, method = 'GET', place = '/api/capsules') => {
    const headers = { authorization, host: 'vault.example', ...JSON_HEADERS };
    const answer = await ask(port, place, { method, headers, body: method === 'POST' ? capsuleOf('Nova') : undefined });
    assert.doesNotMatch(answer.text, /secret/);
    assert.equal(answer.headers['x-bad'], undefined);
    return answer.status;
  };
  assert.equal(await statusOf('yes'), 200);
  for (const place of ['/api/capsules', '/api/capsules/x', '/api/capsules/events']) {
    assert.equal(await statusOf('no', 'GET', place), 401);
    assert.equal(await statusOf('throw', 'GET', place), 500);
  }
  assert.equal(await statusOf('no', 'POST'), 401);
  assert.equal(await statusOf('yes', 'POST'), 201);
  for (const code of ['VVAULT_UNSOUND', 'VVAULT_INVALID_ARGUMENT', 'VVAULT_BUSY', 'VVAULT_CLOSED']) {
    assert.equal(await statusOf(code), 500, 'what the vault would be answered for');
  }
  assert.equal(await statusOf('throw what is no text'), 500);
  assert.equal(logged.mock.callCount(), 8);
  assert.match(logged.mock.calls[0].arguments.join(' '), /authorize failed.*secret/);
  for (const { arguments: told } of logged.mock.calls) assert.doesNotMatch(told.join(' '), /[\p{Cc}\p{Cf}]/u);
});

test('other methods and other paths', async (t) => {
  const { port } = await serveVault(t);
  for (const [method, place, status, allow] of /** @type {[string, string, number, string | undefined][]} */ ([
    ['PUT', '/api/capsules', 405, 'GET, HEAD, POST'],
    ['DELETE', '/api/capsules/x', 405, 'GET, HEAD'],
    ['POST', '/api/capsules/x', 405, 'GET, HEAD'],
    ['POST', '/api/capsules/events', 405, 'GET, HEAD'],
    ['OPTIONS', '/api/capsules', 405, 'GET, HEAD, POST'],
    ['GET', '/', 404, undefined],
    ['GET', '/api/capsulesque', 404, undefined],
    ['GET', '/api', 404, undefined],
    ['GET', '//api/capsules', 404, undefined],
    ['GET', '/api/capsules/', 200, undefined],
    ['GET', '/api/capsules?x=/../y', 200, undefined],
    ['GET', 'http://localhost/api/capsules', 200, undefined],
  ])) {
    const answer = await ask(port, place, { method, body: method === 'POST' ? '{}' : undefined });
    assert.deepEqual([answer.status, answer.headers.allow], [status, allow], `${method} ${place}`);
  }
});

test('mounted as Express does it, with a parsed body or without', async (t) => {
  /** @type {unknown} */
  let body;
  let consume = false;
  const { port, root } = await serveVault(t, {}, (handler) => async (/** @type {any} */ request, response) => {
    request.originalUrl = request.url;
    for (const mount of ['/api/capsules', '/v']) {
      if (!request.url.startsWith(mount)) continue;
      request.baseUrl = mount;
      request.url = request.url.slice(mount.length);
      if (!request.url.startsWith('/')) request.url = `/${request.url}`;
    }
    if (consume) for await (const _ of request);
    if (body !== undefined) request.body = body;
    await handler(request, response, () => response.writeHead(418).end());
  });
  const statusOf = async (/** @type {string} */ method, /** @type {string} */ place, text = '') =>
    (await ask(port, place, { method, headers: JSON_HEADERS, body: method === 'POST' ? text : undefined })).status;
  assert.equal(await statusOf('GET', '/api/capsules'), 200);
  assert.equal(await statusOf('GET', '/api/capsules/?x'), 200);
  assert.equal(await statusOf('GET', '/api/capsules/nobody'), 404);
  assert.equal(await statusOf('GET', '/v/api/capsules'), 200);
  assert.equal(await statusOf('GET', '/v/other'), 418);
  assert.equal(await statusOf('OPTIONS', '/api/capsules'), 418);

  assert.equal(await statusOf('POST', '/api/capsules', capsuleOf('Plain')), 201);
  body = {};
  assert.equal(await statusOf('POST', '/api/capsules', capsuleOf('Unparsed')), 201);
  consume = true;
  body = Buffer.from(capsuleOf('Raw'));
  assert.equal(await statusOf('POST', '/api/capsules', 'x'), 201);
  body = capsuleOf('Text');
  assert.equal(await statusOf('POST', '/api/capsules', 'x'), 201);
  body = JSON.parse(capsuleOf('Object'));
  assert.equal(await statusOf('POST', '/api/capsules', 'x'), 201);
  body = JSON.parse(capsuleOf('Changed').replace('kept', 'lost'));
  const explained = await ask(port, '/api/capsules', { method: 'POST', headers: JSON_HEADERS, body: 'x' });
  assert.equal(explained.status, 422);
  assert.match(JSON.parse(explained.text).error, /JSON\.parse/);
  body = undefined;
  assert.equal(await statusOf('POST', '/api/capsules', 'x'), 400);
  assert.deepEqual(fs.readdirSync(path.join(root, 'capsules')).sort(), ['Object', 'Plain', 'Raw', 'Text', 'Unparsed']);
});

test('imports are told as they happen, and again to those who come back', async (t) => {
  const { port, vault, handler } = await serveVault(t);
  const listeners = () => vault.listenerCount('capsule:imported');
  const before = listeners();
  const first = await listen(port);
  assert.match(String(first.response.headers['content-type']), /^text\/event-stream/);
  const [start] = /id: (.+)\n/.exec(await first.until(/\n\n/)) ?? assert.fail();
  await vault.storeCapsule(capsuleOf('Nova', 1));
  const told = await first.until(/data: .*\n\n/);
  const [, id, data] = /event: imported\nid: (.+)\ndata: (.+)\n\n/.exec(told) ?? assert.fail(told);
  const event = JSON.parse(data);
  assert.deepEqual(
    [event.kind, event.format, event.instanceName, event.path, event.memoryCount, event.memories],
    ['imported', 'construct', 'Nova', `capsules/Nova/${capsuleFilename('Nova', event.timestamp)}`, 1, undefined],
  );
  first.close();

  await vault.storeCapsule(capsuleOf('Nova', 2));
  const second = await listen(port, { 'last-event-id': id });
  const missed = await second.until(/Nova-2/);
  assert.doesNotMatch(missed, /Nova-1|reset/);
  const fromStart = await listen(port, { 'last-event-id': start.slice(4).trim() });
  assert.match(await fromStart.until(/Nova-2/), /Nova-1/);
  const unknown = await listen(port, { 'last-event-id': 'unknown' });
  assert.doesNotMatch(await unknown.until(/event: reset\n/), /Nova-/);
  const head = await ask(port, '/api/capsules/events', { method: 'HEAD' });
  assert.deepEqual([head.status, head.text], [200, '']);
  assert.equal(listeners(), before, 'one listener, however many clients');

  const ended = once(second.response, 'end');
  handler.close();
  await ended;
  assert.equal(listeners(), before - 1);
  const late = await listen(port);
  await once(late.response, 'end');
});

test('a watched vault tells of other writers, with its cursors', async (t) => {
  const { port, vault, write } = await serveVault(t);
  const watched = await Vault.open(vault.root, { watch: true, cacheDir: null });
  atEnd(t, () => watched.close());
  const { port: other } = await serve(t, createCapsuleHandler(watched));
  const stream = await listen(other);
  write('users/ann/instances/nova-001/nova-001.capsule', capsuleOf('Nova'));
  const told = await stream.until(/data: .*\n\n/);
  const [, id, data] = /id: (.+)\ndata: (.+)\n\n$/.exec(told) ?? assert.fail(told);
  assert.deepEqual([JSON.parse(data).cursor, JSON.parse(data).userId], [id, 'ann']);
  stream.close();
  assert.equal((await ask(port, '/api/capsules/nova-001')).status, 200);
});

test('what is kept for those who come back has bounds, and heartbeats come', async (t) => {
  /** @type {{ beat: () => void, every: number }[]} */
  const hearts = [];
  const { port, vault } = await serveVault(t);
  const { setInterval: real } = globalThis;
  t.mock.method(globalThis, 'setInterval', (/** @type {() => void} */ beat, /** @type {number} */ every) => {
    hearts.push({ beat, every });
    return real(() => {}, 0x7fffffff);
  });
  const stream = await listen(port);
  const [, start] = /id: (.+)\n/.exec(await stream.until(/\n\n/)) ?? assert.fail();
  assert.deepEqual(
    hearts.map(({ every }) => every),
    [15_000],
  );
  hearts[0].beat();
  await stream.until(/\n\n: heartbeat\n\n/);
  for (let place = 0; place < 3000; place += 1) {
    const cursor = `cursor-${place}`;
    const event = {
      kind: 'imported',
      path: path.join(vault.root, 'x'),
      timestamp: timestampOf(place),
      memories: null,
      cursor,
    };
    // What a capsule calls itself has any size; a cursor is checked all the same.
    if (place === 1500) Object.assign(event, { instanceName: 'x'.repeat(100_000), cursor: 'bad\n\ndata: injected' });
    vault.emit('capsule:imported', /** @type {any} */ (event));
    if (place % 100 === 0) await delay(1);
  }
  await stream.until(/id: cursor-2999\n/);
  assert.doesNotMatch(stream.text(), /^data: injected|xxxx/m);
  stream.close();
  const tooLate = await listen(port, { 'last-event-id': start });
  await tooLate.until(/event: reset\nid: cursor-2999\n/);
  tooLate.close();
  const resumed = await listen(port, { 'last-event-id': 'cursor-2100' });
  assert.equal((await resumed.until(/id: cursor-2999\n[^\n]*\n\n/)).match(/event: imported/g)?.length, 899);
  resumed.close();
});

test('events that share a cursor, as those that a call has met, have ids of their own', async (t) => {
  const { port, vault } = await serveVault(t);
  const stream = await listen(port);
  await stream.until(/\n\n/);
  for (const name of ['a', 'b', 'c']) {
    const event = { kind: 'imported', path: path.join(vault.root, name), memories: null, cursor: 'shared' };
    vault.emit('capsule:imported', /** @type {any} */ (event));
  }
  const [first] = /(?<=event: imported\nid: ).+/.exec(await stream.until(/"path":"c"/)) ?? assert.fail();
  stream.close();
  const resumed = await listen(port, { 'last-event-id': first });
  const missed = await resumed.until(/"path":"c"/);
  assert.deepEqual(missed.match(/"path":"."/g), ['"path":"b"', '"path":"c"']);
  resumed.close();
});

test('a client that does not read is let go', async (t) => {
  const { port, vault, server } = await serveVault(t);
  const slow = net.connect(port, '127.0.0.1');
  slow.on('error', () => {});
  slow.write('GET /api/capsules/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await once(slow, 'readable');
  const quick = await listen(port);
  const event = { kind: 'imported', path: vault.root, instanceName: 'x'.repeat(10_000), memories: [] };
  const connections = () => new Promise((resolve) => server.getConnections((_, count) => resolve(count)));
  let sent = 0;
  while ((await connections()) > 1) {
    assert.ok(sent < 20_000, 'still there');
    vault.emit('capsule:imported', /** @type {any} */ (event));
    sent += 1;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(sent > 100, 'not before a megabyte is waiting');
  await quick.until(new RegExp(`id: .*\\.${sent}\n`));
  quick.close();
});

test('a client that takes no answer is let go', async (t) => {
  /** @type {number[]} */
  const limits = [];
  const { port, write } = await serveVault(t, {}, (handler) => (request, response) => {
    const { setTimeout: real } = response;
    response.setTimeout = (milliseconds, callback) => {
      limits.push(milliseconds);
      return real.call(response, 200, callback);
    };
    handler(request, response);
  });
  write('instances/nova-001/nova-001.capsule', capsuleOf('Nova', 1, ['x'.repeat(30_000_000)]));
  assert.equal((await ask(port, '/api/capsules/nova-001')).status, 200);
  const stalled = net.connect(port, '127.0.0.1');
  stalled.on('error', () => {});
  stalled.write('GET /api/capsules/nova-001 HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await once(stalled, 'readable');
  await delay(1000);
  let taken = 0;
  stalled.on('data', (piece) => {
    taken += piece.length;
  });
  await once(stalled, 'close');
  assert.ok(taken < 30_000_000);
  assert.deepEqual(limits, [60_000, 60_000]);
});

test('a construct or a path costs its own file, not a look at all', async (t) => {
  const { port, vault, write, root } = await serveVault(t);
  write('users/ann/instances/nova-001/identity/nova-001.capsule', capsuleOf('Nova', 1));
  write('users/ann/instances/nova-001/identity/capsule.json', capsuleOf('Nova', 2));
  const linked = 'users/ann/instances/eve-001/eve-001.capsule';
  write('users/ann/kept/eve-001.capsule', capsuleOf('Eve'));
  fs.mkdirSync(path.join(root, path.dirname(linked)), { recursive: true });
  fs.symlinkSync(path.join(root, 'users/ann/kept/eve-001.capsule'), path.join(root, linked));
  const discover = t.mock.method(vault, 'discoverCapsules');
  const get = async (/** @type {string} */ name) => {
    const { status, text } = await ask(port, `/api/capsules/${encodeURIComponent(name)}`);
    return status === 200 ? text.slice('{"success":true,"capsule":'.length, -1) : status;
  };
  assert.equal(await get('gpt-nova-001'), capsuleOf('Nova', 2));
  assert.equal(await get('users/ann/instances/nova-001/identity/nova-001.capsule'), capsuleOf('Nova', 1));
  assert.equal(await get('users/ann/instances/nova-001/identity/capsule.json'), capsuleOf('Nova', 2));
  assert.equal(await get('eve'), capsuleOf('Eve'), 'readers follow a link inside of the vault');
  assert.equal(await get(linked), 404, 'the list has no links');
  for (const name of [
    'users/ann/../ann/instances/nova-001/identity/nova-001.capsule',
    'users//ann/instances/nova-001/identity/nova-001.capsule',
    './users/ann/instances/nova-001/identity/nova-001.capsule',
    '/users/ann/instances/nova-001/identity/nova-001.capsule',
    'users/ann/instances/nova-001/identity/nova-001.capsule/.capsule',
    'users/ann/instances/\0.capsule',
    'users/ann.capsule/x.capsule',
  ]) {
    assert.equal(await get(name), 404, name);
  }
  assert.equal(discover.mock.callCount(), 0);
  assert.equal(await get('nova-001.capsule'), capsuleOf('Nova', 1));
  assert.equal(discover.mock.callCount(), 1);
});

test('a capsule that moves or is replaced while it is asked for is given all the same', async (t) => {
  const { port, write, root } = await serveVault(t);
  const [one, other] = ['nova-001.capsule', 'identity/nova-001.capsule'].map((file) => `instances/nova-001/${file}`);
  const real = files.realpath;
  const during = async (/** @type {string} */ name, /** @type {() => void} */ change) => {
    const looked = t.mock.method(files, 'realpath', (/** @type {string} */ file) => {
      if (looked.mock.callCount() === 0) change();
      return real(file);
    });
    const { status, text } = await ask(port, `/api/capsules/${name}`);
    looked.mock.restore();
    return [status, text];
  };
  const answer = (/** @type {number} */ day) => [200, `{"success":true,"capsule":${capsuleOf('Nova', day)}}`];
  write(one, capsuleOf('Nova', 1));
  const replace = () => {
    write(other, capsuleOf('Nova', 2));
    fs.rmSync(path.join(root, one));
  };
  assert.deepEqual(await during('nova', replace), answer(2));
  const move = () => fs.renameSync(path.join(root, other), path.join(root, one));
  assert.deepEqual(await during('nova-001.capsule', move), answer(2));
  const remove = () => fs.rmSync(path.join(root, one));
  assert.equal((await during('nova', remove))[0], 404);
});

test('copies elsewhere are nobody’s, and give way to what is in its place', async (t) => {
  const { port, write } = await serveVault(t);
  const given = async (/** @type {string} */ name) => {
    const { status, text } = await ask(port, `/api/capsules/${name}`);
    return status === 200 ? JSON.parse(text).capsule.metadata.uuid : status;
  };
  for (const month of ['2026-01', '2026-02']) write(`backups/${month}/capsules/Nova/x.capsule`, capsuleOf('Nova', 3));
  assert.equal(await given('x.capsule'), 'Nova-3');
  write('capsules/Nova/x.capsule', capsuleOf('Nova', 1));
  assert.equal(await given('x.capsule'), 'Nova-1');

  write('users/shard_0001/ann/instances/luna-001/identity/luna.capsule', capsuleOf('Luna', 1));
  for (const copy of ['users/shard_0001/ann/old', 'users/shard_0001/ann/old/instances/luna-001', 'backups/users/bob']) {
    write(`${copy}/luna.capsule`, capsuleOf('Luna', 2));
  }
  assert.equal(await given('luna.capsule'), 'Luna-1');
  write('users/shard_0001/ann/instances/luna-001/memup/luna.capsule', capsuleOf('Luna', 3));
  assert.equal(await given('luna.capsule'), 'Luna-3');
  write('users/shard_0001/bob/instances/luna-001/identity/luna.capsule', capsuleOf('Luna', 4));
  assert.equal(await given('luna.capsule'), 409);
});

test('of files of one name the newest is given, wherever the server is', async (t) => {
  keepTimeZone(t);
  const { port, write } = await serveVault(t);
  const capsule = (/** @type {string} */ timestamp) =>
    makeCapsule({ instanceName: 'Nova', uuid: timestamp, timestamp, memories: [] });
  const ascending = [
    '2026-01-01',
    '2026-01-01T19:20:31.402118',
    '2026-01-01 20:00:00.5+0000',
    '2026-01-01 21:00:00',
    '2026-01-01T22:00:00Z',
    '2026-01-01T18:00:00-05:00',
  ];
  for (const place of ascending.keys()) {
    const [older, newer] = [ascending[place - 1] ?? 'yesterday', ascending[place]];
    // What was written last does not decide.
    write('instances/nova-001/identity/nova-001.capsule', capsule(newer));
    write('instances/nova-001/nova-001.capsule', capsule(older));
    for (const TZ of ['America/Los_Angeles', 'Asia/Tokyo']) {
      process.env.TZ = TZ;
      const { text } = await ask(port, '/api/capsules/nova-001.capsule');
      assert.equal(JSON.parse(text).capsule.metadata.uuid, newer, TZ);
    }
  }
});

test('a construct that is called as the events are has a way to be asked for', async (t) => {
  const { port, url, write } = await serveVault(t);
  write('instances/events/events.capsule', capsuleOf('events'));
  assert.equal((await ask(port, '/api/capsules/%65vents')).text, `{"success":true,"capsule":${capsuleOf('events')}}`);
  const client = new VVAULTClient({ mode: 'http', baseUrl: url, capsuleIds: ['events'], timeoutMs: 2000 });
  assert.deepEqual({ ...(await client.loadAllCapsules()) }, { events: JSON.parse(capsuleOf('events')) });
});

test('requests that come at once share a look at all', async (t) => {
  const { port, vault, write, server } = await serveVault(t);
  write('capsules/Nova/x.capsule', capsuleOf('Nova'));
  const { promise: opened, resolve: open } = gate();
  const real = vault.discoverCapsules.bind(vault);
  const discover = t.mock.method(vault, 'discoverCapsules', () => opened.then(real));
  let asked = 0;
  server.on('request', () => {
    asked += 1;
  });
  const answers = Array.from({ length: 40 }, () => ask(port, '/api/capsules'));
  await until(async () => asked === 40);
  write('capsules/Nova/y.capsule', capsuleOf('Nova', 2));
  open();
  for (const { text } of await Promise.all(answers)) assert.equal(JSON.parse(text).count, 2);
  assert.equal(discover.mock.callCount(), 2, 'one for the first, one for all that came after it had begun');
  write('capsules/Nova/z.capsule', capsuleOf('Nova', 3));
  assert.equal(JSON.parse((await ask(port, '/api/capsules')).text).count, 3);
});

test('the tether that the vault expects is demanded here too', async (t) => {
  const place = temporaryVault(t);
  const vault = await Vault.open(place.root, { create: true, expectedTetherSignature: 'ANOTHER' });
  atEnd(t, () => vault.close());
  const { port } = await serve(t, createCapsuleHandler(vault));
  fs.mkdirSync(place.path('capsules/Nova'), { recursive: true });
  fs.writeFileSync(place.path('capsules/Nova/x.capsule'), capsuleOf('Nova'));
  for (const name of ['x.capsule', 'capsules%2FNova%2Fx.capsule', 'Nova']) {
    assert.equal((await ask(port, `/api/capsules/${name}`)).status, 422, name);
  }
});

test('a body that comes too slowly is let go', async (t) => {
  const { port, server } = await serveVault(t);
  server.requestTimeout = 0;
  const real = globalThis.setTimeout;
  t.mock.method(globalThis, 'setTimeout', (/** @type {() => void} */ then, /** @type {number} */ after) =>
    real(then, after === 120_000 ? 100 : after),
  );
  const slow = net.connect(port, '127.0.0.1');
  slow.on('error', () => {});
  slow.write('POST /api/capsules HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n');
  slow.write('Content-Length: 1000\r\n\r\n');
  const drip = setInterval(() => slow.write(' '), 10);
  atEnd(t, () => clearInterval(drip));
  const [answer] = await once(slow, 'data');
  assert.match(String(answer), /^HTTP\/1\.1 408 /);
  assert.match(String(answer), /\r\nConnection: close\r\n/i);
  // What drips into the closed connection may be answered by a reset.
  await new Promise((resolve) => slow.once('close', resolve));
});

test('what a refused request sends after it is no request', async (t) => {
  const { port, root } = await serveVault(t, { maxBodyBytes: 5000 });
  const inner = `POST /api/capsules HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: `;
  const capsule = capsuleOf('Smuggled');
  const hidden = `${inner}${Buffer.byteLength(capsule)}\r\n\r\n${capsule}`;
  for (const head of [
    `POST /api/capsules HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${hidden.length + 10_000}\r\n\r\n`,
    `POST /api/capsules HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `GET /api/capsules/nobody HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${hidden.length}\r\n\r\n`,
    `HEAD /api/capsules/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${hidden.length}\r\n\r\n`,
  ]) {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(head + hidden);
    const [answer] = await once(socket, 'data');
    assert.match(String(answer), /^HTTP\/1\.1 /);
    await delay(20);
    socket.destroy();
  }
  assert.deepEqual(fs.readdirSync(path.join(root, 'capsules')), []);
});

test('who listens is told by the end of the stream that the vault was closed', async (t) => {
  const { port, vault } = await serveVault(t);
  const { response } = await listen(port);
  const ended = once(response, 'end');
  await vault.close();
  await ended;
  const late = await ask(port, '/api/capsules/events');
  assert.deepEqual([late.status, JSON.parse(late.text)], [503, { success: false, error: 'The vault is closed' }]);
});

test('a vault has one listener, however many handlers, and none when all are closed', async (t) => {
  const { vault, handler } = await serveVault(t);
  /** @type {Error[]} */
  const warnings = [];
  const warned = (/** @type {Error} */ warning) => warnings.push(warning);
  process.on('warning', warned);
  atEnd(t, () => process.off('warning', warned));
  const others = Array.from({ length: 11 }, () => createCapsuleHandler(vault));
  const { port } = await serve(t, others[10]);
  const stream = await listen(port);
  atEnd(t, () => stream.close());
  const count = () => ['capsule:imported', 'close'].map((name) => vault.listenerCount(name));
  assert.deepEqual([count(), warnings], [[1, 1], []]);
  for (const each of [handler, ...others.slice(0, 10)]) each.close();
  handler.close();
  await vault.storeCapsule(capsuleOf('Nova'));
  await stream.until(/event: imported/);
  others[10].close();
  assert.deepEqual(count(), [0, 0]);
});

test('an option that there is not is refused', async (t) => {
  const { vault } = await serveVault(t);
  assert.throws(() => createCapsuleHandler(vault, /** @type {any} */ ({ authorise: () => false })), {
    code: 'VVAULT_INVALID_ARGUMENT',
    message: /authorise/,
  });
});

test('so many listen to the events and no more, and one that is stuck is let go', async (t) => {
  /** @type {(() => void)[]} */
  const hearts = [];
  const { setInterval: real } = globalThis;
  t.mock.method(globalThis, 'setInterval', (/** @type {() => void} */ beat, /** @type {number} */ every) => {
    if (every === 15_000) hearts.push(beat);
    return real(() => {}, 0x7fffffff);
  });
  /** @type {http.ServerResponse[]} */
  const responses = [];
  const { port, vault, server } = await serveVault(t, {}, (handler) => (request, response) => {
    responses.push(response);
    handler(request, response);
  });
  const stuck = net.connect(port, '127.0.0.1');
  stuck.on('error', () => {});
  stuck.write('GET /api/capsules/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await once(stuck, 'readable');
  const listeners = await Promise.all(Array.from({ length: 127 }, () => listen(port)));
  const refused = await ask(port, '/api/capsules/events');
  assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '30']);
  const connections = () => new Promise((resolve) => server.getConnections((_, count) => resolve(count)));
  // As much as the system takes, and then a little that waits here.
  const event = { kind: 'imported', path: vault.root, instanceName: 'x'.repeat(10_000), memories: [] };
  while (responses[0].writableLength === 0) {
    vault.emit('capsule:imported', /** @type {any} */ (event));
    await delay(1);
  }
  assert.equal(await connections(), 128);
  for (let beats = 0; beats < 6; beats += 1) {
    hearts[0]();
    await delay(20);
  }
  await until(async () => (await connections()) === 127);
  const next = await listen(port);
  assert.equal(next.response.statusCode, 200);
  for (const { close } of [...listeners, next]) close();
  await until(async () => (await connections()) === 0);
});

test('whatever is given as the last event is compared, and nothing else', async (t) => {
  const { port } = await serveVault(t);
  for (const last of ['x'.repeat(15_000), '-1', '../../etc/passwd', '\u00ff\u00fe', '__proto__', '0']) {
    const stream = await listen(port, { 'last-event-id': last });
    assert.match(await stream.until(/\n\n/), /^retry: 3000\nevent: reset\nid: [\x20-\x7e]+\ndata: \{\}\n\n$/);
    stream.close();
  }
});

test('a client that takes an answer too slowly is let go', async (t) => {
  const { port, write } = await serveVault(t);
  write('instances/nova-001/nova-001.capsule', capsuleOf('Nova', 1, ['x'.repeat(30_000_000)]));
  const real = globalThis.setTimeout;
  t.mock.method(globalThis, 'setTimeout', (/** @type {() => void} */ then, /** @type {number} */ after) =>
    real(then, after === 120_000 ? 500 : after),
  );
  const slow = net.connect(port, '127.0.0.1');
  slow.on('error', () => {});
  slow.write('GET /api/capsules/nova-001 HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await once(slow, 'readable');
  const sip = setInterval(() => slow.read(100), 10);
  await delay(1500);
  clearInterval(sip);
  let taken = 0;
  slow.on('data', (piece) => {
    taken += piece.length;
  });
  await once(slow, 'close');
  assert.ok(taken < 25_000_000, `${taken} bytes`);
});

test('wrong arguments are refused', async (t) => {
  const { vault } = await serveVault(t);
  const any = /** @type {any} */ (createCapsuleHandler);
  for (const [...given] of [
    [],
    [{}],
    [vault, { authorize: true }],
    [vault, { basePath: 'x' }],
    [vault, { basePath: '/' }],
    [vault, { basePath: '/x//y' }],
    [vault, { maxBodyBytes: 0 }],
  ]) {
    assert.throws(() => any(...given), { code: 'VVAULT_INVALID_ARGUMENT' });
  }
  t.mock.method(console, 'error', () => {});
  const { port } = await serve(t, createCapsuleHandler(vault, { basePath: '/my/capsules/' }));
  assert.equal((await ask(port, '/my/capsules')).status, 200);
  await vault.close();
  const closed = await ask(port, '/my/capsules');
  assert.deepEqual([closed.status, JSON.parse(closed.text)], [503, { success: false, error: 'The vault is closed' }]);
});

test('requests that wait behind another answer are let go of with their connection', async (t) => {
  const authorize = t.mock.fn(() => true);
  /** @type {Promise<void>[]} */
  const asked = [];
  const { port, server } = await serveVault(t, { authorize }, (handler) => (req, res) => {
    // Else somebody else's answer, which never comes.
    if (req.headers['x-slow'] === undefined) asked.push(handler(req, res));
  });
  const connected = once(server, 'connection');
  const client = net.connect(port, '127.0.0.1');
  const request = (/** @type {string} */ place, more = '') => `GET ${place} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`;
  const others = ['/api/capsules', '/api/capsules/events', ...Array(20).fill('/api/capsules/nobody')];
  client.write(request('/api/capsules', 'X-Slow: 1\r\n') + others.map((place) => request(place)).join(''));
  const [socket] = await connected;
  await until(async () => asked.length === others.length);
  assert.equal(socket.listenerCount('close') < 10, true);
  client.destroy();
  await Promise.all(asked);
  assert.equal(authorize.mock.callCount(), 0);
});

test('of a capsule that is asked for nothing is parsed by the server, and the whole once by the client', async (t) => {
  const { port, url, vault } = await serveVault(t);
  const name = path.basename(await vault.storeCapsule(capsuleOf('Nova', 1, ['the only one'])));
  const { parse } = JSON;
  let parsed = 0;
  t.mock.method(JSON, 'parse', (/** @type {string} */ text) => {
    if (String(text).includes('the only one')) parsed += 1;
    return parse(text);
  });
  for (const asked of ['Nova', name]) assert.equal((await ask(port, `/api/capsules/${asked}`)).status, 200);
  assert.equal(parsed, 0);
  const { Nova } = await new VVAULTClient({ mode: 'http', baseUrl: url, capsuleIds: ['Nova'] }).loadAllCapsules();
  assert.match(JSON.stringify(Nova), /the only one/);
  assert.equal(parsed, 1);
});
