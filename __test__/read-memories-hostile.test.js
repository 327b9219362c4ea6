'use strict';

// Things in a vault that must not hang, crash, fill the memory, or lead out of it.

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');

const { readMemories } = require('..');
const { listenTo, temporaryVault } = require('./support/temporary-vault');

const CANARY = 'canary-7d1f';
const unix = process.platform !== 'win32';

/**
 * @param {import('node:test').TestContext} t
 * @returns A vault in which ann has one memory, and what is warned of when her memories are read.
 */
function vaultWithOneMemory(t) {
  const vault = temporaryVault(t);
  vault.write('ann', 'good.json', { raw: 'good' });
  const warnings = listenTo(t, 'warn');
  /** @param {string} name */
  const place = (name) => vault.path('users/ann/capsules', name);
  const read = () => readMemories(vault.config, 'ann');
  return { vault, warnings, place, read };
}

/** @param {import('..').Memory[]} memories */
const contents = (memories) => memories.map((memory) => memory.content);

test('a named pipe is refused at once', { skip: !unix, timeout: 30_000 }, async (t) => {
  const { vault, warnings, place, read } = vaultWithOneMemory(t);
  execFileSync('mkfifo', [place('x.json')]);
  assert.deepStrictEqual(contents(await read()), ['good']);
  assert.deepStrictEqual(warnings, [['⚠️ Failed to read capsule file x.json:', 'not a regular file']]);
  fs.mkdirSync(vault.path('users/tom/transcripts/s'), { recursive: true });
  execFileSync('mkfifo', [vault.path('users/tom/transcripts/s/x.txt')]);
  execFileSync('mkfifo', [vault.path('users/tom/transcripts/pipe')]);
  assert.deepStrictEqual(await readMemories(vault.config, 'tom'), []);
  for (const folder of ['users/eve', 'users/joe/capsules', 'users/kim/transcripts']) {
    fs.mkdirSync(vault.path(folder, '..'), { recursive: true });
    execFileSync('mkfifo', [vault.path(folder)]);
    assert.deepStrictEqual(await readMemories(vault.config, folder.split('/')[1]), []);
  }
});

test('a socket is refused', { skip: !unix, timeout: 30_000 }, async (t) => {
  const { warnings, place, read } = vaultWithOneMemory(t);
  const server = net.createServer().listen(place('x.json'));
  await once(server, 'listening');
  try {
    assert.deepStrictEqual(contents(await read()), ['good']);
    assert.strictEqual(warnings.length, 1);
  } finally {
    server.close();
  }
});

test('a folder called x.json is refused', async (t) => {
  const { warnings, place, read } = vaultWithOneMemory(t);
  fs.mkdirSync(place('x.json'));
  assert.deepStrictEqual(contents(await read()), ['good']);
  assert.deepStrictEqual(contents(await read()), ['good']);
  const message = 'EISDIR: illegal operation on a directory, read';
  assert.deepStrictEqual(warnings, [['⚠️ Failed to read capsule file x.json:', message]]);
});

test('links that lead nowhere or in circles are refused', { skip: !unix }, async (t) => {
  const { vault, warnings, place, read } = vaultWithOneMemory(t);
  fs.symlinkSync('nothing.json', place('dangling.json'));
  fs.symlinkSync('loop.json', place('loop.json'));
  fs.symlinkSync('b.json', place('a.json'));
  fs.symlinkSync('a.json', place('b.json'));
  assert.deepStrictEqual(contents(await read()), ['good']);
  const told = new Map(warnings.map(([text, message]) => [String(text).split(' ').at(-1), String(message)]));
  assert.match(told.get('dangling.json:') ?? '', /^ENOENT: no such file or directory, open '.*dangling\.json'$/);
  for (const name of ['loop.json:', 'a.json:', 'b.json:']) assert.match(told.get(name) ?? '', /^ELOOP: /);
  assert.strictEqual(warnings.length, 4);

  fs.symlinkSync('circle', vault.path('users/circle'));
  assert.deepStrictEqual(await readMemories(vault.config, 'circle'), []);
  fs.writeFileSync(place('nothing.json'), '{"raw":"there now","created_ts":"2000-01-01"}');
  assert.deepStrictEqual(contents(await read()), ['good', 'there now', 'there now']);
});

test('a link that leads out of the vault is not followed', { skip: !unix }, async (t) => {
  const { vault, warnings, place, read } = vaultWithOneMemory(t);
  const outside = temporaryVault(t);
  const secret = outside.write('eve', 'secret.json', { raw: CANARY });
  const broken = outside.write('eve', 'broken.json', `{"raw": ${CANARY}`);
  const elsewhere = outside.path('users/eve');
  fs.symlinkSync(secret, place('link.json'));
  fs.symlinkSync(broken, place('broken.json'));
  fs.symlinkSync('link.json', place('link-to-link.json'));
  fs.symlinkSync(elsewhere, vault.path('users/linked-user'));
  fs.mkdirSync(vault.path('users/linked-capsules'));
  fs.symlinkSync(outside.path('users/eve/capsules'), vault.path('users/linked-capsules/capsules'));
  fs.mkdirSync(outside.path('users/eve/transcripts/s'), { recursive: true });
  fs.writeFileSync(outside.path('users/eve/transcripts/s/a.txt'), `# Role: user\n# ---\n${CANARY}`);
  fs.mkdirSync(vault.path('users/linked-transcripts'));
  fs.symlinkSync(outside.path('users/eve/transcripts'), vault.path('users/linked-transcripts/transcripts'));
  fs.mkdirSync(vault.path('users/linked-session/transcripts'), { recursive: true });
  fs.symlinkSync(outside.path('users/eve/transcripts/s'), vault.path('users/linked-session/transcripts/s'));
  fs.mkdirSync(vault.path('users/linked-text/transcripts/s'), { recursive: true });
  fs.symlinkSync(outside.path('users/eve/transcripts/s/a.txt'), vault.path('users/linked-text/transcripts/s/a.txt'));
  fs.symlinkSync(outside.path('users'), vault.path('users/shard_0000'));

  assert.deepStrictEqual(contents(await read()), ['good']);
  const users = ['linked-user', 'linked-capsules', 'linked-transcripts', 'linked-session', 'linked-text', 'eve'];
  for (const userId of users) {
    assert.deepStrictEqual(await readMemories(vault.config, userId), [], userId);
  }
  assert.deepStrictEqual(await readMemories(vault.config, 'linked-user/capsules/..'), []);
  assert.ok(warnings.length >= 3 + users.length, 'each is told');
  assert.ok(!JSON.stringify(warnings).includes(CANARY));
});

test('a link inside the vault is followed, and its target is watched', { skip: !unix }, async (t) => {
  const { vault, place, read } = vaultWithOneMemory(t);
  fs.rmSync(place('good.json'));
  const target = vault.write('bob', 'target.json', { raw: 'first' });
  fs.symlinkSync(target, place('absolute.json'));
  fs.symlinkSync('../../bob/capsules/target.json', place('relative.json'));
  fs.symlinkSync('bob', vault.path('users/alias'));
  for (const raw of ['first', 'other', 'third']) {
    vault.write('bob', 'target.json', { raw });
    assert.deepStrictEqual(contents(await read()), [raw, raw]);
    assert.deepStrictEqual(contents(await readMemories(vault.config, 'alias')), [raw]);
  }
});

test('a file of gigabytes is refused unread', { timeout: 30_000 }, async (t) => {
  const { vault, warnings, place, read } = vaultWithOneMemory(t);
  fs.writeFileSync(place('giant.json'), '{');
  fs.truncateSync(place('giant.json'), 3 * 2 ** 30);
  assert.deepStrictEqual(contents(await read()), ['good']);
  const message = `the file has ${3 * 2 ** 30} bytes; at most 536862696 are read`;
  assert.deepStrictEqual(warnings, [['⚠️ Failed to read capsule file giant.json:', message]]);
  fs.mkdirSync(vault.path('users/tom/transcripts/s'), { recursive: true });
  fs.writeFileSync(vault.path('users/tom/transcripts/s/giant.txt'), '');
  fs.truncateSync(vault.path('users/tom/transcripts/s/giant.txt'), 3 * 2 ** 30);
  assert.deepStrictEqual(await readMemories(vault.config, 'tom'), []);
  assert.ok(process.memoryUsage().rss < 2 ** 30);
});

test('a nesting of millions in a field that nobody reads', { timeout: 60_000 }, async (t) => {
  const { vault, warnings, read } = vaultWithOneMemory(t);
  const deep = 2_000_000;
  const [open, close] = ['['.repeat(deep), ']'.repeat(deep)];
  vault.write('ann', 'deep.json', `{"created_ts":"2000-01-01","raw":"deep","extra":${open}${close}}`);
  vault.write('ann', 'unbalanced.json', `{"raw":"unbalanced","extra":${open}${close.slice(1)}}`);
  vault.write('ann', 'opened.json', open);
  vault.write('ann', 'objects.json', `${'{"a":'.repeat(deep)}1${'}'.repeat(deep - 1)}`);
  assert.deepStrictEqual(contents(await read()), ['good', 'deep']);
  assert.deepStrictEqual(warnings.map(([text]) => text).sort(), [
    '⚠️ Failed to read capsule file objects.json:',
    '⚠️ Failed to read capsule file opened.json:',
    '⚠️ Failed to read capsule file unbalanced.json:',
  ]);
});

test('a deep nesting in a field that is answered with', { timeout: 60_000 }, async (t) => {
  const { vault, read } = vaultWithOneMemory(t);
  const deep = 200_000;
  vault.write('ann', 'a.json', `{"raw":"deep","tags":${'['.repeat(deep)}${']'.repeat(deep)}}`);
  const [memory] = await read();
  let depth = 0;
  for (let inner = /** @type {any} */ (memory).metadata.tags; inner !== undefined; inner = inner[0]) depth++;
  assert.strictEqual(depth, deep);

  const errors = listenTo(t, 'error');
  vault.write('bob', 'a.json', `{"raw":"deep","created_ts":${'['.repeat(deep)}${']'.repeat(deep)}}`);
  vault.write('bob', 'b.json', { raw: 'other', created_ts: '2000-01-01' });
  await assert.rejects(readMemories(vault.config, 'bob'), (/** @type {any} */ error) => {
    assert.match(error.message, /^Failed to read memories: Maximum call stack size exceeded/);
    assert.strictEqual(error.code, 'VVAULT_TIMESTAMP');
    assert.ok(error.cause instanceof RangeError);
    return true;
  });
  assert.strictEqual(errors.length, 1);
});

test('what can’t be read is told also where a date ends the reading', async (t) => {
  const { vault, warnings, read } = vaultWithOneMemory(t);
  const errors = listenTo(t, 'error');
  vault.write('ann', 'broken.json', '{');
  vault.write('ann', 'odd.json', { raw: 'odd', created_ts: { toString: 1, valueOf: 1 } });
  await assert.rejects(read(), { code: 'VVAULT_TIMESTAMP', message: /Cannot convert object to primitive value/ });
  assert.deepStrictEqual(
    warnings.map(([text]) => text),
    ['⚠️ Failed to read capsule file broken.json:'],
  );
  assert.strictEqual(errors.length, 1);
  assert.ok(errors[0][1] instanceof TypeError, 'as Chatty logs it');
  // The date is known by now.
  vault.write('ann', 'another.json', '{');
  await assert.rejects(read(), { code: 'VVAULT_TIMESTAMP' });
  assert.deepStrictEqual(
    warnings.slice(1).map(([text]) => text),
    ['⚠️ Failed to read capsule file another.json:'],
  );
});

test('a file that can’t be opened is told, and the others come', {
  skip: !unix || process.getuid?.() === 0,
}, async (t) => {
  const { vault, warnings, place, read } = vaultWithOneMemory(t);
  vault.write('ann', 'locked.json', { raw: CANARY });
  fs.chmodSync(place('locked.json'), 0);
  assert.deepStrictEqual(contents(await read()), ['good']);
  assert.match(String(warnings[0][1]), /^EACCES: permission denied, open /);
  fs.chmodSync(place('locked.json'), 0o600);
  assert.strictEqual((await read()).length, 2);
});

test('few handles are enough for many files', {
  skip: process.platform === 'linux' ? false : 'the limit is set by a shell',
}, async (t) => {
  const [vault, cacheDir] = [temporaryVault(t), temporaryVault(t).root];
  // The folder of the second one is so large that it is read before it is watched.
  const counts = { ann: 300, tom: 2000 };
  for (const [user, count] of Object.entries(counts)) {
    for (let place = 0; place < count; place++)
      vault.write(user, `a name of a usual length ${place}.json`, { raw: 'x' });
  }
  assert.ok(fs.statSync(vault.path('users/tom/capsules')).size > 64 * 1024);
  const text = `
    const fs = require('node:fs');
    const { readMemories } = require(${JSON.stringify(path.resolve(__dirname, '..'))});
    const handles = [];
    try {
      for (;;) handles.push(fs.openSync('/dev/null'));
    } catch {}
    const [config, users, free] = ${JSON.stringify([vault.config, Object.keys(counts), 4])};
    for (const handle of handles.slice(-free)) fs.closeSync(handle);
    (async () => {
      const counts = {};
      for (const user of users) counts[user] = (await readMemories(config, user, { limit: 0 })).length;
      for (const handle of handles.slice(0, -free)) fs.closeSync(handle);
      console.log(JSON.stringify(counts));
      process.exit();
    })();`;
  const env = { ...process.env, VVAULT_CACHE_DIR: cacheDir };
  const limited = ['-c', 'ulimit -n 64; exec "$0" -e "$1"', process.execPath, text];
  assert.deepStrictEqual(JSON.parse(execFileSync('sh', limited, { env, encoding: 'utf8' })), counts);
});

test('names of any bytes', { skip: process.platform !== 'linux' }, async (t) => {
  const { place, read, warnings } = vaultWithOneMemory(t);
  fs.writeFileSync(place('broken\n⚠️ Failed.json'), '{');
  fs.writeFileSync(place('new\nline ☃ "quote" \\.json'), '{"raw":"odd name","created_ts":"2000-01-01"}');
  const memories = await read();
  assert.deepStrictEqual(contents(memories), ['good', 'odd name']);
  assert.strictEqual(memories[1].id, 'new\nline ☃ "quote" \\');
  assert.strictEqual(warnings[0][0], '⚠️ Failed to read capsule file broken\\n⚠️ Failed.json:');
});
