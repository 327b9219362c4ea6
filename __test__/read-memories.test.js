'use strict';

// What a caller sees of `readMemories`, beyond the recordings of Chatty's own: results, errors, refusals, warnings.

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { Vault, readMemories } = require('..');
const { atEnd } = require('./support/at-end');
const { REPOSITORY, listenTo, runProgram, temporaryVault, vaultAt } = require('./support/temporary-vault');

const example = vaultAt(path.join(REPOSITORY, 'example/vault'));
const MIRA = 'mira_lindqvist_1741035327000';
const TOMAS = 'tomas_berg_1761427149000';

/** @param {import('..').Memory[]} memories */
const contents = (memories) => memories.map((memory) => memory.content);
/** @param {import('..').Memory[]} memories */
const ids = (memories) => memories.map((memory) => memory.id);

test('a memory capsule of the example vault has the members that Chatty gives it', async () => {
  const [memory] = await readMemories(example.config, MIRA, { limit: 1, role: 'user' });
  assert.deepStrictEqual(memory, {
    id: 'nova_chatty_009_c0bab1a4cc2f',
    type: 'capsule',
    timestamp: '2025-08-09T17:25:44Z',
    content: 'Mum tried the buns and was quiet for a while. Then she said: that is her kitchen.',
    role: 'user',
    metadata: {
      source: 'capsule',
      filename: 'nova_chatty_009_c0bab1a4cc2f.json',
      capsuleId: 'nova_chatty_009_c0bab1a4cc2f',
      tags: ['recipe', 'family'],
      consent: 'self',
      embedModel: 'example-embedding:1.0',
      hash: 'c0bab1a4cc2fe3eeca52287229a1a4f7591ff4eedd9206827c60c1a3131f6e82',
    },
  });
});

test('an answer is an array and nothing else', async () => {
  for (const limit of [0, 3]) {
    const memories = await readMemories(example.config, MIRA, { limit });
    assert.deepStrictEqual(Reflect.ownKeys(memories), [...memories.keys()].map(String).concat('length'));
  }
});

test('a transcript of the example vault has the members that Chatty gives it', async () => {
  const [memory] = await readMemories(example.config, TOMAS, { limit: 1 });
  assert.deepStrictEqual(memory, {
    id: 'first-snow_2025-11-19T06:48:41.902Z_assistant',
    type: 'transcript',
    timestamp: '2025-11-19T06:48:41.902Z',
    content: 'Tell her it is Wednesday, and it rose anyway.',
    role: 'assistant',
    sessionId: 'first-snow',
    userId: TOMAS,
    metadata: {
      source: 'transcript',
      sessionId: 'first-snow',
      emotions: { joy: 0.8, warmth: 0.9 },
      contentLength: 45,
    },
  });
});

test('limits, filters and order on the example vault', async () => {
  const read = (/** @type {import('..').ReadMemoriesOptions} */ options) => readMemories(example.config, MIRA, options);
  const all = ids(await read({ limit: 0 }));
  assert.strictEqual(all.length, 12);
  assert.deepStrictEqual(all, [...all].sort().reverse(), 'they are numbered by date');
  assert.deepStrictEqual(ids(await readMemories(example.config, MIRA)), all.slice(0, 10));
  assert.deepStrictEqual(ids(await read({ limit: undefined })), all);
  assert.deepStrictEqual(ids(await read({ limit: Number.NaN })), all);
  assert.deepStrictEqual(ids(await read({ limit: 2.5 })), all.slice(0, 2));
  assert.deepStrictEqual(ids(await read({ limit: 1e300 })), all);
  assert.strictEqual((await read({ role: 'assistant' })).length, 4);
  assert.strictEqual((await read({ role: 'system' })).length, 1);
  assert.deepStrictEqual(await read({ role: 'nobody' }), []);
  const coffee = new Date('2025-06-22T08:10:58Z');
  assert.deepStrictEqual(ids(await read({ since: coffee, limit: 0 })), all.slice(0, 5), 'since is inclusive');
  assert.deepStrictEqual(ids(await read({ until: coffee, limit: 0 })), all.slice(4), 'until is inclusive');
  assert.deepStrictEqual(ids(await read({ since: coffee, until: coffee })), [all[4]]);
  assert.deepStrictEqual(await readMemories(example.config, 'nobody_1'), []);
});

test('the answer belongs to the caller: changing it changes no later answer', async () => {
  const first = await readMemories(example.config, MIRA);
  first[0].content = 'changed';
  first[0].metadata.source = /** @type {any} */ ('changed');
  first.length = 1;
  assert.strictEqual((await readMemories(example.config, MIRA)).length, 10);
  assert.notStrictEqual((await readMemories(example.config, MIRA))[0].content, 'changed');
});

test('an argument of a wrong type is refused with a message that names it', async (t) => {
  const vault = temporaryVault(t);
  const cases = /** @type {[any, any, string][]} */ ([
    ['', {}, 'userId is required and must be a string'],
    [undefined, {}, 'userId is required and must be a string'],
    [5, undefined, 'userId is required and must be a string'],
    ['u', { limit: -1 }, 'limit must be a non-negative number'],
    ['u', { limit: '5' }, 'limit must be a non-negative number'],
    ['u', { limit: null }, 'limit must be a non-negative number'],
    ['u', { since: '2025-01-01' }, 'since must be a valid date'],
    ['u', { since: new Date(Number.NaN) }, 'since must be a valid date'],
    ['u', { until: 1735689600000 }, 'until must be a valid date'],
    ['u', { role: ['user'] }, 'role must be a string'],
    [
      null,
      { limit: -0.5, since: true, until: {}, role: 1 },
      'userId is required and must be a string, limit must be a non-negative number, since must be a valid date, ' +
        'until must be a valid date, role must be a string',
    ],
  ]);
  for (const [userId, options, problem] of cases) {
    await assert.rejects(readMemories(vault.config, userId, options), (/** @type {any} */ error) => {
      assert.strictEqual(error instanceof Error, true);
      assert.strictEqual(error.message, `Invalid read parameters: ${problem}`);
      assert.strictEqual(error.code, 'VVAULT_INVALID_ARGUMENT');
      return true;
    });
  }
  await assert.rejects(readMemories(vault.config, 'u', /** @type {any} */ (null)), TypeError);
  for (const nothing of [0, '', null]) {
    const options = /** @type {any} */ ({ since: nothing, until: nothing, role: nothing, sessionId: nothing });
    assert.deepStrictEqual(await readMemories(vault.config, 'u', options), []);
  }
});

test('a faulty configuration is told and logged, as Chatty does', async (t) => {
  const errors = listenTo(t, 'error');
  const faulty = /** @type {any[]} */ ([undefined, {}, { vvaultPath: '/nowhere' }, { vvaultPath: 5, directories: {} }]);
  for (const config of faulty) {
    await assert.rejects(readMemories(config, 'u'), (/** @type {any} */ error) => {
      assert.match(error.message, /^Failed to read memories: ./);
      assert.strictEqual(error.code, 'VVAULT_READ_FAILED');
      assert.ok(error.cause instanceof Error);
      return true;
    });
  }
  assert.strictEqual(errors.length, faulty.length);
  assert.strictEqual(errors[0][0], '❌ Failed to read memories:');
});

test('a user id that leaves the vault is refused, and nothing there is read', async (t) => {
  const vault = temporaryVault(t);
  const [errors, warnings] = [listenTo(t, 'error'), listenTo(t, 'warn')];
  vault.write('ann', 'a.json', { raw: 'inside' });
  vault.write('../x', 'a.json', { raw: 'canary' });
  vault.write('../x', 'broken.json', 'canary');
  fs.mkdirSync(vault.path('users-of-others/capsules'), { recursive: true });
  const inside = path.basename(vault.root);
  const above = '../../../../../../etc';
  const userIds = ['../x', '../../etc', '..', above, 'ann/../../x', '../users-of-others', `../../${inside}/x`];
  for (const userId of userIds) {
    await assert.rejects(readMemories(vault.config, userId), (/** @type {any} */ error) => {
      assert.ok(error.message.startsWith('Failed to read memories: '), error.message);
      assert.strictEqual(error.code, 'VVAULT_OUTSIDE', userId);
      assert.strictEqual(error.path, path.join(vault.path('users'), userId));
      assert.ok(!String(error.stack).includes('canary'));
      return true;
    });
  }
  assert.strictEqual(errors.length, userIds.length);
  assert.strictEqual(warnings.length, 0, 'the broken file outside was not looked at');
  for (const userId of ['bob/../ann', './ann', '/ann', '../users/ann']) {
    assert.deepStrictEqual(contents(await readMemories(vault.config, userId)), ['inside'], `${userId} stays inside`);
  }
  assert.deepStrictEqual(await readMemories(vault.config, 'x\0y'), []);
});

const linux = { skip: process.platform !== 'linux' && 'only Linux says where the working folder is now' };

test('a relative path begins at the working folder, also when that was renamed', linux, async (t) => {
  const place = temporaryVault(t);
  const { code, stdout, stderr } = await runProgram(
    place,
    `
    const fs = require('node:fs');
    const { Vault } = require(${JSON.stringify(REPOSITORY)});
    const make = (text) => vaultAt(vault.path('app/vault')).write('ann', 'a.json', { raw: text });
    make('its own');
    process.chdir(vault.path('app'));
    const { config } = vaultAt('vault');
    const read = async () => {
      const opened = await Vault.open('vault');
      const answers = [await readMemories(config, 'ann'), await opened.readMemories('ann')];
      await opened.close();
      return [...answers.map(([memory]) => memory.content), opened.root];
    };
    const before = await read();
    fs.renameSync(vault.path('app'), vault.path('app-1'));
    make('of another');
    console.log(JSON.stringify([before, await read()]));`,
  );
  assert.strictEqual(code, 0, stderr);
  assert.deepStrictEqual(
    JSON.parse(stdout),
    ['app', 'app-1'].map((folder) => ['its own', 'its own', place.path(folder, 'vault')]),
  );
});

test('a user who is not in users/ is looked for in its shards', async (t) => {
  const vault = temporaryVault(t);
  vault.write('shard_0000/ann', 'a.json', { raw: 'sharded' });
  vault.write('shard_0001/ann', 'a.json', { raw: 'in a later shard' });
  vault.write('shard_0001/bob', 'a.json', { raw: 'in the second shard' });
  vault.write('shard_x/eve', 'a.json', { raw: 'in no shard' });
  fs.mkdirSync(vault.path('users/shard_0000/tom/transcripts/s'), { recursive: true });
  fs.writeFileSync(vault.path('users/shard_0000/tom/transcripts/s/a.txt'), '# Role: user\n# ---\nsaid in a shard');
  assert.deepStrictEqual(contents(await readMemories(vault.config, 'ann')), ['sharded']);
  assert.deepStrictEqual(contents(await readMemories(vault.config, 'bob')), ['in the second shard']);
  assert.deepStrictEqual(await readMemories(vault.config, 'eve'), []);
  assert.deepStrictEqual(contents(await readMemories(vault.config, 'tom')), ['said in a shard']);

  vault.write('ann', 'a.json', { raw: 'in users itself' });
  assert.deepStrictEqual(contents(await readMemories(vault.config, 'ann')), ['in users itself']);
  fs.rmSync(vault.path('users/ann'), { recursive: true });
  assert.deepStrictEqual(contents(await readMemories(vault.config, 'ann')), ['sharded']);
});

test('a memory capsule that names its session must match the one asked for', async (t) => {
  const vault = temporaryVault(t);
  const capsules = {
    'a.json': { raw: 'session_id', session_id: 'one' },
    'b.json': { raw: 'sessionId', sessionId: 'one' },
    'c.json': { raw: 'source_id', source_id: 'chatty_one' },
    'd.json': { raw: 'none' },
    'e.json': { raw: 'another source', source_id: 'import_one' },
    'f.json': { raw: 'other session_id', session_id: 'two', sessionId: 'one' },
    'g.json': { raw: 'other sessionId', sessionId: 'two' },
    'h.json': { raw: 'other source_id', source_id: 'chatty_two' },
    'i.json': { raw: 'no string', session_id: 1 },
  };
  for (const [name, capsule] of Object.entries(capsules)) {
    vault.write('ann', name, { ...capsule, created_ts: '2025-01-01T00:00:00Z' });
  }
  const read = async (/** @type {any} */ sessionId) =>
    contents(await readMemories(vault.config, 'ann', { sessionId, limit: 0 }));
  const nameless = ['none', 'another source', 'no string'];
  assert.deepStrictEqual(await read('one'), ['session_id', 'sessionId', 'source_id', ...nameless]);
  assert.deepStrictEqual(await read('two'), [
    'none',
    'another source',
    'other session_id',
    'other sessionId',
    'other source_id',
    'no string',
  ]);
  assert.deepStrictEqual(await read('three'), nameless);
  assert.strictEqual((await read(null)).length, 9);
  assert.deepStrictEqual(await read({}), nameless, 'what is no string is no session');
});

test('a broken file is warned of once, and again when it has changed', async (t) => {
  const vault = temporaryVault(t);
  const warnings = listenTo(t, 'warn');
  vault.write('ann', 'good.json', { raw: 'good' });
  vault.write('ann', 'broken.json', '{"raw": "half');
  vault.write('ann', 'null.json', 'null');
  const read = async (/** @type {number} */ times) => {
    for (let call = 0; call < times; call++) {
      assert.deepStrictEqual(contents(await readMemories(vault.config, 'ann')), ['good']);
    }
    return warnings.splice(0).map(([text]) => text);
  };
  const broken = '⚠️ Failed to read capsule file broken.json:';
  assert.deepStrictEqual(await read(50), [broken, '⚠️ Failed to convert capsule null.json:']);
  vault.write('ann', 'broken.json', '{"raw": "still');
  assert.deepStrictEqual(await read(50), [broken]);
  assert.deepStrictEqual(await read(50), []);
  vault.write('ann', 'broken.json', { raw: 'mended', created_ts: '1999-01-01T00:00:00Z' });
  assert.strictEqual((await readMemories(vault.config, 'ann')).length, 2);
  assert.strictEqual(warnings.length, 0);
  vault.write('ann', 'broken.json', '[');
  assert.deepStrictEqual(await read(2), [broken]);

  fs.mkdirSync(vault.path('users/tom/transcripts'), { recursive: true });
  fs.symlinkSync('nowhere', vault.path('users/tom/transcripts/lost'));
  await readMemories(vault.config, 'tom');
  assert.match(
    String(warnings[0]),
    /^⚠️ Failed to read transcripts directory:,ENOENT: no such file or directory, stat /,
  );
});

test('asking for freshness, or a faulty configuration, keeps no broken file from being told', async (t) => {
  const vault = temporaryVault(t);
  const warnings = listenTo(t, 'warn');
  listenTo(t, 'error');
  vault.write('ann', 'broken.json', '{');
  vault.write('bob', 'broken.json', '{');
  vault.write('bob', 'unsound.json', { raw: 'changed', raw_sha256: '0'.repeat(64) });
  fs.mkdirSync(vault.path('users/tom/transcripts/s/lost.txt'), { recursive: true });
  const told = () => warnings.splice(0).map(([text]) => text);
  const broken = '⚠️ Failed to read capsule file broken.json:';
  await readMemories.freshness(vault.config, 'ann');
  assert.deepStrictEqual(told(), [broken]);
  await readMemories.freshness(vault.config, 'ann');
  await readMemories(vault.config, 'ann');
  assert.deepStrictEqual(told(), [], 'told once');

  const open = await Vault.open(vault.root);
  atEnd(t, () => open.close());
  /** @type {unknown[]} */
  const rejected = [];
  open.on('capsule:rejected', ({ path: file }) => rejected.push(file));
  await open.freshness('bob');
  assert.deepStrictEqual(told(), [broken]);
  assert.deepStrictEqual(rejected, [vault.path('users/bob/capsules/unsound.json')]);

  const faulty = /** @type {any} */ ({ ...vault.config, logging: undefined });
  await assert.rejects(readMemories(faulty, 'tom'), { code: 'VVAULT_READ_FAILED' });
  assert.deepStrictEqual(told(), ['⚠️ Failed to read transcript file lost.txt:']);
});

test('a name that ends like a folder’s is no file’s', async (t) => {
  const vault = temporaryVault(t);
  fs.mkdirSync(vault.path('users/ann/transcripts/s'), { recursive: true });
  fs.writeFileSync(vault.path('users/ann/capsules'), 'a file');
  fs.writeFileSync(vault.path('users/ann/transcripts/s/t.txt'), 'a transcript');
  const { config } = vault;
  config.directories.capsules = 'capsules/';
  const [memory] = await readMemories(config, 'ann');
  assert.strictEqual(memory.type, 'transcript');
});

test('what it tells on the console follows config.logging', async (t) => {
  const vault = temporaryVault(t);
  const lines = listenTo(t, 'log');
  vault.write('ann', 'a.json', { raw: 'one' });
  await readMemories(vault.config, 'ann', { sessionId: 's' });
  await readMemories(vault.config, 'nobody');
  assert.deepStrictEqual(lines, [], 'nothing unless it is asked for');
  const config = { ...vault.config, logging: { debug: true, logFileOps: true } };
  await readMemories(config, 'ann', { sessionId: 's' });
  await readMemories(config, 'nobody');
  assert.deepStrictEqual(lines, [
    ['🧠 Retrieved 1 memories for user: ann'],
    ['   Filtered by session: s'],
    [`👤 User directory not found: ${vault.path('users/nobody')}`],
  ]);
});

test('many memories in one answer come whole and in order', async (t) => {
  const vault = temporaryVault(t);
  const expected = [];
  for (let place = 0; place < 2500; place++) {
    const id = String(place).padStart(5, '0');
    const timestamp = new Date(Date.UTC(2020, 0, 1) + place * 60_000).toISOString();
    // Whatever takes another way into JavaScript: by its characters, and what is no text, or not there.
    const content = `${place}${place % 9 === 0 ? '' : ['x', 'é', '“', '\ud800'][place % 4].repeat(3000)}`;
    const role = place % 50 === 1 ? { is: ['odd'] } : 'user';
    const tags = [['a', 'b', 3], [['a'], null], [], ['ü“']][place % 7] ?? 'none';
    vault.write('ann', `${id}.json`, {
      raw: content,
      created_ts: timestamp,
      role,
      tags,
      consent: 'self',
      embed_model: 'x:1',
      ...(place % 11 === 0 ? {} : { raw_sha256: 'ff' }),
    });
    expected.unshift({
      id,
      type: 'capsule',
      timestamp,
      content,
      role,
      metadata: {
        source: 'capsule',
        filename: `${id}.json`,
        capsuleId: id,
        tags,
        consent: 'self',
        embedModel: 'x:1',
        ...(place % 11 === 0 ? {} : { hash: 'ff' }),
      },
    });
  }
  const memories = await readMemories(vault.config, 'ann', { limit: 0 });
  assert.deepStrictEqual([...memories], expected);
  assert.deepStrictEqual(
    memories.map((memory) => JSON.stringify(memory)).join(),
    expected.map((memory) => JSON.stringify(memory)).join(),
  );
  const lists = memories.map((memory) => /** @type {any} */ (memory).metadata.tags).filter(Array.isArray);
  assert.strictEqual(new Set(lists).size, lists.length, 'each memory has a list of its own');
});

test('a key called __proto__ stays a key', async (t) => {
  const vault = temporaryVault(t);
  vault.write(
    'ann',
    'a.json',
    '{"raw":"x","__proto__":{"role":"admin","polluted":1},"tags":{"__proto__":{"polluted":2}}}',
  );
  vault.write('ann', 'b.json', '{"__proto__":{"raw":"canary"},"constructor":{"prototype":{"polluted":3}},"tags":[]}');
  fs.mkdirSync(vault.path('users/tom/transcripts/s'), { recursive: true });
  const header = '# Role: user\n# Emotions: {"__proto__":{"polluted":4}}\n# ---\n';
  fs.writeFileSync(vault.path('users/tom/transcripts/s/a.txt'), header);
  const [first, second] = await readMemories(vault.config, 'ann');
  const { tags } = /** @type {import('..').CapsuleMemory} */ (first).metadata;
  assert.deepStrictEqual(Object.keys(tags), ['__proto__']);
  assert.strictEqual(Object.getPrototypeOf(tags), Object.prototype);
  assert.strictEqual(tags.polluted, undefined);
  assert.strictEqual(first.role, 'system');
  assert.strictEqual(second.content, '');
  const [transcript] = await readMemories(vault.config, 'tom');
  const { emotions } = /** @type {import('..').TranscriptMemory} */ (transcript).metadata;
  assert.strictEqual(Object.getPrototypeOf(emotions), Object.prototype);
  assert.strictEqual(/** @type {any} */ ({}).polluted, undefined);
});

test('a user or folder whose name is __proto__ is an ordinary one', async (t) => {
  const vault = temporaryVault(t);
  vault.write('__proto__', '__proto__.json', { raw: 'x' });
  assert.deepStrictEqual(ids(await readMemories(vault.config, '__proto__')), ['__proto__']);
  assert.deepStrictEqual(await readMemories(vault.config, 'constructor'), []);
});
