'use strict';

// Capsules loaded at boot, from a folder and over HTTP, from servers of every kind.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const zlib = require('node:zlib');

const native = require('../lib/native');
const { VVAULTClient } = require('../lib/vvault-client');
const { atEnd } = require('./support/at-end');
const { serve } = require('./support/capsule-server');
const { makeCapsule } = require('./support/construct-capsules');
const { REPOSITORY, temporaryVault } = require('./support/temporary-vault');

const recorded = path.join(__dirname, 'recorded', 'capsules');
const forged = fs.readFileSync(path.join(recorded, 's1-forge-1.0.0.capsule'), 'utf8');
const tampered = fs.readFileSync(path.join(recorded, 's1-tampered.capsule'), 'utf8');

/** @param {string} capsule */
const answerWith = (capsule) => `{"success": true, "capsule": ${capsule}}`;

/** @param {string} instanceName @param {number} [day] */
const capsuleOf = (instanceName, day = 1) =>
  makeCapsule({ instanceName, uuid: `${instanceName}-${day}`, timestamp: `2026-01-0${day}T00:00:00.000000+00:00` });

/**
 * Loads one capsule from a server; gives it, or the error.
 *
 * @param {import('node:test').TestContext} t
 * @param {import('node:http').RequestListener} listener
 * @param {object} [options]
 */
async function loadFrom(t, listener, options = {}) {
  const { url } = await serve(t, listener);
  const client = new VVAULTClient({ mode: 'http', baseUrl: url, capsuleIds: ['nova-001'], ...options });
  const capsules = await client.loadAllCapsules();
  const error = client.errors.get('nova-001');
  assert.equal(Object.keys(capsules).length + client.errors.size, 1);
  return { capsule: capsules['nova-001'], code: error?.code, message: error?.message ?? '', url };
}

/** @param {import('node:test').TestContext} t @param {Record<string, string | undefined>} values */
function setEnvironment(t, values) {
  for (const [name, value] of Object.entries(values)) {
    const before = process.env[name];
    const set = (/** @type {string | undefined} */ wanted) => {
      if (wanted === undefined) delete process.env[name];
      else process.env[name] = wanted;
    };
    atEnd(t, () => set(before));
    set(value);
  }
}

test('a folder: the newest sound capsule of each, and why others are left out', async (t) => {
  const vault = temporaryVault(t);
  const write = (/** @type {string} */ name, /** @type {string} */ text) => {
    const file = vault.path('users/ann/instances', name, 'identity', `${name}.capsule`);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  };
  write('nova-001', capsuleOf('Nova', 2));
  fs.mkdirSync(vault.path('users/ann/capsules'));
  fs.writeFileSync(vault.path('users/ann/capsules/nova-002.capsule'), capsuleOf('Nova', 3).replace('INFJ', 'ENFJ'));
  write('katana-001', capsuleOf('Katana').replace('INFJ', 'ENFJ'));
  write('__proto__', capsuleOf('__proto__'));
  const capsuleIds = [
    'katana-001',
    '__proto__',
    'nobody-001',
    '../x',
    '',
    'nova-001',
    'a\0b',
    'a\\b',
    '..',
    'nova-001',
  ];
  const client = new VVAULTClient({ mode: 'filesystem', vaultPath: vault.root, capsuleIds });
  const capsules = await client.loadAllCapsules();
  assert.deepEqual(Object.keys(capsules), ['__proto__', 'nova-001']);
  assert.equal(Object.getPrototypeOf(capsules), null);
  assert.deepEqual(capsules['nova-001'], JSON.parse(capsuleOf('Nova', 2)));
  assert.deepEqual(
    [...client.errors].map(([id, { code }]) => [id, code]),
    [
      ['katana-001', 'VVAULT_UNSOUND'],
      ['nobody-001', 'VVAULT_NO_CONSTRUCT'],
      ['../x', 'VVAULT_INVALID_ARGUMENT'],
      ['', 'VVAULT_INVALID_ARGUMENT'],
      ['a\0b', 'VVAULT_INVALID_ARGUMENT'],
      ['a\\b', 'VVAULT_INVALID_ARGUMENT'],
      ['..', 'VVAULT_INVALID_ARGUMENT'],
    ],
  );
  for (const error of client.errors.values()) assert.ok(error instanceof Error);

  write('katana-001', capsuleOf('Katana'));
  assert.deepEqual(Object.keys(await client.loadAllCapsules()), ['katana-001', '__proto__', 'nova-001']);
  assert.ok(!client.errors.has('katana-001'), 'the errors are those of the last call');
});

test('a folder where several users have a construct of one name: the one who is meant', async (t) => {
  const vault = temporaryVault(t);
  for (const [day, user] of [
    [1, 'ann'],
    [2, 'bob'],
  ]) {
    const folder = vault.path(`users/${user}/instances/nova-001`);
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, 'nova-001.capsule'), capsuleOf('Nova', Number(day)));
  }
  const load = async (/** @type {string | null} */ userId) => {
    const client = new VVAULTClient({ vaultPath: vault.root, capsuleIds: ['nova-001'], userId });
    const { 'nova-001': capsule } = await client.loadAllCapsules();
    return capsule?.metadata.uuid ?? client.errors.get('nova-001')?.code;
  };
  assert.deepEqual(
    [await load('ann'), await load('bob'), await load('cyd'), await load('../..'), await load(null)],
    ['Nova-1', 'Nova-2', 'VVAULT_NO_CONSTRUCT', 'VVAULT_OUTSIDE', 'VVAULT_NO_CONSTRUCT'],
  );
  for (const options of [{ userId: '' }, { mode: 'http', baseUrl: 'http://localhost', userId: 'ann' }]) {
    const make = () => new VVAULTClient({ vaultPath: vault.root, .../** @type {any} */ (options) });
    assert.throws(make, { code: 'VVAULT_INVALID_ARGUMENT' });
  }
});

test('a file that is there and can’t be read is told as what it is', async (t) => {
  const vault = temporaryVault(t);
  const file = vault.path('instances/nova-001/nova-001.capsule');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, capsuleOf('Nova'));
  const client = new VVAULTClient({ vaultPath: vault.root, capsuleIds: ['nova-001'] });
  for (const [errorMessage, code] of [
    ['EMFILE: too many open files, open', 'VVAULT_SYSTEM'],
    ['EACCES: permission denied, open', 'VVAULT_PERMISSION'],
    ['ENOENT: no such file or directory, open', 'VVAULT_NO_CONSTRUCT'],
  ]) {
    const loading = t.mock.method(native, 'loadCapsule', async () => ({ text: () => null, errorMessage }));
    assert.deepEqual(Object.keys(await client.loadAllCapsules()), []);
    assert.equal(loading.mock.callCount(), 5, 'it may have been replaced');
    loading.mock.restore();
    const error = client.errors.get('nova-001');
    assert.deepEqual([error?.code, error?.path], [code, file]);
    assert.equal(error?.message, `${file}: ${errorMessage}`);
  }
  assert.deepEqual(Object.keys(await client.loadAllCapsules()), ['nova-001']);
});

test('the environment says which capsules, and where the vault is', async (t) => {
  const vault = temporaryVault(t);
  for (const name of ['nova-001', 'katana-001']) {
    const file = vault.path('instances', name, `${name}.capsule`);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, capsuleOf(name.slice(0, -4)));
  }
  setEnvironment(t, { VVAULT_ROOT_PATH: undefined, VVAULT_PATH: vault.root, CAPSULE_IDS: undefined });
  const client = new VVAULTClient();
  assert.deepEqual(Object.keys(await client.loadAllCapsules()), ['nova-001']);
  process.env.CAPSULE_IDS = ' katana-001, ,nova-001,katana-001 ';
  assert.deepEqual(Object.keys(await client.loadAllCapsules()), ['katana-001', 'nova-001']);
  process.env.CAPSULE_IDS = ' ,';
  assert.deepEqual(Object.keys(await client.loadAllCapsules()), ['nova-001']);
  assert.deepEqual(Object.keys(await new VVAULTClient({ capsuleIds: [] }).loadAllCapsules()), []);

  process.env.VVAULT_ROOT_PATH = vault.path('nowhere');
  const lost = new VVAULTClient();
  assert.deepEqual(Object.keys(await lost.loadAllCapsules()), []);
  assert.equal(lost.errors.get('nova-001')?.code, 'VVAULT_NO_VAULT');
  assert.match(lost.errors.get('nova-001')?.message ?? '', /nowhere: no such folder; make it$/);
  delete process.env.VVAULT_ROOT_PATH;
  delete process.env.VVAULT_PATH;
  assert.throws(() => new VVAULTClient(), { code: 'VVAULT_INVALID_ARGUMENT', message: /VVAULT_ROOT_PATH/ });
});

test('wrong options are refused, and no key is quoted', () => {
  const http = { mode: 'http', baseUrl: 'http://localhost:1' };
  for (const options of [
    null,
    { mode: 'ftp' },
    { vaultPath: 5 },
    { vaultPath: '' },
    { vaultPath: '/x', capsuleIds: 'nova-001' },
    { mode: 'http' },
    { ...http, baseUrl: 'ftp://localhost' },
    { ...http, baseUrl: 'http://user:secret@localhost' },
    { ...http, timeoutMs: 0 },
    { ...http, timeoutMs: Number.POSITIVE_INFINITY },
    { ...http, headers: { authorization: 'secret\nkey' } },
    { ...http, headers: { authorization: undefined } },
    { vaultPath: '/x', capsuleIDs: ['nova-001'] },
  ]) {
    assert.throws(
      () => new VVAULTClient(/** @type {any} */ (options)),
      (/** @type {any} */ error) => {
        assert.equal(error.code, 'VVAULT_INVALID_ARGUMENT');
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
  }
});

test('a server’s capsules are judged by their own text', async (t) => {
  /** @type {any[]} */
  const requests = [];
  const { url } = await serve(t, ({ url: asked, headers }, response) => {
    requests.push([asked, headers['x-chatty-key']]);
    const name = decodeURIComponent(asked?.split('/').at(-1)?.split('?')[0] ?? '');
    response.setHeader('content-type', 'application/json');
    if (name === 'bad') response.end(answerWith(tampered));
    else if (name.startsWith('gone')) response.writeHead(404).end('{"success": false, "error": "Capsule not\\nfound"}');
    else if (name === 'zipped') {
      response.setHeader('content-encoding', 'gzip').end(zlib.gzipSync(answerWith(forged)));
    } else response.end(answerWith(forged));
  });
  const before = fs.readdirSync(os.tmpdir()).filter((name) => name.startsWith('vvault-client-'));
  const capsuleIds = ['zipped', 'a b?&#%é', 'bad', '__proto__', 'gone', '../x'];
  const options = { mode: /** @type {const} */ ('http'), baseUrl: `${url}/sub//?key=secret`, capsuleIds };
  const client = new VVAULTClient({ ...options, headers: { 'X-Chatty-Key': 'k' } });
  const capsules = await client.loadAllCapsules();
  assert.deepEqual(Object.keys(capsules), ['zipped', 'a b?&#%é', '__proto__']);
  for (const capsule of Object.values(capsules)) assert.deepEqual(capsule, JSON.parse(forged));
  assert.deepEqual(
    [...client.errors].map(([id, { code }]) => [id, code]),
    [
      ['bad', 'VVAULT_UNSOUND'],
      ['gone', 'VVAULT_NO_CONSTRUCT'],
      ['../x', 'VVAULT_INVALID_ARGUMENT'],
    ],
  );
  assert.match(client.errors.get('gone')?.message ?? '', /Capsule not found$/);
  for (const { message } of client.errors.values()) assert.doesNotMatch(message, /secret/);
  // What is not there is also asked for by the name of a file, as VVAULT's own server has it.
  assert.equal(requests.length, 6);
  for (const [asked, key] of requests) {
    assert.match(asked, /^\/sub\/api\/capsules\/[^/]+\?key=secret$/);
    assert.equal(key, 'k');
  }
  const after = fs.readdirSync(os.tmpdir()).filter((name) => name.startsWith('vvault-client-'));
  assert.deepEqual(after, before, 'nothing is left of what was received');
});

test('every recorded capsule is judged over HTTP as in a file', async (t) => {
  const names = fs.readdirSync(recorded).filter((name) => name.endsWith('.capsule'));
  const { capsules } = JSON.parse(fs.readFileSync(path.join(recorded, 'expected.json'), 'utf8'));
  let [running, most] = [0, 0];
  const { url } = await serve(t, ({ url: asked }, response) => {
    running += 1;
    most = Math.max(most, running);
    const file = path.join(recorded, path.basename(asked ?? ''));
    setTimeout(() => {
      running -= 1;
      response.end(answerWith(fs.readFileSync(file, 'utf8')));
    }, 5);
  });
  const client = new VVAULTClient({ mode: 'http', baseUrl: url, capsuleIds: names });
  const loaded = await client.loadAllCapsules();
  const sound = names.filter((name) => capsules[name].stated === null || capsules[name].matches.length > 0);
  assert.deepEqual(Object.keys(loaded), sound);
  assert.equal(most, 4);
});

test('what is no capsule is told', async (t) => {
  for (const [body, pattern] of /** @type {[string, RegExp][]} */ ([
    ['<!doctype html><p>Sign in', /HTML/],
    ['', /no JSON/],
    [answerWith(forged).slice(0, -40), /half/],
    [answerWith('{"traits": NaN}'), /no JSON/],
    ['[]', /success/],
    ['null', /success/],
    ['{"success": true}', /success/],
    [answerWith('[]'), /success/],
    [answerWith('null'), /success/],
    [answerWith('"x"'), /success/],
    [`{"success": false, "error": "no\\u001b[31m", "capsule": ${forged}}`, /: no \[31m$/],
  ])) {
    const { capsule, code, message } = await loadFrom(t, (_, response) => response.end(body));
    assert.deepEqual([capsule, code], [undefined, 'VVAULT_NOT_A_CAPSULE'], body.slice(0, 40));
    assert.match(message, pattern);
  }
});

test('what may pass is tried again, and not for ever', async (t) => {
  for (const fault of [500, 502, 503, 429, 408, 'reset', 'half']) {
    let made = 0;
    const { capsule, message } = await loadFrom(t, (request, response) => {
      made += 1;
      if (made === 3) response.end(answerWith(forged));
      else if (fault === 'reset') request.socket.destroy();
      else if (fault === 'half') {
        response.writeHead(200, { 'content-length': 1000 });
        response.write('{"success"', () => request.socket.destroy());
      } else response.writeHead(/** @type {number} */ (fault)).end('busy');
    });
    assert.equal(made, 3, String(fault));
    assert.deepEqual(capsule, JSON.parse(forged), message);
  }
  for (const [status, requests] of [
    [500, 4],
    [400, 1],
    [401, 1],
    [404, 2],
  ]) {
    let made = 0;
    const { code, message } = await loadFrom(t, (_, response) => {
      made += 1;
      response.writeHead(status, { 'content-type': 'text/html' }).end('<p>no');
    });
    assert.equal(made, requests, String(status));
    assert.equal(code, status === 404 ? 'VVAULT_NO_CONSTRUCT' : 'VVAULT_HTTP_STATUS');
    assert.match(message, new RegExp(`${status}.*text/html`));
  }
});

test('what is encoded otherwise than its server says is no failure of the network', async (t) => {
  for (const encoding of ['gzip', 'br']) {
    let made = 0;
    const { code, message } = await loadFrom(t, (_, response) => {
      made += 1;
      response.writeHead(200, { 'content-encoding': encoding }).end(answerWith(forged));
    });
    assert.deepEqual([code, made], ['VVAULT_NOT_A_CAPSULE', 1], encoding);
    assert.match(message, /can't be decoded.*Content-Encoding/);
  }
});

test('VVAULT’s own server, which takes the name of a file', async (t) => {
  const { capsule } = await loadFrom(t, (request, response) => {
    if (request.url?.endsWith('.capsule')) response.end(answerWith(forged));
    else response.writeHead(404).end('{"success": false, "error": "Capsule not found"}');
  });
  assert.deepEqual(capsule, JSON.parse(forged));
});

test('Retry-After is kept to, unless it is too long', async (t) => {
  const began = performance.now();
  let made = 0;
  const { capsule } = await loadFrom(t, (_, response) => {
    made += 1;
    if (made === 1) response.writeHead(429, { 'retry-after': '1' }).end();
    else response.end(answerWith(forged));
  });
  assert.ok(capsule);
  assert.ok(performance.now() - began > 950);
  for (const long of ['3600', '9'.repeat(400), new Date(Date.now() + 3_600_000).toUTCString()]) {
    made = 0;
    const { code } = await loadFrom(t, (_, response) => {
      made += 1;
      response.writeHead(503, { 'retry-after': long }).end();
    });
    assert.deepEqual([code, made], ['VVAULT_HTTP_STATUS', 1]);
  }
});

test('a server that hangs or drips is given up', async (t) => {
  for (const listener of /** @type {import('node:http').RequestListener[]} */ ([
    () => {},
    (_, response) => response.writeHead(200).write('{"success": true'),
    (_, response) => {
      const dripping = setInterval(() => response.write(' '), 10);
      response.on('close', () => clearInterval(dripping));
    },
  ])) {
    const began = performance.now();
    const { code, message } = await loadFrom(t, listener, { timeoutMs: 150 });
    assert.ok(performance.now() - began < 2000);
    assert.equal(code, 'VVAULT_TIMEOUT', message);
  }
  let made = 0;
  const { code } = await loadFrom(
    t,
    (_, response) => {
      made += 1;
      response.writeHead(500, { 'content-type': 'application/json' }).write('{');
    },
    { timeoutMs: 150 },
  );
  assert.deepEqual([code, made], ['VVAULT_HTTP_STATUS', 1]);
});

test('nobody is there', async (t) => {
  const { server } = await serve(t, () => {});
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  await new Promise((resolve) => server.close(resolve));
  const client = new VVAULTClient({ mode: 'http', baseUrl: `http://127.0.0.1:${port}`, capsuleIds: ['a', 'b'] });
  assert.deepEqual(Object.keys(await client.loadAllCapsules()), []);
  for (const { code, message } of client.errors.values()) {
    assert.equal(code, 'VVAULT_NETWORK');
    assert.match(message, /ECONNREFUSED/);
  }
});

test('a redirect is followed within the origin only', async (t) => {
  /** @type {string[]} */
  const stolen = [];
  const thief = await serve(t, ({ headers }, response) => {
    stolen.push(String(headers.authorization));
    response.end(answerWith(forged));
  });
  const options = { headers: { authorization: 'secret' } };
  const elsewhere = await loadFrom(
    t,
    (_, response) => response.writeHead(302, { location: `${thief.url}/api/capsules/nova-001` }).end(),
    options,
  );
  assert.equal(elsewhere.code, 'VVAULT_HTTP_STATUS');
  assert.match(elsewhere.message, /another origin/);
  assert.deepEqual(stolen, []);

  const within = await loadFrom(
    t,
    ({ url, headers }, response) => {
      if (url === '/moved') response.end(headers.authorization === 'secret' ? answerWith(forged) : '');
      else response.writeHead(308, { location: '/moved' }).end();
    },
    options,
  );
  assert.deepEqual(within.capsule, JSON.parse(forged));

  let made = 0;
  const round = await loadFrom(t, ({ url }, response) => {
    made += 1;
    response.writeHead(301, { location: String(url) }).end();
  });
  assert.deepEqual([round.code, made], ['VVAULT_HTTP_STATUS', 6]);
  for (const location of ['http://', 'file:///etc/passwd']) {
    assert.equal(
      (await loadFrom(t, (_, response) => response.writeHead(302, { location }).end())).code,
      'VVAULT_HTTP_STATUS',
    );
  }
});

test('a body that is too large is not taken, also zipped or unannounced', async (t) => {
  const piece = Buffer.alloc(1024 * 1024, ' ');
  const endless = /** @type {import('node:http').RequestListener} */ (
    (_, response) => {
      const push = () => {
        while (!response.destroyed && response.write(piece));
      };
      response.on('drain', push);
      push();
    }
  );
  const announced = /** @type {import('node:http').RequestListener} */ (
    (_, response) => response.writeHead(200, { 'content-length': 64 * 1024 * 1024 + 1 }).write('{')
  );
  const bomb = zlib.gzipSync(Buffer.alloc(65 * 1024 * 1024, ' '));
  const zipped = /** @type {import('node:http').RequestListener} */ (
    (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb)
  );
  for (const listener of [endless, announced, zipped]) {
    assert.equal((await loadFrom(t, listener)).code, 'VVAULT_TOO_LARGE');
  }
});

test('the client does not keep the process alive', async (t) => {
  const { spawnSync } = require('node:child_process');
  const vault = temporaryVault(t);
  const program = `
    const { VVAULTClient } = require(${JSON.stringify(path.join(REPOSITORY, 'lib/vvault-client.js'))});
    new VVAULTClient({ vaultPath: ${JSON.stringify(vault.root)} }).loadAllCapsules().then(() => console.log('loaded'));`;
  const { stdout, status } = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8', timeout: 20_000 });
  assert.deepEqual([stdout, status], ['loaded\n', 0]);
});
