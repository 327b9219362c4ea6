'use strict';

// Several processes, and several vaults in one process, store and tag in the same instance at once: nothing is lost, and
// nobody who looks on ever sees anything by halves.

const assert = require('node:assert');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const { test } = require('node:test');
const { setImmediate: nextTurn } = require('node:timers/promises');

const { Vault } = require('..');
const { ENTRY_KEYS, capsuleFilename, makeCapsule, timestampOf, uuidOf } = require('./support/construct-capsules');
const { temporaryVault } = require('./support/temporary-vault');
const { leftBehind, readIndex, wholeCapsuleFiles } = require('./support/vault-on-disk');

const WRITER = '--writer';
const INSTANCE = 'Nova';
const PROCESSES = 4;
const CAPSULES_OF_EACH = 25;
/** Far beyond the numbers of the processes. */
const SHARED = { maker: 99, place: 0 };

/**
 * @typedef {object} Request To a writing process.
 * @property {string} root
 * @property {number} maker
 * @property {boolean} sameMoments Whether the capsules have the timestamps that every other process gives to its own.
 */

/**
 * @param {{ maker: number, place: number }} number
 * @param {number} [moment] its place in time, if it is not its own
 */
function capsuleOf({ maker, place }, moment = maker * 1000 + place) {
  const uuid = uuidOf(maker, place);
  const timestamp = timestampOf(moment);
  const memories = Array.from({ length: 20 }, (_, line) => `line ${line} of capsule ${place} of ${maker}`);
  return { uuid, timestamp, text: makeCapsule({ instanceName: INSTANCE, uuid, timestamp, memories }) };
}

/**
 * The capsules of a process in the order in which it stores them, each with its own tag.
 *
 * @param {Pick<Request, 'maker' | 'sameMoments'>} request
 */
function capsulesOfProcess({ maker, sameMoments }) {
  return Array.from({ length: CAPSULES_OF_EACH }, (_, place) => ({
    ...capsuleOf({ maker, place }, sameMoments ? place : undefined),
    tag: `of ${maker}`,
    sharedTag: `${maker} was here ${place} times`,
  }));
}

/** @param {Request} request */
async function write(request) {
  const vault = await Vault.open(request.root);
  process.send?.('ready');
  await once(process, 'message');
  for (const { uuid, text, tag, sharedTag } of capsulesOfProcess(request)) {
    await vault.storeCapsule(text);
    assert.strictEqual(await vault.addTag(INSTANCE, uuid, tag), true, `tagging ${uuid}, which is stored`);
    assert.strictEqual(await vault.addTag(INSTANCE, uuidOf(SHARED.maker, SHARED.place), sharedTag), true, sharedTag);
  }
  await vault.close();
}

/**
 * Lets all processes write at once; `meanwhile` is called again and again until they are done.
 *
 * @param {Request[]} requests
 * @param {() => Promise<void>} meanwhile
 */
async function race(requests, meanwhile) {
  const writers = requests.map(() => fork(__filename, [WRITER]).on('error', fail));
  /** @type {unknown} */
  let failure;
  /** @param {unknown} error */
  function fail(error) {
    failure ??= error;
  }
  let running = writers.length;
  const ended = writers.map(async (writer) => {
    const [code, signal] = await once(writer, 'exit');
    running -= 1;
    if (code !== 0) fail(new Error(`a writing process ended with ${signal ?? `code ${code}`}; its error is above`));
  });
  try {
    await Promise.all(
      writers.map(async (writer, place) => {
        writer.send(requests[place]);
        await once(writer, 'message');
      }),
    );
    for (const writer of writers) writer.send('go');
    while (running > 0) {
      await meanwhile();
      // Also if nothing in there had to wait, it must come to light that a process has ended.
      await nextTurn();
    }
  } finally {
    for (const writer of writers) writer.kill('SIGKILL');
    await Promise.all(ended);
  }
  if (failure) throw failure;
}

/**
 * Somebody who looks at the instance all the time and complains of what can't be.
 *
 * @param {Vault} vault
 * @param {Map<string, string>} texts of all capsules that may be there, by UUID
 */
function lookerOn(vault, texts) {
  /** @type {Map<string, string[]>} */
  const seen = new Map();
  let looks = 0;
  /** @param {string} uuid */
  const retrieve = async (uuid) => {
    const { success, capsuleJson, integrityValid, errorMessage } = await vault.retrieveCapsule(INSTANCE, { uuid });
    assert.deepStrictEqual(
      { success, integrityValid, errorMessage: errorMessage ?? null },
      { success: true, integrityValid: true, errorMessage: null },
      `${uuid}, which is listed, retrieved while others write`,
    );
    assert.strictEqual(capsuleJson, texts.get(uuid), `${uuid}, retrieved while others write, is another text`);
  };
  return {
    async look() {
      const entries = await vault.listCapsules(INSTANCE);
      looks += 1;
      const listed = new Map(entries.map((entry) => [entry.uuid, entry]));
      assert.strictEqual(listed.size, entries.length, 'a capsule is listed twice');
      for (const [uuid, tags] of seen) {
        const entry = listed.get(uuid);
        assert.ok(entry, `${uuid} was listed and is not any more (${seen.size} before, ${entries.length} now)`);
        const lost = tags.filter((tag) => !entry.tags.includes(tag));
        assert.deepStrictEqual(lost, [], `tags of ${uuid} that were listed and are not any more`);
      }
      for (const entry of entries) {
        assert.deepStrictEqual(Object.keys(entry).sort(), [...ENTRY_KEYS].sort(), `members of a listed ${entry.uuid}`);
        assert.ok(texts.has(entry.uuid), `${entry.uuid} is listed, and nobody stores it`);
        if (!seen.has(entry.uuid)) await retrieve(entry.uuid);
        seen.set(entry.uuid, entry.tags);
      }
      const latest = await vault.retrieveCapsule(INSTANCE);
      assert.strictEqual(latest.success, true, `the latest of ${entries.length}: ${latest.errorMessage}`);
      assert.strictEqual(latest.capsuleJson, texts.get(String(latest.metadata?.uuid)), 'the latest is another text');
      // What a Python reader finds at this very moment.
      readIndex(vault.root, INSTANCE);
    },
    /** How often it looked, and how many capsules it knows. */
    result: () => ({ looks, capsules: seen.size }),
  };
}

/**
 * Fails unless exactly these capsules are in the vault, with these tags: by the files, and by a vault opened anew.
 *
 * @param {string} root
 * @param {Map<string, { text: string, tags: string[] }>} expected by UUID
 */
async function checkVault(root, expected) {
  const tagsOf = (/** @type {{ uuid: string, tags: string[] }[]} */ entries) =>
    new Map(entries.map(({ uuid, tags }) => [uuid, [...tags].sort()]));
  const expectedTags = tagsOf([...expected].map(([uuid, { tags }]) => ({ uuid, tags })));
  const sorted = (/** @type {Map<string, string[]>} */ map) =>
    [...map].sort(([one], [other]) => (one < other ? -1 : 1));

  const index = readIndex(root, INSTANCE);
  assert.deepStrictEqual(sorted(tagsOf(Object.values(index.capsules))), sorted(expectedTags), 'the index on disk');
  assert.deepStrictEqual(
    wholeCapsuleFiles(root, INSTANCE),
    Object.values(index.capsules)
      .map(({ filename }) => filename)
      .sort(),
    'capsule files, and those that the index names',
  );
  assert.deepStrictEqual(leftBehind(root), [], 'other files in capsules/');

  const vault = await Vault.open(root);
  const entries = await vault.listCapsules(INSTANCE);
  assert.deepStrictEqual(sorted(tagsOf(entries)), sorted(expectedTags), 'as a vault opened anew lists them');
  for (const { uuid } of entries) {
    const { success, capsuleJson, integrityValid } = await vault.retrieveCapsule(INSTANCE, { uuid });
    assert.ok(success && integrityValid, uuid);
    assert.strictEqual(capsuleJson, expected.get(uuid)?.text, `${uuid} is another text`);
  }
  await vault.close();
}

/**
 * @param {import('node:test').TestContext} t
 * @param {boolean} sameMoments
 */
async function raceOfProcesses(t, sameMoments) {
  const { root } = temporaryVault(t);
  const requests = Array.from({ length: PROCESSES }, (_, maker) => ({ root, maker, sameMoments }));
  const shared = capsuleOf(SHARED, SHARED.maker * 1000);
  /** @type {Map<string, { text: string, tags: string[] }>} */
  const expected = new Map();
  const sharedTags = [];
  for (const request of requests) {
    for (const { uuid, text, tag, sharedTag } of capsulesOfProcess(request)) {
      expected.set(uuid, { text, tags: [tag] });
      sharedTags.push(sharedTag);
    }
  }
  expected.set(shared.uuid, { text: shared.text, tags: sharedTags });

  const vault = await Vault.open(root, { create: true });
  await vault.storeCapsule(shared.text);
  const looker = lookerOn(vault, new Map([...expected].map(([uuid, { text }]) => [uuid, text])));
  await race(requests, () => looker.look());
  await looker.look();
  const { looks, capsules } = looker.result();
  t.diagnostic(`looked ${looks} times while ${PROCESSES} processes wrote`);
  assert.strictEqual(capsules, expected.size, 'capsules that the vault in this process knows, opened before the race');

  const latest = await vault.retrieveCapsule(INSTANCE);
  const lastOfEach = requests.map(({ maker }) => uuidOf(maker, CAPSULES_OF_EACH - 1));
  assert.ok(
    lastOfEach.includes(String(latest.metadata?.uuid)),
    `the latest, ${latest.metadata?.uuid}, is not the last that any process stored`,
  );
  await vault.close();
  await checkVault(root, expected);
}

if (process.argv[2] === WRITER) {
  once(process, 'message').then(async ([request]) => {
    await write(request);
    process.disconnect();
  });
} else {
  test('processes store and tag in one instance at once', { timeout: 120_000 }, (t) => raceOfProcesses(t, false));

  // VVAULT makes a capsule's file name of its timestamp alone.
  test('and so do processes whose capsules have the same timestamps', { timeout: 120_000 }, (t) =>
    raceOfProcesses(t, true),
  );

  test('two vaults of one process store at once, then tag at once', { timeout: 60_000 }, async (t) => {
    const { root } = temporaryVault(t);
    const vaults = [await Vault.open(root, { create: true }), await Vault.open(root)];
    const capsules = Array.from({ length: 40 }, (_, place) => capsuleOf({ maker: 1, place }));
    const paths = await Promise.all(capsules.map(({ text }, place) => vaults[place % 2].storeCapsule(text)));
    assert.deepStrictEqual(
      paths.map((file) => file.slice(file.lastIndexOf(INSTANCE))),
      capsules.map(({ timestamp }) => capsuleFilename(INSTANCE, timestamp)),
    );
    for (const vault of vaults) {
      const listed = (await vault.listCapsules(INSTANCE)).map(({ uuid }) => uuid);
      assert.deepStrictEqual(listed, capsules.map(({ uuid }) => uuid).reverse(), 'newest first');
    }

    const tags = ['gold', 'silver'];
    const all = capsules.flatMap(({ uuid }, place) =>
      tags.map((tag, odd) => vaults[(place + odd) % 2].addTag(INSTANCE, uuid, tag)),
    );
    assert.deepStrictEqual(await Promise.all(all), Array(80).fill(true));
    // Half of them lose a tag again, and two are deleted, all at once.
    const [gone, alsoGone, ...kept] = capsules;
    const changes = [
      vaults[0].deleteCapsule(INSTANCE, gone.uuid),
      vaults[1].deleteCapsule(INSTANCE, alsoGone.uuid),
      ...kept.slice(0, 20).map(({ uuid }, place) => vaults[place % 2].removeTag(INSTANCE, uuid, 'silver')),
    ];
    assert.deepStrictEqual(await Promise.all(changes), Array(22).fill(true));
    for (const vault of vaults) await vault.close();
    await checkVault(
      root,
      new Map(kept.map(({ uuid, text }, place) => [uuid, { text, tags: place < 20 ? ['gold'] : tags }])),
    );
  });

  test('the same capsule stored by many at once is there once', { timeout: 60_000 }, async (t) => {
    const { root } = temporaryVault(t);
    const vaults = [await Vault.open(root, { create: true }), await Vault.open(root)];
    const { uuid, text } = capsuleOf({ maker: 1, place: 0 });
    const paths = await Promise.all(Array.from({ length: 20 }, (_, place) => vaults[place % 2].storeCapsule(text)));
    assert.strictEqual(new Set(paths).size, 1, 'one path');
    for (const vault of vaults) await vault.close();
    await checkVault(root, new Map([[uuid, { text, tags: [] }]]));
  });
}
