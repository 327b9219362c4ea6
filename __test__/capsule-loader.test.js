'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { CapsuleLoader } = require('..');
const { temporaryVault } = require('./support/temporary-vault');

const recorded = path.join(__dirname, 'recorded', 'capsules');
/** @type {{ capsules: Record<string, any> }} */
const expected = JSON.parse(fs.readFileSync(path.join(recorded, 'expected.json'), 'utf8'));
const forged = path.join(recorded, 's1-forge-1.0.0.capsule');

test('capsules of every writer are judged by the recipe of that writer', async () => {
  const loader = new CapsuleLoader();
  for (const [name, { stated, matches }] of Object.entries(expected.capsules)) {
    const file = path.join(recorded, name);
    const result = await loader.loadCapsule(file);
    assert.equal(result.fingerprintValid, stated === null ? null : matches.length > 0, name);
    assert.equal(result.recipe, matches[0] ?? null, name);
    assert.equal(result.isValid, result.fingerprintValid !== false, name);
    assert.equal(result.errorMessage === null, result.isValid, name);
    assert.deepEqual(result.capsuleData, JSON.parse(fs.readFileSync(file, 'utf8')), name);
  }
});

test('capsules of every writer are restored', async () => {
  const loader = new CapsuleLoader();
  for (const [name, { restore }] of Object.entries(expected.capsules)) {
    const { capsuleData } = await loader.loadCapsule(path.join(recorded, name));
    const state = loader.restoreConstruct(capsuleData);
    assert.deepEqual(state.memoryLog.slice(0, restore.memoryLog.length), restore.memoryLog, name);
    assert.deepEqual(
      state.memories.map(({ content }) => content),
      state.memoryLog,
      name,
    );
    assert.equal(state.uuid, restore.uuid, name);
  }
  const { capsuleData } = await loader.loadCapsule(forged);
  const state = loader.restoreConstruct(capsuleData);
  assert.deepEqual(state.traits, capsuleData.traits);
  assert.deepEqual(state.personality, capsuleData.personality);
  assert.deepEqual(state.environment, capsuleData.environment);
  assert.deepEqual(state.additionalData, capsuleData.additional_data);
});

test('the tether signature is compared where it is expected', async () => {
  const loader = new CapsuleLoader();
  assert.equal((await loader.loadCapsule(forged)).tetherValid, null);
  assert.equal((await loader.loadCapsule(forged, 'DEVON-ALLEN-WOODSON-SIG')).tetherValid, true);
  const other = await loader.loadCapsule(forged, 'ANOTHER-SIG');
  assert.equal(other.tetherValid, false);
  assert.equal(other.isValid, false);
  assert.equal(other.fingerprintValid, true);
  assert.match(other.errorMessage ?? '', /tether signature/);
});

test('what is no capsule is told, and never thrown', async (context) => {
  const { root: folder } = temporaryVault(context);
  const loader = new CapsuleLoader();
  const missing = await loader.loadCapsule(path.join(folder, 'missing.capsule'));
  assert.equal(missing.isValid, false);
  assert.equal(missing.capsuleData, null);
  assert.match(missing.errorMessage ?? '', /^ENOENT/);
  assert.match((await loader.loadCapsule(folder)).errorMessage ?? '', /EISDIR/);
  for (const text of ['', '{', 'null', '[]', '5', '{"traits": NaN}', '\ufeff{}']) {
    const file = path.join(folder, 'broken.capsule');
    fs.writeFileSync(file, text);
    const result = await loader.loadCapsule(file);
    assert.equal(result.isValid, false, text);
    assert.equal(typeof result.errorMessage, 'string', text);
  }
  // @ts-expect-error
  await assert.rejects(loader.loadCapsule(5), { code: 'VVAULT_INVALID_ARGUMENT' });
});

test('keys of a capsule never reach a prototype', () => {
  const capsule = JSON.parse(
    '{"traits":{"__proto__":{"polluted":1}},"__proto__":{"polluted":1},"memory":{"__proto__":[]}}',
  );
  const { traits } = new CapsuleLoader().restoreConstruct(capsule);
  assert.equal(Object.getPrototypeOf(traits), Object.prototype);
  assert.equal(/** @type {any} */ ({}).polluted, undefined);
  assert.deepEqual(Object.keys(traits), ['__proto__']);
});

test('what is not an object restores to nothing', () => {
  for (const value of [null, [], 5, 'x', undefined]) {
    // @ts-expect-error
    assert.throws(() => new CapsuleLoader().restoreConstruct(value), { code: 'VVAULT_NOT_A_CAPSULE' });
  }
});

test('memories are handed to the runtime one after the other', async () => {
  /** @type {[string, Record<string, unknown>][]} */
  const taken = [];
  let busy = false;
  const runtime = {
    /** @param {string} content @param {Record<string, unknown>} metadata */
    async addMemory(content, metadata) {
      assert.equal(busy, false);
      busy = true;
      await new Promise((resolve) => setImmediate(resolve));
      busy = false;
      taken.push([content, metadata]);
      return content !== 'refused';
    },
  };
  const loader = new CapsuleLoader({ runtime });
  const { capsuleData } = await loader.loadCapsule(forged);
  const { memories, memoryLog } = loader.restoreConstruct(capsuleData);
  assert.ok(memories.length > 0);
  assert.equal(await loader.dropMemIntoRuntime(memories), memories.length);
  assert.deepEqual(
    taken.map(([content]) => content),
    memoryLog,
  );
  assert.equal(taken[0][1].id, memories[0].id);
  assert.equal(taken[0][1].kind, 'short-term');
  assert.equal(await loader.dropMemIntoRuntime(['a', 'refused', 'b']), 2);
  await assert.rejects(new CapsuleLoader().dropMemIntoRuntime(['a']), { code: 'VVAULT_NO_RUNTIME' });
});

test('what is no list of memories is refused before anything of it is handed over', async () => {
  /** @type {unknown[]} */
  const taken = [];
  const loader = new CapsuleLoader({
    runtime: {
      addMemory(content) {
        taken.push(content);
      },
    },
  });
  for (const [memories, why] of /** @type {[any, RegExp][]} */ ([
    ['hello', /a list/],
    [null, /a list/],
    [{ content: 'no list' }, /a list/],
    [['fine', null], /no memory is at place 1\b/],
    [[{ text: 'x' }], /place 0\b.*content/],
    [[{}], /place 0\b/],
    [[{ content: undefined }], /place 0\b/],
    [[5], /place 0\b/],
    [[['x']], /place 0\b/],
    [new Map([['a', 1]]), /place 0\b/],
    [Buffer.from('ab'), /place 0\b/],
    // biome-ignore lint/suspicious/noSparseArray: a hole is no memory
    [['fine', , 'fine'], /place 1\b/],
  ])) {
    await assert.rejects(loader.dropMemIntoRuntime(memories), { code: 'VVAULT_INVALID_ARGUMENT', message: why });
  }
  assert.deepEqual(taken, []);

  /** Content of any type comes from capsules of memories; classes may have it above them. */
  class Remembered {
    get content() {
      return 'inherited';
    }
  }
  function* memories() {
    yield 'text';
    for (const content of [null, 0, '', false, ['a'], { b: 1 }]) yield/** @type {any} */ ({ content });
    yield/** @type {any} */ (new Remembered());
  }
  assert.equal(await loader.dropMemIntoRuntime(memories()), 8);
  assert.deepEqual(taken.splice(0), ['text', null, 0, '', false, ['a'], { b: 1 }, 'inherited']);
  assert.equal(await loader.dropMemIntoRuntime(new Set(['a'])), 1);
  assert.equal(await loader.dropMemIntoRuntime([]), 0);
  assert.deepEqual(taken, ['a']);
});
