'use strict';

// The store as a caller sees it.

const assert = require('node:assert');
const { spawn, spawnSync } = require('node:child_process');
const { getEventListeners, once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { setImmediate } = require('node:timers/promises');
const { format } = require('node:util');

const { Vault } = require('..');
const { atEnd } = require('./support/at-end');
const { makeCapsule } = require('./support/construct-capsules');
const { temporaryVault } = require('./support/temporary-vault');

/** @param {import('node:test').TestContext} t */
async function openVault(t, options = {}) {
  const { root } = temporaryVault(t);
  const vault = await Vault.open(root, { create: true, ...options });
  atEnd(t, () => vault.close());
  return { root, vault };
}

/** @param {string} uuid @param {number} day @param {string[]} memories */
function nova(uuid, day, memories = [uuid]) {
  const timestamp = `2026-01-${String(day).padStart(2, '0')}T00:00:00.000000+00:00`;
  return makeCapsule({ instanceName: 'Nova', uuid, timestamp, memories });
}

const canLock = spawnSync('flock', ['--version']).status === 0;

test('changes of one instance that another process has locked keep back no others', { skip: !canLock }, async (t) => {
  const { root, vault } = await openVault(t);
  await vault.storeCapsule(nova('a', 1));
  const [luna, lunas] = ['a', 'b'].map((uuid) => makeCapsule({ instanceName: 'Luna', uuid, timestamp: uuid }));
  await vault.storeCapsule(luna);
  const other = spawn('flock', [path.join(root, 'indexes/Nova.lock'), '-c', 'echo locked; cat']);
  atEnd(t, () => void other.kill());
  await once(other.stdout, 'data');
  const tags = Array.from({ length: 100 }, (_, at) => `tag ${at}`);
  const waiting = tags.map((tag) => vault.addTag('Nova', 'a', tag));
  const stored = vault.storeCapsule(nova('b', 2));
  await vault.storeCapsule(lunas);
  assert.strictEqual(await vault.addTag('Luna', 'a', 'gold'), true);
  assert.strictEqual(await vault.deleteCapsule('Luna', 'b'), true);
  assert.deepStrictEqual(
    (await vault.listCapsules('Nova')).map((entry) => entry.tags),
    [[]],
  );
  other.stdin.end();
  assert.deepStrictEqual(new Set(await Promise.all(waiting)), new Set([true]));
  await stored;
  const listed = await vault.listCapsules('Nova');
  assert.deepStrictEqual(new Set(listed.flatMap((entry) => entry.tags)), new Set(tags));
});

test('stores, finds, lists, tags and deletes versions', async (t) => {
  const { root, vault } = await openVault(t);
  const first = nova('a', 2);
  const stored = await vault.storeCapsule(first);
  assert.strictEqual(stored, path.join(root, 'capsules/Nova/Nova_2026-01-02T00-00-00-000000-00-00.capsule'));
  assert.strictEqual(fs.readFileSync(stored, 'utf8'), first);
  await vault.storeCapsule(Buffer.from(nova('b', 1)));

  const latest = await vault.retrieveCapsule('Nova');
  assert.strictEqual(latest.capsuleData.metadata.uuid, 'b');
  assert.deepStrictEqual(
    [latest.success, latest.integrityValid, latest.errorMessage, latest.integrity],
    [true, true, null, { valid: true, recipe: 'F1', tether: null }],
  );
  const listed = await vault.listCapsules('Nova');
  assert.deepStrictEqual(
    listed.map(({ uuid }) => uuid),
    ['a', 'b'],
  );
  assert.deepStrictEqual(latest.metadata, listed[1]);
  assert.strictEqual((await vault.retrieveCapsule('Nova', { version: 'a' })).capsuleJson, first);

  assert.strictEqual(await vault.addTag('Nova', 'a', 'gold'), true);
  assert.strictEqual((await vault.retrieveCapsule('Nova', { tag: 'gold' })).capsuleData.metadata.uuid, 'a');
  assert.strictEqual((await vault.listCapsules('Nova', { tag: 'gold' })).length, 1);
  assert.deepStrictEqual((await vault.getInstanceInfo('Nova'))?.tags, { gold: 1 });
  assert.strictEqual(await vault.removeTag('Nova', 'a', 'gold'), true);
  assert.strictEqual(await vault.deleteCapsule('Nova', 'b'), true);
  assert.strictEqual(await vault.deleteCapsule('Nova', 'b'), false);
  assert.deepStrictEqual(await vault.listInstances(), ['Nova']);
  assert.strictEqual((await vault.getInstanceInfo('Nova'))?.latest_uuid, 'a');
});

test('what is not there is told in VVAULT’s words', async (t) => {
  const { vault } = await openVault(t);
  await vault.storeCapsule(nova('a', 1));
  const messages = [
    await vault.retrieveCapsule('Nobody'),
    await vault.retrieveCapsule('Nova', { uuid: 'x' }),
    await vault.retrieveCapsule('Nova', { tag: 'x' }),
  ].map(({ success, capsuleData, integrityValid, errorMessage }) => [
    success,
    capsuleData,
    integrityValid,
    errorMessage,
  ]);
  assert.deepStrictEqual(messages, [
    [false, null, false, "Instance 'Nobody' not found"],
    [false, null, false, "Capsule with UUID 'x' not found"],
    [false, null, false, "No capsules found with tag 'x'"],
  ]);
  assert.deepStrictEqual(await vault.listCapsules('Nobody'), []);
  assert.strictEqual(await vault.getInstanceInfo('Nobody'), null);
  assert.strictEqual(await vault.addTag('Nova', 'x', 'tag'), false);
});

test('an object is stored if its hash still holds, else refused with what to do', async (t) => {
  const { vault } = await openVault(t);
  const exact = nova('a', 1);
  await vault.storeCapsule(JSON.parse(exact));
  assert.strictEqual((await vault.retrieveCapsule('Nova', { uuid: 'a' })).integrityValid, true);

  const changed = JSON.parse(nova('b', 2));
  changed.memory.short_term_memories.push('another');
  await assert.rejects(vault.storeCapsule(changed), (/** @type {any} */ error) => {
    assert.strictEqual(error.code, 'VVAULT_UNSOUND');
    assert.match(error.message, /refingerprint/);
    return true;
  });
  // Also where unsound capsules are let pass: nobody would know that it was sound.
  const lenient = await openVault(t, { integrity: 'report' });
  await assert.rejects(lenient.vault.storeCapsule(changed), { code: 'VVAULT_UNSOUND' });
  await vault.storeCapsule(changed, { refingerprint: true });
  const retrieved = await vault.retrieveCapsule('Nova', { uuid: 'b' });
  assert.deepStrictEqual([retrieved.integrityValid, retrieved.integrity.recipe], [true, 'F1']);
  assert.deepStrictEqual(retrieved.capsuleData.memory, changed.memory);
});

test('an unsound capsule is refused, reported, or adopted', async (t) => {
  const { root, vault } = await openVault(t);
  const unsound = nova('a', 1, ['kept']).replace('kept', 'changed');
  await assert.rejects(vault.storeCapsule(unsound), { code: 'VVAULT_UNSOUND' });
  assert.deepStrictEqual(await vault.listInstances(), []);

  const folder = path.join(root, 'users/ann/instances/nova-001/identity');
  fs.mkdirSync(folder, { recursive: true });
  const file = path.join(folder, 'nova-001.capsule');
  fs.writeFileSync(file, unsound);
  /** @type {any[]} */
  const rejected = [];
  vault.on('capsule:rejected', (event) => rejected.push(event));
  assert.deepStrictEqual(await vault.readMemories('ann', { constructId: 'nova-001' }), []);
  await assert.rejects(vault.restoreConstruct('nova'), { code: 'VVAULT_UNSOUND', path: file });
  assert.deepStrictEqual(
    rejected.map((event) => [
      event.kind,
      event.path,
      event.userId,
      event.constructId,
      event.uuid,
      event.integrity.valid,
    ]),
    [['rejected', file, 'ann', 'nova-001', 'a', false]],
  );
  assert.match(rejected[0].reason, /adoptCapsule/);
  const lenient = await Vault.open(root, { integrity: 'report' });
  assert.deepStrictEqual((await lenient.restoreConstruct('nova')).memoryLog, ['changed']);
  await lenient.close();

  const adopted = await vault.adoptCapsule(file);
  assert.strictEqual(fs.readFileSync(file, 'utf8'), unsound);
  const [memory] = await vault.readMemories('ann', { constructId: 'nova-001' });
  assert.strictEqual(memory.content, 'changed');
  assert.strictEqual((await vault.listCapsules('Nova', { tag: 'adopted' }))[0].filename, path.basename(adopted));
});

test('reads a user’s memories with a construct’s, by tags, and without unsound ones', async (t) => {
  const { root, vault } = await openVault(t);
  const folder = path.join(root, 'users/shard_0000/ann/capsules');
  fs.mkdirSync(folder, { recursive: true });
  const write = (/** @type {string} */ name, /** @type {object} */ memory) =>
    fs.writeFileSync(path.join(folder, name), JSON.stringify(memory));
  const hash = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
  write('old.json', { raw: 'abc', raw_sha256: hash, created_ts: '2025-01-01T00:00:00Z', tags: ['a', 'b'] });
  write('new.json', { raw: 'new', created_ts: '2027-01-01T00:00:00Z', tags: ['b', 'half \ud800'] });
  write('bad.json', { raw: 'abd', raw_sha256: hash, created_ts: '2028-01-01T00:00:00Z', tags: ['a', 'b'] });
  await vault.storeCapsule(nova('n', 1, ['of nova']));
  /** @type {string[]} */
  const rejected = [];
  vault.on('capsule:rejected', (event) => rejected.push(`${event.userId} ${path.basename(event.path)}`));

  const contents = async (/** @type {any} */ options, reader = vault) =>
    (await reader.readMemories('ann', options)).map(({ content }) => content);
  assert.deepStrictEqual(await contents({}), ['new', 'abc']);
  assert.deepStrictEqual(await contents({ constructId: 'nova-001' }), ['new', 'of nova', 'abc']);
  assert.deepStrictEqual(await contents({ constructId: 'nova-001', limit: 2 }), ['new', 'of nova']);
  for (const constructId of ['katana-001', 'nova-002', 'nova-777', 'nova-1', 'nov']) {
    assert.deepStrictEqual(await contents({ constructId }), ['new', 'abc'], constructId);
  }
  assert.deepStrictEqual(await contents({ tags: ['a', 'b'], constructId: 'nova-001' }), ['abc']);
  assert.deepStrictEqual(await contents({ tags: ['half \ud800'] }), ['new']);
  assert.deepStrictEqual(await contents({ tags: ['half \ufffd'] }), []);
  assert.deepStrictEqual(rejected, ['ann bad.json']);

  const lenient = await Vault.open(root, { integrity: 'report' });
  atEnd(t, () => lenient.close());
  const [marked] = await lenient.readMemories('ann', { limit: 1 });
  assert.deepStrictEqual(/** @type {any} */ (marked.metadata).integrity, { valid: false, recipe: null, tether: null });
  assert.deepStrictEqual(await contents({}, lenient), ['abd', 'new', 'abc']);
});

test('an import raises one event, and no listener can break the store', async (t) => {
  const { vault } = await openVault(t);
  const logged = t.mock.method(console, 'error', () => {});
  vault.on('capsule:imported', () => {
    throw new Error('a bad listener');
  });
  const told = once(vault, 'capsule:imported');
  await vault.storeCapsule(nova('a', 1, ['x', 'y']));
  const [event] = await told;
  assert.deepStrictEqual(
    [event.kind, event.format, event.instanceName, event.uuid, event.memories.map((/** @type {any} */ m) => m.content)],
    ['imported', 'construct', 'Nova', 'a', ['x', 'y']],
  );
  assert.strictEqual(logged.mock.callCount(), 1);
  await vault.storeCapsule(nova('a', 1, ['x', 'y']));
  assert.strictEqual(logged.mock.callCount(), 1, 'the same once more is no import');
});

test('a large memory is judged as it is read: the limit is for constructs', async (t) => {
  const { root, vault } = await openVault(t, { maxCapsuleBytes: 1000 });
  fs.mkdirSync(path.join(root, 'users/ann/capsules'), { recursive: true });
  fs.writeFileSync(path.join(root, 'users/ann/capsules/m.json'), JSON.stringify({ raw: 'x'.repeat(2000) }));
  fs.mkdirSync(path.join(root, 'capsules'), { recursive: true });
  fs.writeFileSync(path.join(root, 'capsules/x.capsule'), nova('a', 1, ['x'.repeat(2000)]));
  assert.strictEqual((await vault.readMemories('ann')).length, 1);
  const verdicts = (await vault.verifyCapsules()).map(({ format, integrity }) => [format, integrity.valid]);
  assert.deepStrictEqual(verdicts, [
    ['construct', false],
    ['memory', null],
  ]);
});

test('a listener that closes the vault is the last that hears, but of the end and of trouble', async (t) => {
  const { vault } = await openVault(t);
  /** @type {string[]} */
  const heard = [];
  vault.on('capsule:imported', () => {
    heard.push('imported');
    vault.close();
  });
  vault.on('capsule:imported', () => heard.push('imported, after the end'));
  vault.on('close', () => heard.push('close'));
  vault.on('close', () => heard.push('close, too'));
  await vault.storeCapsule(nova('a', 1));
  assert.deepStrictEqual(heard, ['imported', 'close', 'close, too']);
});

test('a vault that is not there, and one that is closed', async (t) => {
  const { root, vault } = await openVault(t);
  await assert.rejects(Vault.open(path.join(root, 'nowhere')), {
    code: 'VVAULT_NO_VAULT',
    message: /no such folder; make it, or open it with \{ create: true \}$/,
  });
  assert.throws(() => new /** @type {any} */ (Vault)(), { code: 'VVAULT_INVALID_ARGUMENT' });
  await vault.close();
  await vault.close();
  for (const call of [
    () => vault.readMemories('ann'),
    () => vault.storeCapsule(nova('a', 1)),
    () => vault.retrieveCapsule('Nova'),
    () => vault.listCapsules('Nova'),
    () => vault.listInstances(),
    () => vault.getInstanceInfo('Nova'),
    () => vault.addTag('Nova', 'a', 'x'),
    () => vault.removeTag('Nova', 'a', 'x'),
    () => vault.deleteCapsule('Nova', 'a'),
    () => vault.discoverCapsules(),
    () => vault.verifyCapsules(),
    () => vault.adoptCapsule('x'),
    () => vault.restoreConstruct('nova'),
    () => vault.attachOrchestrator(/** @type {any} */ ({}), { userId: 'a', constructId: 'b' }),
  ]) {
    await assert.rejects(call, { code: 'VVAULT_CLOSED' });
  }
});

test('pages miss nothing while memories come and go, also where these have no time of their own', async (t) => {
  const walk = async (
    /** @type {(at: (file: string) => string) => void} */ prepare,
    /** @type {(at: (file: string) => string) => void} */ meanwhile,
    options = {},
  ) => {
    const { root, vault } = await openVault(t);
    const at = (/** @type {string} */ file) => {
      fs.mkdirSync(path.join(root, 'users/ann', path.dirname(file)), { recursive: true });
      return path.join(root, 'users/ann', file);
    };
    prepare(at);
    let page = await vault.readMemories('ann', { limit: 2, ...options });
    const met = page.map(({ content }) => content);
    meanwhile(at);
    while (page.before !== null) {
      page = await vault.readMemories('ann', { limit: 2, ...options, before: page.before });
      met.push(...page.map(({ content }) => content));
    }
    return met;
  };
  const undated = (/** @type {(file: string) => string} */ at) => {
    for (const raw of ['a', 'b', 'c', 'd', 'e']) fs.writeFileSync(at(`capsules/${raw}.json`), JSON.stringify({ raw }));
  };
  const whole = ['a', 'b', 'c', 'd', 'e'];
  const unchanged = () => {};
  assert.deepStrictEqual(await walk(undated, unchanged), whole);
  assert.deepStrictEqual(await walk(undated, (at) => fs.rmSync(at('capsules/b.json'))), whole);

  const transcripts = (/** @type {(file: string) => string} */ at) => {
    for (const text of whole) fs.writeFileSync(at(`transcripts/s/${text}_user.txt`), `# User: ann\n# ---\n${text}`);
  };
  assert.deepStrictEqual(await walk(transcripts, unchanged), whole);
  assert.deepStrictEqual(await walk(transcripts, (at) => fs.rmSync(at('transcripts/s/b_user.txt'))), whole);

  const capsule = (/** @type {string} */ timestamp, /** @type {string[]} */ memories) => {
    return (/** @type {(file: string) => string} */ at) => {
      const metadata = { instance_name: 'nova-001', uuid: timestamp, timestamp };
      const text = JSON.stringify({ metadata, memory: { short_term_memories: memories } });
      fs.mkdirSync(at('capsules/.'), { recursive: true });
      fs.writeFileSync(at('instances/nova-001/nova-001.capsule'), text);
    };
  };
  const [first, next, nova] = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', { constructId: 'nova' }];
  // Of one time the last is the newest.
  const newest = whole.toReversed();
  for (const saved of [capsule(next, whole), capsule(first, [...whole, 'new']), capsule(next, whole.slice(0, -1))]) {
    assert.deepStrictEqual(await walk(capsule(first, whole), saved, nova), newest);
  }
  // What a page ended with is gone, or has taken the place of one that had the same words.
  const gone = await walk(capsule(first, whole), capsule(next, ['a', 'b', 'c', 'e']), nova);
  assert.deepStrictEqual(gone, ['e', 'd', 'c', 'b', 'a']);
  const ok = ['ok', 'b', 'c', 'ok', 'e'];
  const renamed = await walk(capsule(first, ok), capsule(next, [...ok.slice(1), 'new']), nova);
  assert.ok(
    ['b', 'c', 'ok', 'e'].every((word) => renamed.includes(word)),
    String(renamed),
  );
});

test('what is no object is no sound capsule of a construct, also where it states no hash', async (t) => {
  const { root, vault } = await openVault(t);
  fs.mkdirSync(path.join(root, 'users/ann/instances/nova-001'), { recursive: true });
  for (const [name, text] of [
    ['a', '[]'],
    ['b', '5'],
    ['c', '"x"'],
    ['d', 'null'],
    ['e', '{}'],
  ]) {
    fs.writeFileSync(path.join(root, `users/ann/instances/nova-001/${name}.capsule`), text);
  }
  const verdicts = (await vault.verifyCapsules()).map(({ integrity }) => integrity.valid);
  assert.deepStrictEqual(verdicts, [false, false, false, false, null]);
});

test('a listener whose error cannot be printed disturbs nobody either', async (t) => {
  for (const watch of [true, false]) {
    const { vault } = await openVault(t, { watch });
    const unprintable = Object.assign(new Error('failed'), {
      [Symbol.for('nodejs.util.inspect.custom')]: () => {
        throw new Error('formatting failed');
      },
    });
    let count = 0;
    vault.on('capsule:imported', () => {
      throw unprintable;
    });
    vault.on('capsule:imported', () => Promise.reject(unprintable));
    vault.on('capsule:imported', () => {
      count += 1;
    });
    const complained = t.mock.method(console, 'error', (/** @type {unknown[]} */ ...all) => void format(...all));
    for (const day of [1, 2]) await vault.storeCapsule(nova(`a${day}`, day));
    complained.mock.mockImplementation(() => {
      throw new Error('no words in tests');
    });
    await vault.storeCapsule(nova('a3', 3));
    complained.mock.restore();
    assert.strictEqual(count, 3, `watch: ${watch}`);
    await vault.close();
  }
});

test('bad arguments and hostile names are refused', async (t) => {
  const { root, vault } = await openVault(t);
  const any = /** @type {any} */ (vault);
  await assert.rejects(any.storeCapsule(5), { code: 'VVAULT_INVALID_ARGUMENT' });
  await assert.rejects(any.storeCapsule('{}'), { code: 'VVAULT_INVALID_CAPSULE' });
  await assert.rejects(any.storeCapsule('not JSON'), { code: 'VVAULT_INVALID_CAPSULE' });
  const half = nova('a', 1).replace('"a"', '"half \ud800"');
  await assert.rejects(any.storeCapsule(half), { code: 'VVAULT_INVALID_ARGUMENT' });
  await assert.rejects(any.listCapsules(''), { code: 'VVAULT_INVALID_ARGUMENT' });
  await assert.rejects(any.addTag('Nova', 'a', 5), { code: 'VVAULT_INVALID_ARGUMENT' });
  await assert.rejects(any.addTag('Nova', 'a', 'half \ud800'), { code: 'VVAULT_INVALID_ARGUMENT' });
  await assert.rejects(any.readMemories('ann', { tags: 'x' }), { code: 'VVAULT_INVALID_ARGUMENT' });
  await assert.rejects(any.readMemories('ann', { tags: new Array(1) }), { code: 'VVAULT_INVALID_ARGUMENT' });
  await assert.rejects(any.verifyCapsules({ instances: new Array(1) }), { code: 'VVAULT_INVALID_ARGUMENT' });
  await assert.rejects(any.verifyCapsules({ instances: 5 }), { code: 'VVAULT_INVALID_ARGUMENT' });
  await assert.rejects(any.verifyCapsules({ instances: [null] }), { code: 'VVAULT_INVALID_ARGUMENT' });
  await assert.rejects(any.readMemories('../x'), { code: 'VVAULT_OUTSIDE' });
  await assert.rejects(any.restoreConstruct('nova', { userId: '../..' }), { code: 'VVAULT_OUTSIDE' });
  for (const name of ['..', '../x', 'a/b', 'a\0b']) {
    await assert.rejects(any.retrieveCapsule(name), { code: 'VVAULT_INVALID_NAME' });
    const capsule = makeCapsule({ instanceName: name, uuid: 'a', timestamp: '2026', memories: [] });
    await assert.rejects(any.storeCapsule(capsule), { code: 'VVAULT_INVALID_NAME' });
  }
  assert.deepStrictEqual(fs.readdirSync(path.join(root, 'capsules')), []);
  await assert.rejects(
    Vault.open(root, { maxCapsuleBytes: 10 }).then((small) => small.storeCapsule(nova('a', 1))),
    {
      code: 'VVAULT_TOO_LARGE',
    },
  );
});

test('a signal ends a call', async (t) => {
  const { root, vault } = await openVault(t);
  const reason = new Error('enough');
  await assert.rejects(Vault.open(root, { signal: AbortSignal.abort(reason) }), reason);
  await assert.rejects(vault.readMemories('ann', { signal: AbortSignal.abort(reason) }), reason);
  const controller = new AbortController();
  const reading = vault.readMemories('ann', { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(reading, reason);
});

test('many calls may have one signal', async (t) => {
  const { vault } = await openVault(t);
  /** @type {Error[]} */
  const warnings = [];
  const note = (/** @type {Error} */ warning) => warnings.push(warning);
  process.on('warning', note);
  t.after(() => process.off('warning', note));
  const controller = new AbortController();
  const { signal } = controller;
  const readings = () => Array.from({ length: 20 }, () => vault.readMemories('ann', { signal }));
  await Promise.all(readings());
  assert.strictEqual(getEventListeners(signal, 'abort').length, 0);
  const ended = readings();
  controller.abort(new Error('enough'));
  for (const reading of ended) await assert.rejects(reading, /enough/);
  await setImmediate();
  assert.deepStrictEqual(warnings, []);
});
