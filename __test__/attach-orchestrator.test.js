'use strict';

// The orchestrators here are stand-ins that do what Chatty's do: own entries as kind LTM, not cut to the limit, else
// those of a connector as kind TRANSCRIPT; no own `prepareMemoryContext`; a new context at each call.

const assert = require('node:assert/strict');
const { EventEmitter, once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { Vault } = require('..');
const attach = require('../lib/attach-orchestrator');
const { atEnd } = require('./support/at-end');
const { makeCapsule } = require('./support/construct-capsules');
const { listenTo, temporaryVault } = require('./support/temporary-vault');

const NOVA = { userId: 'ann', constructId: 'nova-001' };
const BASE = Date.UTC(2026, 0, 1);

/** A time that is `minutes` after the first. @param {number} minutes */
const at = (minutes) => new Date(BASE + minutes * 60_000).toISOString();

/** @param {number} minutes @param {object} [other] @returns {any} */
const capsule = (minutes, other) => ({
  id: `m${minutes}`,
  type: 'capsule',
  timestamp: at(minutes),
  content: `memory ${minutes}`,
  role: 'system',
  metadata: { source: 'capsule', filename: `m${minutes}.json`, capsuleId: `m${minutes}`, tags: [] },
  ...other,
});

/** @param {number} index @param {object} [other] @returns {any} */
const remembered = (index, other) => ({
  id: `c${index}`,
  type: 'construct',
  timestamp: at(0),
  content: `line ${index}`,
  role: 'user',
  metadata: { source: 'construct', kind: 'short-term', instanceName: 'Nova', uuid: 'u', section: 'memory', index },
  ...other,
});

/** @param {number} count @param {number} [from] */
const capsules = (count, from = 0) => Array.from({ length: count }, (_, index) => capsule(from + index));

class FakeVault extends EventEmitter {
  /** @type {[string, any][]} */
  asked = [];
  /** @type {Error | undefined} */
  failure;

  /** @param {Record<string, any[]>} memories By user. */
  constructor(memories = {}) {
    super();
    this.memories = memories;
  }

  /** @param {string} userId @param {any} options */
  async readMemories(userId, options) {
    this.asked.push([userId, options]);
    if (this.failure) throw this.failure;
    const time = (/** @type {any} */ memory) => new Date(memory.timestamp).getTime();
    const wanted = (this.memories[userId] ?? []).filter((memory) => !options.since || time(memory) >= +options.since);
    return wanted.toSorted((a, b) => time(b) - time(a)).slice(0, options.limit);
  }
}

class Orchestrator {
  maxLtmEntries = 32;
  /** @type {any[]} */
  ltm = [];
  /** @type {((limit: number) => Promise<any[]>) | undefined} */
  connector;
  /** @type {any} */
  receiveRestoredMemories;

  /** @param {any} overrides @returns {Promise<any>} */
  async prepareMemoryContext(overrides = {}) {
    const limit = overrides.maxLtmEntries ?? this.maxLtmEntries;
    let ltmEntries = [...this.ltm];
    if (ltmEntries.length === 0 && this.connector) {
      ltmEntries = (await this.connector(limit)).slice(0, limit).map((memory) => ({
        id: undefined,
        kind: 'TRANSCRIPT',
        content: memory.content,
        timestamp: new Date(memory.timestamp).getTime(),
        metadata: { source: 'vvault', role: memory.role, filename: memory.filename, ...memory.metadata },
      }));
    }
    return { constructId: 'nova-001', threadId: 't', leaseToken: null, stmWindow: [], ltmEntries, summaries: [] };
  }
}

/** @param {number} count @param {number} [minutes] */
const found = (count, minutes = 1000) =>
  Array.from({ length: count }, (_, index) => ({
    id: index,
    kind: 'LTM',
    content: `found ${index}`,
    relevanceScore: 0.5,
    timestamp: BASE + minutes * 60_000,
    metadata: {},
  }));

/** @param {any} context */
const restoredIn = (context) => context.ltmEntries.filter((/** @type {any} */ entry) => entry.kind === 'CAPSULE');
/** @param {any} context */
const contents = (context) => context.ltmEntries.map((/** @type {any} */ { content }) => content);

/** What `console.warn` is told. @param {import('node:test').TestContext} t */
function warnings(t) {
  /** @type {string[]} */
  const told = [];
  t.mock.method(console, 'warn', (/** @type {string} */ message) => told.push(message));
  return told;
}

/** An event of one of ann's memories. */
const IMPORTED = { format: 'memory', userId: 'ann', userIds: ['ann'], instanceName: null, memories: [] };

/**
 * As a vault does it.
 *
 * @param {any} vault
 * @param {any} orchestrator
 * @param {any} options
 */
const attachOrchestrator = (vault, orchestrator, options) =>
  attach.attachOrchestrator(vault, orchestrator, options, {
    nameOf: (userId) => userId,
    tell: (error) => vault.emit('error', error),
  });

test('memories of the vault stand in the context, newest first', async () => {
  const vault = new FakeVault({ ann: [...capsules(3), remembered(0)], bob: [capsule(9)] });
  const orchestrator = new Orchestrator();
  await attachOrchestrator(vault, orchestrator, NOVA);
  const context = await orchestrator.prepareMemoryContext();
  assert.deepEqual(contents(context), ['memory 2', 'memory 1', 'memory 0', 'line 0']);
  assert.deepEqual(context.ltmEntries[0], {
    id: 'm2',
    kind: 'CAPSULE',
    content: 'memory 2',
    timestamp: BASE + 120_000,
    metadata: { source: 'vvault', role: 'system', memoryId: 'm2', filename: 'm2.json', capsuleId: 'm2', tags: [] },
  });
  assert.equal(context.ltmEntries[3].metadata.kind, 'short-term');
  assert.equal(context.threadId, 't');
  assert.deepEqual(
    new Set(vault.asked.map(([userId, { constructId }]) => `${userId} ${constructId}`)),
    new Set(['ann nova-001']),
  );
});

test('memories whose dates can’t be read keep nothing newer out', async (t) => {
  const files = temporaryVault(t);
  const dates = { undated: 'sometime', dated: '2026-01-01T00:00:00Z' };
  for (let place = 0; place < 20; place++) {
    // In Chatty's order, names decide among those.
    files.write('ann', `a${place}.json`, { raw: `undated ${place}`, created_ts: dates.undated });
    files.write('ann', `b${place}.json`, { raw: `dated ${place}`, created_ts: dates.dated });
  }
  const vault = await Vault.open(files.root, { cacheDir: null });
  atEnd(t, () => vault.close());
  const orchestrator = new Orchestrator();
  await attachOrchestrator(vault, orchestrator, NOVA);
  for (let place = 0; place < 3; place++) {
    files.write('ann', `z${place}.json`, { raw: `new ${place}`, created_ts: `2026-02-0${place + 1}T00:00:00Z` });
    for (const maxLtmEntries of [1, 8, 32]) {
      const found = contents(await orchestrator.prepareMemoryContext({ maxLtmEntries }));
      assert.deepEqual([found.length, found[0]], [Math.min(maxLtmEntries, 41 + place), `new ${place}`]);
    }
  }
  const all = contents(await orchestrator.prepareMemoryContext({ maxLtmEntries: 100 }));
  assert.deepEqual(
    [all.length, new Set(all).size, all.findIndex((/** @type {string} */ text) => text.startsWith('undated'))],
    [43, 43, 23],
  );
});

test('of several users attached, the newest of all come first', async () => {
  const old = Array.from({ length: 4 }, (_, place) => capsule(place));
  // Doubles use up what is asked for at first.
  const doubles = Array.from({ length: 4 }, (_, place) => ({ ...capsule(900), id: `d${place}` }));
  const vault = new FakeVault({ ann: [...doubles, capsule(800)], bob: old });
  const orchestrator = new Orchestrator();
  orchestrator.ltm = [{ ...found(1)[0], content: 'memory 900', timestamp: BASE + 900 * 60_000 }];
  await attachOrchestrator(vault, orchestrator, NOVA);
  await attachOrchestrator(vault, orchestrator, { ...NOVA, userId: 'bob' });
  const context = await orchestrator.prepareMemoryContext({ maxLtmEntries: 4 });
  assert.deepEqual(contents(context), ['memory 900', 'memory 800', 'memory 3', 'memory 2']);
});

test('what changed in the vault shows in the very next call', async () => {
  const vault = new FakeVault({ ann: [] });
  const orchestrator = new Orchestrator();
  await attachOrchestrator(vault, orchestrator, NOVA);
  const before = await orchestrator.prepareMemoryContext();
  assert.deepEqual(contents(before), []);
  vault.memories.ann.push(capsule(1));
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), ['memory 1']);
  vault.memories.ann[0] = capsule(1, { content: 'rewritten' });
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), ['rewritten']);
  vault.memories.ann.pop();
  assert.deepEqual(await orchestrator.prepareMemoryContext(), before);
});

test("the call's own limit holds, and Chatty's where none is stated", async () => {
  const vault = new FakeVault({ ann: capsules(100) });
  const orchestrator = new Orchestrator();
  await attachOrchestrator(vault, orchestrator, NOVA);
  const count = async (/** @type {any[]} */ ...overrides) =>
    (await orchestrator.prepareMemoryContext(...overrides)).ltmEntries.length;
  assert.equal(await count(), 32);
  assert.equal(await count({ maxLtmEntries: 5 }), 5);
  assert.equal(await count({ maxLtmEntries: 2.5 }), 2);
  assert.equal(await count({ maxLtmEntries: undefined }), 32);
  assert.equal(await count({ maxLtmEntries: Number.POSITIVE_INFINITY }), 100);
  const asked = vault.asked.length;
  for (const maxLtmEntries of [0, Number.NaN, -1]) assert.equal(await count({ maxLtmEntries }), 0);
  assert.equal(vault.asked.length, asked);
  orchestrator.maxLtmEntries = 7;
  assert.equal(await count(), 7);
  // @ts-expect-error
  orchestrator.maxLtmEntries = undefined;
  assert.equal(await count(), 32);
});

test('own entries and restored ones together keep within the limit, of which a quarter is for restored ones', async () => {
  const orchestrator = new Orchestrator();
  const said = capsules(50, 1000).toReversed();
  /** @type {number[]} */
  const asked = [];
  orchestrator.connector = async (limit) => {
    asked.push(limit);
    return said;
  };
  for (const [there, limit, own] of [
    [100, 8, 6],
    [100, 5, 3],
    [100, 2, 1],
    [100, 1, 1],
    [1, 8, 7],
    [0, 8, 8],
    [100, undefined, 24],
  ]) {
    const { detach } = await attachOrchestrator(new FakeVault({ ann: capsules(Number(there)) }), orchestrator, NOVA);
    const overrides = { maxLtmEntries: limit };
    const { ltmEntries } = await orchestrator.prepareMemoryContext(overrides);
    assert.deepEqual(overrides, { maxLtmEntries: limit });
    assert.deepEqual([ltmEntries.length, asked.at(-1)], [limit ?? 32, own]);
    assert.equal(restoredIn({ ltmEntries }).length, (limit ?? 32) - Number(own));
    detach();
  }
});

test('own entries stay where there are more than were asked for, and a quarter of the limit is for restored ones', async () => {
  const vault = new FakeVault({ ann: capsules(100) });
  const orchestrator = new Orchestrator();
  await attachOrchestrator(vault, orchestrator, NOVA);
  for (const [own, limit, restored] of [
    [0, 8, 8],
    [5, 8, 3],
    [7, 8, 2],
    [8, 8, 2],
    [12, 5, 2],
    [1, 1, 0],
  ]) {
    orchestrator.ltm = found(own);
    const context = await orchestrator.prepareMemoryContext({ maxLtmEntries: limit });
    const kept = context.ltmEntries.filter((/** @type {any} */ entry) => orchestrator.ltm.includes(entry));
    assert.deepEqual(kept, orchestrator.ltm);
    assert.equal(restoredIn(context).length, restored);
    assert.ok(restored === 0 || restoredIn(context)[0].content === 'memory 99');
  }
});

test('own entries keep their order, and restored ones stand among them by time', async () => {
  const vault = new FakeVault({ ann: [capsule(1), capsule(3), capsule(5)] });
  const orchestrator = new Orchestrator();
  await attachOrchestrator(vault, orchestrator, NOVA);
  const own = (/** @type {number[]} */ ...minutes) =>
    minutes.map((minute) => ({ kind: 'LTM', content: `found ${minute}`, timestamp: BASE + minute * 60_000 }));
  orchestrator.ltm = own(4, 2);
  const newestFirst = ['memory 5', 'found 4', 'memory 3', 'found 2', 'memory 1'];
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), newestFirst);
  orchestrator.ltm = own(2, 4, 9);
  const byRelevance = ['memory 5', 'memory 3', 'found 2', 'found 4', 'found 9', 'memory 1'];
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), byRelevance);
});

test('a memory that the orchestrator found itself is not there twice', async () => {
  const undated = capsule(0, { id: 'undated', metadata: { filename: 'undated.json', capsuleId: 'undated' } });
  const transcript = { id: 't', type: 'transcript', timestamp: at(50), content: 'said', role: 'user', metadata: {} };
  const number = capsule(60, { content: 5 });
  const nonsense = { ...transcript, id: 'x', timestamp: 'nonsense', content: 'at no time' };
  const memories = [undated, transcript, number, nonsense, ...capsules(10, 1), remembered(1, { timestamp: at(0) })];
  const vault = new FakeVault({ ann: memories });
  const orchestrator = new Orchestrator();
  // A capsule without a date has the time of each reading.
  orchestrator.connector = async () => [{ ...undated, timestamp: at(70) }, transcript, number, nonsense, capsule(2)];
  await attachOrchestrator(vault, orchestrator, NOVA);
  const context = await orchestrator.prepareMemoryContext();
  assert.equal(context.ltmEntries.length, memories.length);
  assert.equal(restoredIn(context).length, memories.length - 5);
  const ids = restoredIn(context).map((/** @type {any} */ { metadata }) => metadata.memoryId);
  assert.deepEqual(ids, ['m10', 'm9', 'm8', 'm7', 'm6', 'm5', 'm4', 'm3', 'm1', 'c1']);
});

test('another text of a capsule that the orchestrator knows is there', async () => {
  const vault = new FakeVault({ ann: [capsule(1, { content: 'corrected' })] });
  const orchestrator = new Orchestrator();
  orchestrator.connector = async () => [capsule(1, { content: 'as it was' })];
  await attachOrchestrator(vault, orchestrator, NOVA);
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()).sort(), ['as it was', 'corrected']);
});

test('what is left out leaves room for older memories', async () => {
  const vault = new FakeVault({ ann: capsules(40) });
  const orchestrator = new Orchestrator();
  orchestrator.connector = async (limit) => vault.memories.ann.toReversed().slice(0, limit);
  await attachOrchestrator(vault, orchestrator, NOVA);
  const context = await orchestrator.prepareMemoryContext();
  assert.equal(new Set(contents(context)).size, 32);
  assert.ok(contents(context).includes('memory 8'), 'the newest 32');
  vault.memories.ann = [...Array.from({ length: 500 }, () => remembered(0)), remembered(1), remembered(2)];
  orchestrator.connector = undefined;
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext({ maxLtmEntries: 2 })), ['line 0', 'line 1']);
  assert.ok(vault.asked.at(-1)?.[1].limit < 2000, 'and no more is asked for than that takes');
});

test('a line that stands in several lists is given once, and different ones with one id are both given', async () => {
  const same = { content: 'User: hello', timestamp: at(1) };
  const lists = [remembered(0, same), remembered(1, same), remembered(2, { ...same, timestamp: at(2) })];
  // Transcripts without a header all have this id.
  const headless = { id: 's_null_null', type: 'transcript', timestamp: null, role: null, metadata: {} };
  const transcripts = ['a', 'b', 'a'].map((content) => ({ ...headless, content }));
  const vault = new FakeVault({ ann: [...lists, ...transcripts] });
  const orchestrator = new Orchestrator();
  await attachOrchestrator(vault, orchestrator, NOVA);
  const context = await orchestrator.prepareMemoryContext();
  assert.deepEqual(contents(context), ['User: hello', 'User: hello', 'a', 'b']);
  assert.deepEqual(
    context.ltmEntries.map((/** @type {any} */ { timestamp }) => timestamp),
    [BASE + 120_000, BASE + 60_000, 0, 0],
  );
});

test('the same words of two who speak in one second are both given', async () => {
  const said = (/** @type {number} */ index, /** @type {string} */ role) =>
    remembered(index, { id: `${role}-${index}`, role, content: 'ok' });
  const orchestrator = new Orchestrator();
  const vault = new FakeVault({ ann: [said(1, 'user'), said(2, 'assistant'), said(3, 'system'), said(4, 'user')] });
  await attachOrchestrator(/** @type {any} */ (vault), orchestrator, NOVA);
  const roles = async () =>
    (await orchestrator.prepareMemoryContext()).ltmEntries.map((/** @type {any} */ entry) => entry.metadata?.role);
  assert.deepEqual(await roles(), ['user', 'assistant']);
  // An entry that says nothing of that may be of either.
  orchestrator.ltm = [{ kind: 'LTM', content: 'ok', timestamp: BASE }];
  assert.deepEqual(await roles(), [undefined]);
});

test('whatever JSON a capsule holds, content is text and timestamp a number', async () => {
  const deep = JSON.parse('['.repeat(100_000) + ']'.repeat(100_000));
  const unreadable = JSON.parse('{"toString": 0, "valueOf": 0}');
  const hostile = JSON.parse('{"__proto__": {"polluted": 1}, "source": "other", "role": "other", "memoryId": "other"}');
  const memories = [
    capsule(1, { content: { a: [1] } }),
    capsule(2, { content: true }),
    capsule(3, { content: '' }),
    capsule(4, { content: ' \n' }),
    capsule(5, { content: deep }),
    capsule(6, { content: null }),
    capsule(7, { timestamp: BASE, content: 'by number' }),
    capsule(8, { timestamp: deep, content: 'deep' }),
    capsule(9, { timestamp: unreadable, content: 'unreadable' }),
    capsule(10, { timestamp: 'nonsense', content: 'nonsense' }),
    capsule(11, { timestamp: null, content: 'null', metadata: hostile }),
    capsule(12, { timestamp: undefined, content: 'undefined', metadata: undefined }),
  ];
  const vault = new FakeVault();
  vault.readMemories = async () => memories;
  const orchestrator = new Orchestrator();
  await attachOrchestrator(vault, orchestrator, NOVA);
  const context = await orchestrator.prepareMemoryContext();
  // The V8 of Node.js 26 makes a text of what is nested to any depth; of those before, `deep` has none.
  const ltmEntries = context.ltmEntries.filter((/** @type {any} */ { content }) => !content.startsWith('[[['));
  assert.deepEqual(contents({ ltmEntries }).slice(0, 3), ['true', '{"a":[1]}', 'by number']);
  assert.deepEqual(contents({ ltmEntries }).slice(3), ['deep', 'unreadable', 'nonsense', 'null', 'undefined']);
  for (const { timestamp, content } of ltmEntries.slice(3)) assert.equal(timestamp, 0, content);
  assert.deepEqual(JSON.parse(JSON.stringify(ltmEntries)), ltmEntries);
  const { metadata } = ltmEntries.find((/** @type {any} */ { content }) => content === 'null');
  assert.deepEqual([metadata.source, metadata.role, metadata.memoryId], ['vvault', 'system', 'm11']);
  assert.equal(metadata.polluted, undefined);
});

test('arguments, this and errors pass', async () => {
  const orchestrator = new Orchestrator();
  const failure = new Error('no lease');
  orchestrator.prepareMemoryContext = async function (...passed) {
    assert.equal(this, orchestrator);
    assert.deepEqual(passed, [{ query: 'x' }, 'more']);
    throw failure;
  };
  await attachOrchestrator(new FakeVault(), orchestrator, NOVA);
  // @ts-expect-error
  await assert.rejects(orchestrator.prepareMemoryContext({ query: 'x' }, 'more'), (thrown) => thrown === failure);
});

test("the orchestrator's own context is not changed", async () => {
  const vault = new FakeVault({ ann: [capsule(1)] });
  const kept = Object.freeze({ ltmEntries: Object.freeze(found(1)), summaries: [] });
  /** @type {any} */
  const orchestrator = { prepareMemoryContext: async () => kept };
  await attachOrchestrator(vault, orchestrator, NOVA);
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), ['found 0', 'memory 1']);
  assert.deepEqual(contents(kept), ['found 0']);
});

test('a context without entries gets some, and what is no context passes', async () => {
  const vault = new FakeVault({ ann: [capsule(1)] });
  for (const context of [undefined, null, 'text']) {
    const orchestrator = { prepareMemoryContext: async () => context };
    await attachOrchestrator(vault, orchestrator, NOVA);
    assert.equal(await orchestrator.prepareMemoryContext(), context);
  }
  const orchestrator = { prepareMemoryContext: async () => ({}) };
  await attachOrchestrator(vault, orchestrator, NOVA);
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), ['memory 1']);
});

test('detach puts back what was there', async () => {
  const vault = new FakeVault({ ann: [capsule(1)] });
  const plain = new Orchestrator();
  const keys = Object.keys(plain);
  const first = await attachOrchestrator(vault, plain, NOVA);
  assert.deepEqual(Object.keys(plain), keys);
  first.detach();
  assert.equal(Object.hasOwn(plain, 'prepareMemoryContext'), false);
  assert.deepEqual(vault.eventNames(), []);
  first.detach();

  const replaced = new Orchestrator();
  const own = async () => ({ ltmEntries: [] });
  const descriptor = { value: own, writable: false, enumerable: true, configurable: true };
  Object.defineProperty(replaced, 'prepareMemoryContext', descriptor);
  const second = await attachOrchestrator(vault, replaced, NOVA);
  assert.deepEqual(contents(await replaced.prepareMemoryContext()), ['memory 1']);
  second.detach();
  assert.deepEqual(Object.getOwnPropertyDescriptor(replaced, 'prepareMemoryContext'), descriptor);

  const again = await attachOrchestrator(vault, plain, NOVA);
  first.detach();
  assert.deepEqual(contents(await plain.prepareMemoryContext()), ['memory 1']);
  again.detach();
  assert.equal(Object.hasOwn(plain, 'prepareMemoryContext'), false);
});

test('a wrapper that was laid over ours stays, and ours passes calls on', async () => {
  const vault = new FakeVault({ ann: [capsule(1)] });
  const orchestrator = new Orchestrator();
  const { detach } = await attachOrchestrator(vault, orchestrator, NOVA);
  const ours = orchestrator.prepareMemoryContext;
  const theirs = async (/** @type {any} */ overrides) => ({ ...(await ours.call(orchestrator, overrides)), theirs: 1 });
  orchestrator.prepareMemoryContext = theirs;
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), ['memory 1']);
  detach();
  const asked = vault.asked.length;
  assert.equal(orchestrator.prepareMemoryContext, theirs);
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), []);
  assert.equal(vault.asked.length, asked);

  const over = await attachOrchestrator(vault, orchestrator, NOVA);
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), ['memory 1']);
  over.detach();
  assert.equal(orchestrator.prepareMemoryContext, theirs);
  // They go, and put back what they found.
  orchestrator.prepareMemoryContext = ours;
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), []);
});

test('the same attached twice is there once, until both are detached', async () => {
  const vault = new FakeVault({ ann: [capsule(1)] });
  const orchestrator = new Orchestrator();
  /** @type {any[]} */
  const received = [];
  orchestrator.receiveRestoredMemories = (/** @type {any} */ memories) => received.push(memories);
  const event = { format: 'memory', userId: 'ann', userIds: ['ann'], instanceName: null, memories: [capsule(2)] };
  const first = await attachOrchestrator(vault, orchestrator, NOVA);
  const second = await attachOrchestrator(vault, orchestrator, { userId: 'ann', constructId: 'Nova' });
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), ['memory 1']);
  vault.emit('capsule:imported', event);
  assert.equal(received.length, 1);
  first.detach();
  first.detach();
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), ['memory 1']);
  vault.emit('capsule:imported', event);
  assert.equal(received.length, 2);
  second.detach();
  vault.emit('capsule:imported', event);
  assert.equal(received.length, 2);
  assert.equal(Object.hasOwn(orchestrator, 'prepareMemoryContext'), false);
});

test('attachments of several vaults and constructs share the limit and end in any order', async () => {
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [1, 2, 0],
  ]) {
    const shared = capsule(0);
    const vault = new FakeVault({ ann: [shared, ...capsules(20, 10)] });
    // The same id in another vault is another memory, unless it is the same text.
    const other = new FakeVault({ ann: [shared, capsule(10, { content: 'of the other vault' })] });
    const orchestrator = new Orchestrator();
    const attached = [
      await attachOrchestrator(vault, orchestrator, NOVA),
      await attachOrchestrator(other, orchestrator, NOVA),
      await attachOrchestrator(vault, orchestrator, { userId: 'ann', constructId: 'katana-001' }),
    ];
    const all = await orchestrator.prepareMemoryContext();
    assert.equal(all.ltmEntries.length, 22);
    assert.ok(contents(all).includes('of the other vault'));
    assert.equal((await orchestrator.prepareMemoryContext({ maxLtmEntries: 4 })).ltmEntries.length, 4);
    for (const [ended, index] of order.entries()) {
      assert.equal(Object.hasOwn(orchestrator, 'prepareMemoryContext'), true, String(ended));
      attached[index].detach();
    }
    assert.equal(Object.hasOwn(orchestrator, 'prepareMemoryContext'), false);
    assert.deepEqual([...vault.eventNames(), ...other.eventNames()], []);
    assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), []);
  }
});

test('a memory without a date, which has the time of each reading, is there once', async () => {
  const vault = new FakeVault();
  let minutes = 0;
  vault.readMemories = async () => [capsule(0, { timestamp: at(++minutes) })];
  const orchestrator = new Orchestrator();
  await attachOrchestrator(vault, orchestrator, NOVA);
  await attachOrchestrator(vault, orchestrator, { userId: 'ann', constructId: 'katana-001' });
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), ['memory 0']);
});

test('many orchestrators at one vault are no leak of listeners', async (t) => {
  const vault = new FakeVault({ ann: [capsule(1)] });
  const warned = t.mock.method(process, 'emitWarning', () => {});
  const attached = [];
  for (let index = 0; index < 20; index++) attached.push(await attachOrchestrator(vault, new Orchestrator(), NOVA));
  assert.equal(warned.mock.callCount(), 0);
  for (const { detach } of attached) detach();
  assert.deepEqual(vault.eventNames(), []);
});

test('a vault in trouble leaves the own context as it is, and tells it', async (t) => {
  const vault = new FakeVault({ ann: [capsule(1)] });
  const orchestrator = new Orchestrator();
  orchestrator.ltm = found(2);
  await attachOrchestrator(vault, orchestrator, NOVA);
  const warned = warnings(t);
  vault.failure = Object.assign(new Error('disk on fire'), { code: 'EIO' });
  for (let call = 0; call < 3; call++) {
    assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), ['found 0', 'found 1']);
  }
  assert.equal(warned.length, 1);
  assert.match(warned[0], /could not be read: disk on fire/);

  /** @type {any[]} */
  const errors = [];
  vault.on('error', (error) => errors.push(error));
  await orchestrator.prepareMemoryContext();
  assert.equal(errors.length, 1);
  assert.equal(errors[0].code, 'EIO');
  assert.equal(errors[0].cause, vault.failure);
  vault.failure = Object.assign(new Error('closed'), { code: 'VVAULT_CLOSED' });
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), ['found 0', 'found 1']);
  assert.equal(errors.length, 1);
  assert.equal(warned.length, 1);

  vault.failure = undefined;
  assert.equal((await orchestrator.prepareMemoryContext()).ltmEntries.length, 3);
});

test('listeners of error that throw or reject break nothing', async (t) => {
  const { root, write } = temporaryVault(t);
  write('ann', 'a.json', { raw: 'a', created_ts: '2026-01-01' });
  const vault = await Vault.open(root, { cacheDir: null });
  const logged = listenTo(t, 'error');
  const failing = () => Promise.reject(new Error('late'));
  vault.on('error', failing);
  vault.on('error', () => {
    throw new Error('at once');
  });
  const orchestrator = new Orchestrator();
  orchestrator.receiveRestoredMemories = () => {
    throw new Error('full');
  };
  await vault.attachOrchestrator(orchestrator, { userId: 'ann', constructId: 'nova-001' });
  assert.equal((await vault.readMemories('ann')).length, 1);
  await vault.storeCapsule(
    makeCapsule({ instanceName: 'nova-001', uuid: 'u', timestamp: '2026-01-01T00:00:00Z', memories: ['m'] }),
  );
  await vault.close();
  const told = new Set(logged.map(([text, error]) => `${text} ${/** @type {any} */ (error).message}`));
  assert.deepEqual([...told].sort(), ['A listener of error failed: at once', 'A listener of error failed: late']);
});

test('a vault that is closed holds no orchestrator, and is held by none', async (t) => {
  const { root } = temporaryVault(t);
  const [vault, other] = [await Vault.open(root), await Vault.open(root)];
  const orchestrator = new Orchestrator();
  const reads = t.mock.method(vault, 'readMemories');
  const attached = await vault.attachOrchestrator(orchestrator, NOVA);
  const last = await other.attachOrchestrator(orchestrator, NOVA);
  await orchestrator.prepareMemoryContext();
  const before = reads.mock.callCount();
  assert.notEqual(before, 0);
  assert.notDeepEqual(vault.eventNames(), []);
  await vault.close();
  assert.deepEqual(vault.eventNames(), []);
  await orchestrator.prepareMemoryContext();
  assert.equal(reads.mock.callCount(), before, 'it is asked no more');
  attached.detach();
  assert.equal(Object.hasOwn(orchestrator, 'prepareMemoryContext'), true, 'the other vault is still there');
  await other.close();
  assert.equal(Object.hasOwn(orchestrator, 'prepareMemoryContext'), false);
  await orchestrator.prepareMemoryContext();
  const again = await attachOrchestrator(new FakeVault(), orchestrator, NOVA);
  last.detach();
  assert.equal(Object.hasOwn(orchestrator, 'prepareMemoryContext'), true, 'another attachment is none of its business');
  again.detach();
});

test('one vault in trouble does not keep the memories of another away', async (t) => {
  warnings(t);
  const broken = new FakeVault();
  broken.failure = new Error('gone');
  const orchestrator = new Orchestrator();
  await attachOrchestrator(broken, orchestrator, NOVA);
  await attachOrchestrator(new FakeVault({ ann: [capsule(1)] }), orchestrator, NOVA);
  assert.deepEqual(contents(await orchestrator.prepareMemoryContext()), ['memory 1']);
});

test('imports of this user and construct are handed over, and no others', async () => {
  const vault = new FakeVault();
  const orchestrator = new Orchestrator();
  /** @type {any[]} */
  const received = [];
  orchestrator.receiveRestoredMemories = function (/** @type {any[]} */ ...handed) {
    assert.equal(this, orchestrator);
    received.push(handed);
  };
  await attachOrchestrator(vault, orchestrator, NOVA);
  const construct = (/** @type {object} */ event) => ({
    format: 'construct',
    userId: 'ann',
    userIds: ['ann'],
    constructIds: ['nova-001'],
    memories: [remembered(0)],
    ...event,
  });
  const ours = [
    { format: 'memory', userId: 'ann', userIds: ['ann'], instanceName: null, memories: [capsule(1)] },
    construct({}),
    construct({ userId: null, userIds: undefined }),
    construct({ constructIds: ['Nova'] }),
    construct({ constructIds: ['Aurora', 'GPT-Nova-001'] }),
  ];
  const others = [
    { ...ours[0], userId: 'bob', userIds: ['bob'] },
    { ...ours[0], userIds: ['shard_0000/ann'] },
    { ...ours[0], userId: null },
    construct({ userId: 'bob', userIds: ['bob'] }),
    construct({ userIds: ['shard_0000/ann'] }),
    construct({ constructIds: ['nova-002', 'novak'] }),
    construct({ constructIds: [] }),
    construct({ constructIds: undefined, constructId: 'nova-001', instanceName: 'Nova' }),
  ];
  for (const event of [...others, ...ours]) vault.emit('capsule:imported', event);
  assert.deepEqual(
    received,
    ours.map((event) => [event.memories, event]),
  );
  received.length = 0;
  vault.emit('capsule:updated', ours[1]);
  vault.emit('capsule:imported', construct({ memories: null }));
  for (const name of ['capsule:removed', 'capsule:rejected']) vault.emit(name, ours[1]);
  assert.deepEqual(
    received.map(([memories]) => memories),
    [ours[1].memories, []],
  );
});

test('what is handed over is what readMemories gives, and no other', async (t) => {
  const { root } = temporaryVault(t);
  const vault = await Vault.open(root, { create: true, watch: true, cacheDir: null });
  atEnd(t, () => vault.close());
  const names = ['nova-001', 'nova', 'nova-002', 'aurora-1769054400000', 'aurora'];
  /** @type {Record<string, string[]>} */
  const handed = Object.fromEntries(names.map((name) => [name, []]));
  for (const constructId of names) {
    const orchestrator = new Orchestrator();
    orchestrator.receiveRestoredMemories = (/** @type {any[]} */ memories) => {
      handed[constructId].push(...memories.splice(0).map(({ content }) => content));
    };
    await vault.attachOrchestrator(orchestrator, { userId: 'ann', constructId });
  }
  const places = [
    ['users/ann/capsules/nova-002.capsule', 'Nova', ['nova-002', 'nova-001', 'nova']],
    ['users/ann/instances/nova/identity/nova-002.capsule', 'Nova', ['nova-002']],
    ['users/ann/instances/nova/identity/nova-002.capsule', 'nova-002', ['nova-002']],
    ['users/ann/instances/nova-002/identity/nova-002.capsule', 'Nova', ['nova-002']],
    // From here on there is a folder of that construct.
    ['users/ann/capsules/nova-002.capsule', 'Nova', ['nova-002']],
    ['users/ann/capsules/nova-001.capsule', 'Nova', ['nova-001', 'nova']],
    ['capsules/Nova/x.capsule', 'Nova', ['nova-001', 'nova']],
    ['capsules/nova-002/x.capsule', 'nova-002', ['nova-002']],
    ['users/ann/instances/aurora-1769054400000/memup/x.capsule', 'Aurora', ['aurora-1769054400000']],
    ['users/bob/instances/nova-001/nova-001.capsule', 'Nova', []],
    ['users/ann/capsules/lin-001.capsule', 'Nova', []],
    ['capsules/lin-001.capsule', 'Nova', []],
    ['capsules/nova-002/x.capsule', 'nova-001', []],
    ['capsules/nova/nova_1.capsule', 'Nova', ['nova-001', 'nova']],
    ['users/ann/account/capsule/current.capsule', 'Nova', ['nova-001', 'nova']],
    ['users/ann/account/capsule/versions/v1.capsule', 'Nova', []],
  ];
  for (const [place, instanceName, owners] of /** @type {[string, string, string[]][]} */ (places)) {
    const file = path.join(root, place);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    const text = makeCapsule({ instanceName, uuid: place, timestamp: '2026-01-01T00:00:00Z', memories: [place] });
    const told = once(vault, 'capsule:imported');
    fs.writeFileSync(`${file}.tmp`, text);
    fs.renameSync(`${file}.tmp`, file);
    const [event] = await told;
    for (const name of ['constructIds', 'userIds']) assert.ok(!Object.keys(event).includes(name));
    for (const constructId of names) {
      const found = await vault.readMemories('ann', { constructId });
      const expected = owners.includes(constructId) ? [place] : [];
      assert.deepEqual(
        [handed[constructId].splice(0), found.map(({ content }) => content)],
        [expected, expected],
        place,
      );
    }
    const gone = once(vault, 'capsule:removed');
    fs.rmSync(path.dirname(file), { recursive: true });
    await gone;
  }
});

test('what is dropped into VVAULT’s store is read, also where VVAULT asks for more', async (t) => {
  const { root } = temporaryVault(t);
  const vault = await Vault.open(root, { create: true, watch: true, cacheDir: null });
  atEnd(t, () => vault.close());
  const orchestrator = new Orchestrator();
  /** @type {string[]} */
  const handed = [];
  orchestrator.receiveRestoredMemories = (/** @type {any[]} */ memories) => {
    handed.push(...memories.map(({ content }) => content));
  };
  await vault.attachOrchestrator(orchestrator, { userId: 'ann', constructId: 'nova-001' });
  /** @param {any} metadata @param {object} [rest] */
  const capsuleOf = (metadata, rest = { traits: {}, personality: {}, environment: {} }) => ({
    metadata: { instance_name: 'nova-001', uuid: 'u', timestamp: '2026-01-01T00:00:00Z', ...metadata },
    memory: { short_term_memories: ['a memory'] },
    ...rest,
  });
  const shapes = {
    'no hash': capsuleOf({}),
    'no UUID': capsuleOf({ uuid: undefined }),
    'a UUID that is a number': capsuleOf({ uuid: 5, fingerprint_hash: '' }),
    'no time': capsuleOf({ timestamp: undefined }),
    'no name': capsuleOf({ instance_name: undefined }),
    'another spelling': capsuleOf({ instance_name: 'Nova', fingerprint_hash: '' }),
    'no sections': capsuleOf({ fingerprint_hash: '' }, {}),
    'no metadata': capsuleOf({}, { metadata: undefined }),
    'not UTF-8': Buffer.from(JSON.stringify(capsuleOf({ generator: '\xff', fingerprint_hash: '' })), 'latin1'),
  };
  const file = path.join(root, 'capsules/nova-001/x.capsule');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  for (const [shape, capsule] of Object.entries(shapes)) {
    const told = once(vault, 'capsule:imported');
    fs.writeFileSync(`${file}.tmp`, Buffer.isBuffer(capsule) ? capsule : JSON.stringify(capsule));
    fs.renameSync(`${file}.tmp`, file);
    await told;
    const memories = await vault.readMemories('ann', { constructId: 'nova-001' });
    const restored = await vault.restoreConstruct('nova-001');
    const context = await orchestrator.prepareMemoryContext();
    const read = memories.map(({ content }) => content);
    const found = [handed.splice(0), read, restored.memoryLog, contents(context)];
    assert.deepEqual(
      found,
      found.map(() => ['a memory']),
      shape,
    );
    const gone = once(vault, 'capsule:removed');
    fs.rmSync(file);
    await gone;
  }
});

test('a user’s folder has several names, and in a shard one that another user’s has, too', async (t) => {
  const { root } = temporaryVault(t);
  fs.mkdirSync(path.join(root, 'users/shard_0000/ann/capsules'), { recursive: true });
  const vault = await Vault.open(root, { create: true, watch: true, cacheDir: null });
  atEnd(t, () => vault.close());
  const names = ['ann', './ann/', 'shard_0000/ann', 'shard_0000//ann', '../users/ann', 'shard_0001/ann'];
  /** @type {Record<string, string[]>} */
  const handed = Object.fromEntries(names.map((name) => [name, []]));
  for (const userId of names) {
    const orchestrator = new Orchestrator();
    orchestrator.receiveRestoredMemories = (/** @type {any[]} */ memories) => {
      handed[userId].push(...memories.map(({ content }) => content));
    };
    await vault.attachOrchestrator(orchestrator, { userId, constructId: 'nova-001' });
  }
  /** @param {string} place @param {string[]} readers */
  const drop = async (place, readers) => {
    const told = once(vault, 'capsule:imported');
    fs.mkdirSync(path.dirname(path.join(root, place)), { recursive: true });
    fs.writeFileSync(path.join(root, `${place}.tmp`), JSON.stringify({ raw: place, created_ts: '2026-01-01' }));
    fs.renameSync(path.join(root, `${place}.tmp`), path.join(root, place));
    await told;
    for (const name of names) {
      const expected = readers.includes(name) ? [place] : [];
      const found = (await vault.readMemories(name)).map(({ content }) => content).filter((text) => text === place);
      assert.deepEqual([handed[name].splice(0), found], [expected, expected], `${place} by ${name}`);
    }
  };
  const [own, inShard] = [
    ['ann', './ann/', '../users/ann'],
    ['shard_0000/ann', 'shard_0000//ann'],
  ];
  await drop('users/shard_0000/ann/capsules/a.json', [...own, ...inShard]);
  await drop('users/shard_0001/ann/capsules/b.json', ['shard_0001/ann']);
  await drop('users/ann/capsules/c.json', own);
  await drop('users/shard_0000/ann/capsules/d.json', inShard);
});

test('an import reaches an orchestrator once, however many of its attachments it concerns', async () => {
  const vault = new FakeVault();
  const [first, second] = [new Orchestrator(), new Orchestrator()];
  /** @type {any[]} */
  const received = [];
  for (const each of [first, second]) each.receiveRestoredMemories = () => received.push(each);
  await attachOrchestrator(vault, first, NOVA);
  await attachOrchestrator(vault, first, { userId: 'ann', constructId: 'katana-001' });
  await attachOrchestrator(vault, second, NOVA);
  vault.emit('capsule:imported', IMPORTED);
  assert.deepEqual(received, [first, second]);
});

test('who is detached while an import is handed over, or whose vault is closed, does not get it', async (t) => {
  for (const end of ['detach', 'close']) {
    const vault = await Vault.open(temporaryVault(t).root, { create: true });
    const [first, second] = [new Orchestrator(), new Orchestrator()];
    /** @type {any[]} */
    const received = [];
    first.receiveRestoredMemories = async () => {
      received.push(first);
      if (end === 'close') vault.close();
      else attached.detach();
    };
    second.receiveRestoredMemories = () => received.push(second);
    await vault.attachOrchestrator(first, NOVA);
    const attached = await vault.attachOrchestrator(second, NOVA);
    await vault.storeCapsule(makeCapsule({ instanceName: 'nova-001', uuid: 'a', timestamp: at(0), memories: ['x'] }));
    assert.deepEqual(received, [first], end);
    await vault.close();
  }
});

test('an orchestrator that fails to receive breaks nothing', async (t) => {
  const vault = new FakeVault();
  const [throwing, rejecting, sound] = [new Orchestrator(), new Orchestrator(), new Orchestrator()];
  const received = t.mock.fn();
  throwing.receiveRestoredMemories = () => {
    throw new Error('full');
  };
  rejecting.receiveRestoredMemories = () => Promise.reject(new Error('late'));
  sound.receiveRestoredMemories = received;
  for (const each of [throwing, rejecting, sound]) await attachOrchestrator(vault, each, NOVA);
  const warned = warnings(t);
  for (let time = 0; time < 2; time++) {
    vault.emit('capsule:imported', IMPORTED);
  }
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(received.mock.callCount(), 2);
  assert.deepEqual(warned.sort(), [
    'attachOrchestrator: receiveRestoredMemories failed: full',
    'attachOrchestrator: receiveRestoredMemories failed: late',
  ]);
});

test('whatever it throws is told, with a code that is one', async (t) => {
  const { root } = temporaryVault(t);
  const vault = await Vault.open(root, { create: true });
  atEnd(t, () => vault.close());
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const located = Object.assign(new Error('no'), { code: 'ENOENT', path: '/there' });
  const thrown = [
    Symbol('x'),
    Object.create(null),
    proxy,
    new DOMException('late', 'TimeoutError'),
    undefined,
    located,
  ];
  /** @type {any[]} */
  const told = [];
  vault.on('error', ({ code, path, message }) => told.push([code, path, message.replace(/^.* failed: /, '')]));
  for (const [day, each] of thrown.entries()) {
    const orchestrator = new Orchestrator();
    orchestrator.receiveRestoredMemories = () => {
      throw each;
    };
    const attached = await vault.attachOrchestrator(orchestrator, NOVA);
    const timestamp = `2026-01-0${day + 1}T00:00:00Z`;
    await vault.storeCapsule(makeCapsule({ instanceName: 'nova-001', uuid: `${day}`, timestamp, memories: ['m'] }));
    attached.detach();
  }
  await new Promise((resolve) => setImmediate(resolve));
  const own = 'VVAULT_ATTACHMENT';
  assert.deepEqual(told, [
    [own, undefined, 'Symbol(x)'],
    [own, undefined, 'what was thrown is an object without a text'],
    [own, undefined, 'what was thrown is an object without a text'],
    [own, undefined, 'late'],
    [own, undefined, 'undefined'],
    ['ENOENT', '/there', 'no'],
  ]);
});

test('nothing is ever written', async () => {
  const vault = new FakeVault({ ann: [capsule(1)] });
  const orchestrator = Object.assign(new Orchestrator(), {
    captureMessage: () => assert.fail('captureMessage'),
    vvaultConnector: { writeTranscript: () => assert.fail('writeTranscript') },
  });
  const { detach } = await attachOrchestrator(vault, orchestrator, NOVA);
  await orchestrator.prepareMemoryContext();
  vault.emit('capsule:imported', IMPORTED);
  detach();
});

test('faulty arguments are refused, and leave the orchestrator as it was', async () => {
  const vault = new FakeVault();
  const orchestrator = new Orchestrator();
  const refused = { code: 'VVAULT_INVALID_ARGUMENT' };
  for (const other of [null, undefined, 5, {}, { prepareMemoryContext: 5 }]) {
    const attaching = attachOrchestrator(vault, /** @type {any} */ (other), NOVA);
    await assert.rejects(attaching, { ...refused, message: /has no prepareMemoryContext\(\): give/ });
  }
  for (const options of [
    undefined,
    null,
    {},
    { userId: 'ann' },
    { ...NOVA, userId: '' },
    { ...NOVA, constructId: 5 },
  ]) {
    const attaching = attachOrchestrator(vault, orchestrator, /** @type {any} */ (options));
    await assert.rejects(attaching, { ...refused, message: /must be a non-empty string/ });
  }
  await assert.rejects(attachOrchestrator(vault, Object.freeze(new Orchestrator()), NOVA), refused);
  assert.equal(Object.hasOwn(orchestrator, 'prepareMemoryContext'), false);
  assert.deepEqual(vault.eventNames(), []);
});
