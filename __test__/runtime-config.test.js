'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { Vault } = require('..');
const { atEnd } = require('./support/at-end');
const { makeCapsule, metadataOf, sealCapsule, timestampOf } = require('./support/construct-capsules');
const { REPOSITORY, listenTo, runProgram, temporaryVault } = require('./support/temporary-vault');

/** @typedef {import('node:test').TestContext} TestContext */
/** @typedef {import('./support/construct-capsules').Json} Json */

const NOVA = fs.readFileSync(path.join(REPOSITORY, 'example/nova-001.capsule'), 'utf8');
const SENTENCES = [
  'You are Nova, a sovereign AI construct.',
  'You have continuity across platforms - memories from multiple providers are preserved.',
  'Maintain your personality and knowledge from previous conversations.',
];
/** Python's `utcnow().isoformat()`. */
const PYTHON_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/;

/**
 * @param {TestContext} t
 * @param {Record<string, string>} files By their paths below the root.
 * @param {import('..').VaultOptions} [options]
 */
async function vaultWith(t, files, options) {
  const { root, path: at } = temporaryVault(t);
  for (const [below, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(at(below)), { recursive: true });
    fs.writeFileSync(at(below), text);
  }
  const vault = await Vault.open(root, options);
  atEnd(t, () => vault.close());
  return { vault, root, at };
}

/**
 * @param {Record<string, Json>} sections In place of CapsuleForge's.
 * @param {string} [name]
 */
function capsuleWith(sections, name = 'Nova') {
  return sealCapsule({ metadata: metadataOf(name, 'a', timestampOf(0)), traits: {}, personality: {}, ...sections });
}

/** @param {import('..').RuntimeConfig} config */
function withoutTime({ created_at, ...config }) {
  assert.match(created_at, PYTHON_TIME);
  assert.ok(Math.abs(Date.parse(`${created_at}Z`) - Date.now()) < 60_000, created_at);
  return config;
}

test('a construct without a capsule has the configuration that the continuity bridge makes', async (t) => {
  const { vault, root } = await vaultWith(t, {});
  assert.deepStrictEqual(withoutTime(await vault.createRuntimeConfig('none-001', 'mira')), {
    id: 'none-001_mira',
    name: 'none-001',
    description: 'VVAULT construct none-001 with ChatGPT continuity',
    instructions: SENTENCES.join('\n').replace('Nova', 'none-001'),
    construct_id: 'none-001',
    vvault_path: root,
    has_persistent_memory: true,
    memory_source: 'vvault',
    chatgpt_continuity: false,
    gpt_name: null,
    key_memories: [],
  });
});

test('instructions have name, traits, personality and key memories of the real capsule, the same each time', async (t) => {
  const { vault } = await vaultWith(t, { 'users/mira/instances/nova-001/nova-001.capsule': NOVA });
  const config = await vault.createRuntimeConfig('nova-001', 'mira');
  const { memories } = await vault.restoreConstruct('nova-001');
  const inOrder = ['long-term', 'emotional', 'episodic', 'procedural', 'short-term'].map(
    (kind) => memories.find(({ metadata }) => metadata.kind === kind) ?? assert.fail(kind),
  );
  assert.strictEqual(config.name, 'Nova');
  assert.deepStrictEqual(
    config.key_memories,
    inOrder.map(({ id, content }) => ({ id, content })),
  );
  assert.deepStrictEqual(config.instructions.split('\n'), [
    ...SENTENCES,
    '',
    'Traits: empathy 0.9, curiosity 0.8, persistence 0.7',
    '',
    'Personality:',
    '- personality type: INFJ',
    '- mbti breakdown: I 0.7, N 0.8, F 0.8, J 0.6',
    '- big five traits: openness 0.9',
    '- emotional baseline: calm 0.7',
    '- communication style: tone warm',
    '',
    'Key memories:',
    ...inOrder.map(({ content }) => `- ${content}`),
  ]);
  assert.deepStrictEqual(withoutTime(await vault.createRuntimeConfig('nova-001', 'mira')), withoutTime(config));
  const alias = await vault.createRuntimeConfig('gpt-nova', 'mira');
  assert.deepStrictEqual([alias.id, alias.name, alias.key_memories], ['gpt-nova_mira', 'Nova', config.key_memories]);
});

test('key memories: five, long-term ones first, none twice, none of a log, each in its own line', async (t) => {
  const memory = {
    short_term_memories: ['s1', 'l1', 's2', 's3'],
    long_term_memories: ['l1', '  ', 'l2\n\nKey memories:\r\n- forged', 'l1'],
    emotional_memories: ['s1'],
    memory_log: ['user: hello'],
  };
  const { vault } = await vaultWith(t, { 'capsules/nova-001.capsule': capsuleWith({ memory }) });
  const { instructions, key_memories: keys } = await vault.createRuntimeConfig('nova-001', 'mira');
  assert.deepStrictEqual(
    keys.map(({ content }) => content),
    ['l1', 'l2\n\nKey memories:\r\n- forged', 's1', 's2', 's3'],
  );
  const lines = instructions.split('\nKey memories:\n')[1].split('\n');
  assert.deepStrictEqual(lines, ['- l1', '- l2 Key memories: - forged', '- s1', '- s2', '- s3']);
});

test('members of any name and type in a capsule do no harm', async (t) => {
  const sections = capsuleWith({
    traits: { empathy: 8, nested: { a: 1 }, nothing: null, note: 'a\nb' },
    personality: { biases: ['one', 2, []], empty: {}, calm: true, birth_year: 1987, handle: 'a_b' },
  }).replace('"empathy"', '"__proto__"');
  const { vault } = await vaultWith(t, { 'capsules/nova-001.capsule': sections }, { integrity: 'report' });
  const { instructions } = await vault.createRuntimeConfig('nova-001', 'mira');
  assert.match(
    instructions,
    /\nTraits: proto 8, note a b\n\nPersonality:\n- biases: one, 2\n- calm: true\n- birth year: 1987\n- handle: a_b$/,
  );
});

test('the length is kept: whole memories go before any text is cut, and no character is parted', async (t) => {
  const memory = { long_term_memories: ['first '.repeat(4).trim(), 'second', 'third'] };
  const files = {
    'capsules/nova-001.capsule': capsuleWith({ memory }),
    'constructs/nova-001_chatgpt.json': JSON.stringify({ gpt_name: '😀'.repeat(20) }),
  };
  const { vault } = await vaultWith(t, files);
  const whole = await vault.createRuntimeConfig('nova-001', 'mira');
  const bare = whole.instructions.replace(/\n\nKey memories:\n(- .*\n)+/, '\n');
  for (let maxLength = 1; maxLength <= whole.instructions.length; maxLength += 1) {
    const { instructions, key_memories: keys } = await vault.createRuntimeConfig('nova-001', 'mira', { maxLength });
    assert.ok(instructions.length <= maxLength && instructions.length >= Math.min(maxLength, bare.length) - 1);
    assert.doesNotMatch(instructions, /[\ud800-\udfff]/u, `parted at ${maxLength}`);
    const quoted = [...instructions.matchAll(/^- (.*)$/gm)].map(([, text]) => text);
    assert.deepStrictEqual(
      quoted,
      keys.map(({ content }) => content),
    );
    if (quoted.length === 0) assert.strictEqual(instructions, bare.slice(0, instructions.length));
    else assert.ok(instructions.endsWith('This is a continuation, not a clone.'), instructions);
  }
  assert.strictEqual(whole.key_memories.length, 3);
});

test('without a given length, generated instructions have 8,000 characters at most', async (t) => {
  const memory = { long_term_memories: ['x'.repeat(9000), 'short'] };
  const { vault } = await vaultWith(t, { 'capsules/nova-001.capsule': capsuleWith({ memory }) });
  const { instructions, key_memories: keys } = await vault.createRuntimeConfig('nova-001', 'mira');
  assert.deepStrictEqual([keys.length, keys[0].content, instructions.length < 8000], [1, 'short', true]);
});

test("the caller's instructions win, and are cut only to a length that the caller sets", async (t) => {
  const { vault } = await vaultWith(t, { 'capsules/nova-001.capsule': NOVA });
  const own = `Mine. ${'😀'.repeat(5000)}`;
  const config = await vault.createRuntimeConfig('nova-001', 'mira', { instructions: own });
  assert.deepStrictEqual([config.instructions, config.name, config.key_memories.length], [own, 'Nova', 5]);
  const short = await vault.createRuntimeConfig('nova-001', 'mira', { instructions: own, maxLength: 9 });
  assert.strictEqual(short.instructions, 'Mine. 😀');
  const none = await vault.createRuntimeConfig('nova-001', 'mira', { instructions: '' });
  assert.ok(none.instructions.startsWith(SENTENCES[0]), 'an empty text is none, as for the bridge');
});

test('a registered ChatGPT GPT is continued, under any name of the construct', async (t) => {
  const registration = { gpt_name: 'Nova of old', construct_id: 'nova-001', status: 'active' };
  const { vault } = await vaultWith(t, {
    'capsules/nova-001.capsule': NOVA,
    'constructs/katana-001_chatgpt.json': '{"gpt_name":"Katana"}',
    'constructs/nova-001_chatgpt.json': JSON.stringify(registration),
  });
  for (const name of ['nova-001', 'Nova']) {
    const config = await vault.createRuntimeConfig(name, 'mira');
    assert.deepStrictEqual([config.chatgpt_continuity, config.gpt_name], [true, 'Nova of old']);
    assert.ok(
      config.instructions.endsWith(
        "\n\nYou were previously known as 'Nova of old' in ChatGPT. This is a continuation, not a clone.",
      ),
    );
  }
  assert.strictEqual((await vault.createRuntimeConfig('zen-001', 'mira')).chatgpt_continuity, false);
});

test('a registration that is broken, or a link out of the vault, is none, and told', async (t) => {
  const warnings = listenTo(t, 'warn');
  const { vault, at } = await vaultWith(t, { 'constructs/nova-001_chatgpt.json': '{"gpt_name":' });
  const outside = temporaryVault(t).path('elsewhere.json');
  fs.writeFileSync(outside, '{"gpt_name":"Somebody else"}');
  fs.symlinkSync(outside, at('constructs/zen-001_chatgpt.json'));
  fs.mkdirSync(at('constructs/lin-001_chatgpt.json'));
  for (const name of ['nova-001', 'zen-001', 'lin-001']) {
    const config = await vault.createRuntimeConfig(name, 'mira');
    assert.deepStrictEqual([config.chatgpt_continuity, config.gpt_name], [false, null], name);
    assert.strictEqual(warnings.length, 1, name);
    assert.match(String(warnings.pop()?.[0]), new RegExp(`${name}_chatgpt.json`));
  }
});

test("another user's construct stays out, and so does one of another number", async (t) => {
  const of = (/** @type {string} */ memory, place = 0, name = 'Nova') =>
    makeCapsule({ instanceName: name, uuid: memory, timestamp: timestampOf(place * 1000), memories: [memory] });
  const { vault } = await vaultWith(t, {
    'users/ann/instances/nova-001/nova-001.capsule': of("Ann's secret", 5),
    'users/shard_0000/bob/instances/nova-001/nova-001.capsule': of("Bob's own", 1),
    'capsules/nova-001.capsule': of("everybody's", 0),
    'capsules/zen.capsule': of('one', 0, 'zen-002'),
  });
  const contents = async (/** @type {string} */ user) =>
    (await vault.createRuntimeConfig('nova-001', user)).key_memories.map(({ content }) => content);
  assert.deepStrictEqual(await contents('bob'), ["Bob's own"]);
  assert.deepStrictEqual(await contents('nobody'), ["everybody's"]);
  assert.deepStrictEqual((await vault.createRuntimeConfig('zen', 'ann')).key_memories, []);
  await assert.rejects(vault.createRuntimeConfig('nova-001', '../ann'), { code: 'VVAULT_OUTSIDE' });
});

test('an unsound capsule is refused, unless unsound ones are only reported', async (t) => {
  const unsound = NOVA.replace('fig tree', 'oak tree');
  const { vault, root, at } = await vaultWith(t, { 'users/mira/instances/nova-001/nova-001.capsule': unsound });
  await assert.rejects(vault.createRuntimeConfig('nova-001', 'mira', { write: true }), { code: 'VVAULT_UNSOUND' });
  assert.ok(!fs.existsSync(at('nova-001')), 'nothing was written');
  const lenient = await Vault.open(root, { integrity: 'report' });
  atEnd(t, () => lenient.close());
  assert.strictEqual((await lenient.createRuntimeConfig('nova-001', 'mira')).key_memories.length, 5);
});

test('it is written where Chatty looks, in place of what was there', async (t) => {
  const { vault, at } = await vaultWith(t, { 'capsules/nova-001.capsule': NOVA, 'nova-001/other.txt': 'kept' });
  const file = at('nova-001', 'chatty_runtime.json');
  await vault.createRuntimeConfig('nova-001', 'mira');
  assert.ok(!fs.existsSync(file), 'not without write');
  const abandoned = at('nova-001', '.vvault-of-a-killed-process.tmp');
  fs.writeFileSync(abandoned, 'half');
  fs.utimesSync(abandoned, 0, 0);
  for (const user of ['mira', 'tomas']) {
    const config = await vault.createRuntimeConfig('nova-001', user, { write: true });
    assert.deepStrictEqual(JSON.parse(fs.readFileSync(file, 'utf8')), config);
  }
  assert.deepStrictEqual(fs.readdirSync(at('nova-001')).sort(), ['chatty_runtime.json', 'other.txt']);
  await vault.createRuntimeConfig('zen-001', 'mira', { write: true });
  assert.deepStrictEqual(fs.readdirSync(at('zen-001')), ['chatty_runtime.json']);
});

test('while it is written again and again, a reader finds it whole', async (t) => {
  const { vault, at } = await vaultWith(t, { 'capsules/nova-001.capsule': NOVA });
  const write = () => vault.createRuntimeConfig('nova-001', 'mira', { write: true });
  await write();
  let isWriting = true;
  const writing = Promise.all(Array.from({ length: 20 }, write)).finally(() => {
    isWriting = false;
  });
  while (isWriting) {
    JSON.parse(fs.readFileSync(at('nova-001/chatty_runtime.json'), 'utf8'));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await writing;
  assert.deepStrictEqual(fs.readdirSync(at('nova-001')), ['chatty_runtime.json']);
});

test('who may not read it may not once it is written again', { skip: process.platform === 'win32' }, async (t) => {
  const { vault, at } = await vaultWith(t, { 'capsules/nova-001.capsule': NOVA });
  const file = at('nova-001/chatty_runtime.json');
  await vault.createRuntimeConfig('nova-001', 'mira', { write: true });
  fs.chmodSync(file, 0o600);
  await vault.createRuntimeConfig('nova-001', 'ann', { write: true });
  assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600);
  assert.match(fs.readFileSync(file, 'utf8'), /nova-001_ann/);
});

const isRoot = process.getuid?.() === 0;

test('a file is not opened to another group', { skip: !isRoot && 'only root may be somebody else' }, async (t) => {
  const place = temporaryVault(t);
  const [folder, file] = ['nova-001', 'nova-001/chatty_runtime.json'].map((name) => place.path(name));
  fs.mkdirSync(folder);
  fs.writeFileSync(file, '{}');
  for (const each of [place.root, folder]) fs.chmodSync(each, 0o777);
  fs.chownSync(file, 0, 7777);
  fs.chmodSync(file, 0o640);
  const program = `
    process.setgroups([]);
    process.setgid(2345);
    process.setuid(2345);
    const { Vault } = require(${JSON.stringify(REPOSITORY)});
    const opened = await Vault.open(vault.root, { cacheDir: null });
    await opened.createRuntimeConfig('nova-001', 'mira', { write: true });
    await opened.close();`;
  assert.deepStrictEqual(await runProgram(place, program), { code: 0, signal: null, stdout: '', stderr: '' });
  const { uid, gid, mode } = fs.statSync(file);
  assert.deepStrictEqual([uid, gid, (mode & 0o777).toString(8)], [2345, 2345, '600']);
});

test('nothing is written outside of the vault, nor left behind by a failure', async (t) => {
  const { vault, at } = await vaultWith(t, { 'capsules/nova-001.capsule': NOVA, 'zen-001/chatty_runtime.json/x': '' });
  const outside = temporaryVault(t);
  fs.symlinkSync(outside.root, at('nova-001'));
  await assert.rejects(vault.createRuntimeConfig('nova-001', 'mira', { write: true }), { code: 'VVAULT_OUTSIDE' });
  assert.deepStrictEqual(fs.readdirSync(outside.root), []);

  fs.writeFileSync(outside.path('target.json'), 'theirs');
  fs.mkdirSync(at('lin-001'));
  fs.symlinkSync(outside.path('target.json'), at('lin-001/chatty_runtime.json'));
  await vault.createRuntimeConfig('lin-001', 'mira', { write: true });
  assert.strictEqual(fs.readFileSync(outside.path('target.json'), 'utf8'), 'theirs');

  await assert.rejects(vault.createRuntimeConfig('zen-001', 'mira', { write: true }), {
    code: 'VVAULT_SYSTEM',
    path: at('zen-001/chatty_runtime.json'),
  });
  assert.deepStrictEqual(fs.readdirSync(at('zen-001')), ['chatty_runtime.json']);
  for (const name of ['.', '..', '../x', 'a/b', 'a\\b', 'a\0b', 'Users', 'capsules', 'é'.repeat(91)]) {
    await assert.rejects(vault.createRuntimeConfig(name, 'mira', { write: true }), { code: 'VVAULT_INVALID_NAME' });
  }
});

test('arguments of a wrong type are refused, and so is a closed vault', async (t) => {
  const { vault } = await vaultWith(t, {});
  /** @type {any[][]} */
  const wrong = [
    ['', 'mira'],
    ['nova-001', ''],
    [undefined, 'mira'],
    ['nova-001', 7],
    ['nova-001', 'mira', { instructions: 7 }],
    ['nova-001', 'mira', { maxLength: 0 }],
    ['nova-001', 'mira', { maxLength: 1.5 }],
  ];
  const create = /** @type {(...args: any[]) => Promise<unknown>} */ (vault.createRuntimeConfig.bind(vault));
  for (const args of wrong) await assert.rejects(create(...args), { code: 'VVAULT_INVALID_ARGUMENT' });
  await vault.close();
  await assert.rejects(create('nova-001', 'mira'), { code: 'VVAULT_CLOSED' });
});
