'use strict';

// What arrives in a watched vault, by whatever process, is told once, when it is whole; by the system's notifications and by
// polling.
//
//     VVAULT_WATCH_ROUNDS=20 node --test __test__/vault-watch.test.js

const assert = require('node:assert');
const { execFile, execFileSync, spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { monitorEventLoopDelay } = require('node:perf_hooks');
const { describe, test } = require('node:test');
const { setTimeout: delay } = require('node:timers/promises');
const { promisify } = require('node:util');

const { readMemories, Vault } = require('..');
const { atEnd, endOf } = require('./support/at-end');
const { makeCapsule, sealCapsule, timestampOf } = require('./support/construct-capsules');
const { listenTo, runProgram, temporaryVault, vaultAt } = require('./support/temporary-vault');
const watched = require('./support/watched-vault');

const { METHODS, constructText, everyPlace, memoryText, nameOf, temporaryFolders, watchVault, writerAt } = watched;

/** How much deeper than usual. */
const ROUNDS = Number(process.env.VVAULT_WATCH_ROUNDS ?? 1);
const CHILD = path.join(__dirname, 'support', 'watch-child.js');
const MEMORIES = 'users/ann/capsules';
const NOVA = 'users/ann/instances/nova-001/identity/nova-001.capsule';
const TIME_LIMIT = { timeout: 60_000 * ROUNDS };
/** They mostly wait. */
const TOGETHER = { concurrency: 6 };

/** @typedef {import('..').CapsuleEvent} CapsuleEvent */
/** @typedef {import('./support/watched-vault').Method} Method */

/**
 * The same test for each way of watching.
 *
 * @param {string} name
 * @param {(t: import('node:test').TestContext, method: Method) => Promise<void>} body
 * @param {import('node:test').TestOptions} [options]
 */
function eachMethod(name, body, options = TIME_LIMIT) {
  for (const method of METHODS) test(`${name} (${nameOf(method)})`, options, (t) => body(t, method));
}

/** Windows does not have, or not for everybody: pipes and links, signals, limits of a process, mode bits, odd names. */
const UNIX = { ...TIME_LIMIT, skip: process.platform === 'win32' && 'not on Windows' };

/**
 * The same for what Windows does not have.
 *
 * @param {string} name
 * @param {(t: import('node:test').TestContext, method: Method) => Promise<void>} body
 */
function onUnix(name, body) {
  eachMethod(name, body, UNIX);
}

/**
 * Where a file is, as the tests write it.
 *
 * @param {string} root
 * @param {string} file
 */
function placeOf(root, file) {
  return path.relative(root, file).split(path.sep).join('/');
}

/**
 * A process of its own, and what it has printed so far.
 *
 * @param {import('node:test').TestContext} t
 * @param {...string} args
 */
function startChild(t, ...args) {
  const child = spawn(process.execPath, ['--expose-gc', CHILD, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const output = { text: '' };
  child.stdout.setEncoding('utf8').on('data', (piece) => {
    output.text += piece;
  });
  return { child, output, closed: endOf(t, child) };
}

/**
 * Runs a child to its end, which must be a good one.
 *
 * @param {import('node:test').TestContext} t
 * @param {...string} args
 */
async function runChild(t, ...args) {
  const { output, closed } = startChild(t, ...args);
  const [code, signal] = await closed;
  assert.deepStrictEqual([code, signal], [0, null], args[0]);
  return output.text;
}

/** @param {CapsuleEvent} event */
function numberOf({ cursor }) {
  return Number(String(cursor).split('.')[1]);
}

// Two of these at a time.
describe('a watched vault', { concurrency: 2 }, () => {
  describe('places', TOGETHER, () => {
    for (const folders of ['that are there', 'that are new']) {
      eachMethod(`a capsule in every place is told of once, in folders ${folders}`, async (t, method) => {
        const { root, record, write, at } = await watchVault(t, method, {
          prepare(_write, vaultRoot) {
            for (const { path: file } of folders === 'that are there' ? everyPlace() : []) {
              fs.mkdirSync(path.join(vaultRoot, path.dirname(file)), { recursive: true });
            }
          },
        });
        for (const [number, place] of everyPlace().entries()) {
          const isMemory = place.path.endsWith('memory.json');
          write(
            place.path,
            isMemory ? memoryText(place.path) : constructText(place.path, { uuid: `${number}`, place: number }),
          );
        }
        const events = await record.expect(everyPlace().map(({ path: file }) => ['imported', file, file]));
        for (const [number, { path: file, userId, constructId }] of everyPlace().entries()) {
          const event = events.find((told) => told.path === at(file));
          assert.ok(event, file);
          const isMemory = file.endsWith('memory.json');
          const { memories, cursor, ...others } = event;
          assert.match(String(cursor), /./);
          assert.deepStrictEqual(
            others,
            {
              kind: 'imported',
              path: path.join(root, file),
              format: isMemory ? 'memory' : 'construct',
              userId,
              constructId: isMemory ? null : (constructId ?? 'Nova'),
              instanceName: isMemory ? null : 'Nova',
              uuid: isMemory ? null : `${number}`,
              timestamp: isMemory ? null : timestampOf(number),
              integrity: { valid: true, recipe: isMemory ? 'raw_sha256' : 'F1', tether: null },
              reason: null,
            },
            file,
          );
          assert.strictEqual(memories?.length, 1, file);
          assert.strictEqual(memories[0].type, isMemory ? 'capsule' : 'construct', file);
        }
        const cursors = events.map(({ cursor }) => cursor);
        assert.strictEqual(new Set(cursors).size, cursors.length, 'each event has a cursor of its own');
      });
    }

    eachMethod('what lies elsewhere is no capsule', async (t, method) => {
      const { record, write } = await watchVault(t, method);
      for (const file of [
        'x.capsule',
        'users/x.capsule',
        'users/shard_0000/x.capsule',
        'users/ann/m.json',
        'users/ann/capsules/deep/m.json',
        'users/ann/capsules/m.json.tmp',
        'users/ann/capsules/m.JSON~',
        'users/ann/instances/nova-001/identity/prompt.json',
        'users/ann/instances/nova-001/logs/x.capsule',
        'users/ann/transcripts/s/2026_user.txt',
        'indexes/Nova_index.json',
        'memory_records/Nova/x.json',
      ]) {
        write(file, constructText(file));
      }
      await record.expect([]);
    });

    eachMethod('an event has thousands of memories as it has one', async (t, method) => {
      const { vault, record, write } = await watchVault(t, method);
      const contents = Array.from({ length: 3000 }, (_, number) => `${number} said`.padEnd(90, '.'));
      const capsule = { instanceName: 'Nova', uuid: 'a', timestamp: timestampOf(0), memories: contents };
      write(NOVA, makeCapsule(capsule));
      write(`${MEMORIES}/behind.json`, memoryText('behind'));
      await record.until(() => record.told().length === 2, 'both events');
      const told = record.told().find(({ format }) => format === 'construct');
      assert.deepStrictEqual(
        told?.memories?.map(({ content }) => content),
        contents,
      );
      const state = await vault.restoreConstruct('Nova', { userId: 'ann' });
      assert.deepStrictEqual(state.memories, told?.memories);
      assert.deepStrictEqual(state.memoryLog, contents);

      const unwatched = await Vault.open(record.root);
      t.after(() => unwatched.close());
      const stored = once(unwatched, 'capsule:imported');
      await unwatched.storeCapsule(makeCapsule({ ...capsule, uuid: 'b', timestamp: timestampOf(1) }));
      const [event] = await stored;
      assert.deepStrictEqual(event.memories, (await unwatched.restoreConstruct('Nova', { uuid: 'b' })).memories);
      assert.strictEqual(event.memories.length, contents.length);
    });

    eachMethod('the memories of an event are those that readMemories gives', async (t, method) => {
      const { vault, record, write } = await watchVault(t, method);
      write(
        `${MEMORIES}/full.json`,
        memoryText('text', { tags: ['a', 'b'], consent: 'self', embed_model: 'x:y', role: 'user' }),
      );
      write(NOVA, constructText('of nova'));
      const events = await record.expect([
        ['imported', `${MEMORIES}/full.json`, 'text'],
        ['imported', NOVA, 'of nova'],
      ]);
      const read = await vault.readMemories('ann', { constructId: 'nova-001' });
      const told = events.flatMap(({ memories }) => memories ?? []);
      const byType = (/** @type {any[]} */ memories) =>
        [...memories].sort((left, right) => (left.type < right.type ? -1 : 1));
      assert.deepStrictEqual(byType(told), byType(read));
    });

    eachMethod('odd memories are told as they are read, member by member', async (t, method) => {
      const { vault, record, write } = await watchVault(t, method);
      const usual = { tags: ['a', 'b'], consent: 'self', embed_model: 'x:y' };
      const files = {
        'usual.json': usual,
        'ü 日本 “so”.json': { ...usual, raw: '日本 “so” \ud83d\ude00\n\u0000' },
        'no hash.json': { ...usual, raw_sha256: undefined },
        'no model.json': { tags: [], consent: true },
        'null.json': { ...usual, role: null, tags: null, consent: null, embed_model: null },
        'objects.json': { tags: [{ a: 1 }, ['b']], consent: { c: [] }, embed_model: [1], role: { d: 'e' } },
        'no date.json': { ...usual, created_ts: undefined },
        'number.json': { ...usual, created_ts: 1_700_000_000_000 },
        '.json': usual,
      };
      const story = [];
      for (const [name, others] of Object.entries(files)) {
        const content = /** @type {{ raw?: string }} */ (others).raw ?? `of ${name}`;
        write(`${MEMORIES}/${name}`, memoryText(content, others));
        story.push(['imported', `${MEMORIES}/${name}`, content]);
      }
      write(`${MEMORIES}/keys.json`, `{"consent": {"__proto__": {"x": 1}}, ${memoryText('keys', usual).slice(1)}`);
      const events = await record.expect([...story, ['imported', `${MEMORIES}/keys.json`, 'keys']]);
      const read = await vault.readMemories('ann', { limit: 0 });
      // The time of a memory without a date is that of the reading.
      const textOf = (/** @type {any} */ memory) =>
        JSON.stringify(memory.id === 'no date' ? { ...memory, timestamp: null } : memory);
      const told = events.flatMap(({ memories }) => memories ?? []);
      assert.deepStrictEqual(told.map(textOf).sort(), read.map(textOf).sort());
      const shapes = new Set(events.map((event) => JSON.stringify(Object.keys(event))));
      assert.strictEqual(shapes.size, 1, [...shapes].join('\n'));
      assert.deepStrictEqual(
        new Set(events.map((event) => /** @type {any} */ (event).userIds.join())),
        new Set(['ann']),
      );
      assert.ok(events.every(({ path: file }) => path.isAbsolute(file) && fs.existsSync(file)));
    });

    eachMethod('folders that are called otherwise', async (t, method) => {
      const directories = { users: 'people', capsules: 'memory/pieces' };
      const { record, write } = await watchVault(t, method, { directories });
      // The sentinel lies where the usual names would have it.
      record.sentinel = 'people/sentinel/memory/pieces';
      write('people/shard_0001/ann/memory/pieces/a.json', memoryText('a'));
      const [event] = await record.expect([['imported', 'people/shard_0001/ann/memory/pieces/a.json', 'a']]);
      assert.strictEqual(event.userId, 'ann');
    });
  });

  describe('changes', TOGETHER, () => {
    eachMethod(
      'what was there at the opening, a touch, and the same content once more are no events',
      async (t, method) => {
        const old = `${MEMORIES}/old.json`;
        const { record, write, at } = await watchVault(t, method, {
          prepare(write) {
            write(old, memoryText('old'));
            write(NOVA, constructText('old'));
            write(`${MEMORIES}/broken.json`, '{"raw": }');
          },
        });
        await record.expect([], 'at the opening');
        fs.utimesSync(at(old), 1, 1);
        fs.chmodSync(at(NOVA), 0o400);
        fs.utimesSync(path.dirname(at(old)), 1, 1);
        await record.expect([], 'touched');
        write(old, memoryText('old'));
        fs.chmodSync(at(NOVA), 0o600);
        write(`${NOVA}.tmp`, constructText('old'));
        fs.renameSync(at(`${NOVA}.tmp`), at(NOVA));
        fs.readFileSync(at(old));
        await record.expect([], 'written again');
        fs.linkSync(at(old), at('hard link'));
        fs.rmSync(at('hard link'));
        await record.expect([], 'linked');
      },
    );

    eachMethod('each way of saving is one update with the new memories', async (t, method) => {
      const file = `${MEMORIES}/m.json`;
      const { record, write, at } = await watchVault(t, method, {
        prepare(write) {
          write(file, memoryText('before'));
          write(NOVA, constructText('before'));
        },
      });
      write(file, memoryText('behind'));
      await record.expect([['updated', file, 'behind']], 'of the same size');
      write(file, memoryText('in place, and longer'));
      await record.expect([['updated', file, 'in place, and longer']], 'in place');
      write(`${file}.tmp`, memoryText('renamed over'));
      fs.renameSync(at(`${file}.tmp`), at(file));
      await record.expect([['updated', file, 'renamed over']], 'renamed over');
      write('elsewhere.tmp', memoryText('from elsewhere'));
      fs.renameSync(at('elsewhere.tmp'), at(file));
      await record.expect([['updated', file, 'from elsewhere']], 'renamed over, from another folder');
      fs.renameSync(at(file), at(`${file}~`));
      write(file, memoryText('as editors do'));
      fs.rmSync(at(`${file}~`));
      await record.expect([['updated', file, 'as editors do']], 'with the old one renamed away');
      fs.rmSync(at(file));
      fs.linkSync(write('linked.tmp', memoryText('linked')), at(file));
      fs.rmSync(at('linked.tmp'));
      await record.expect([['updated', file, 'linked']], 'by a hard link');
      write(NOVA, constructText('behind'));
      const [event] = await record.expect([['updated', NOVA, 'behind']], 'of a construct');
      assert.deepStrictEqual(event.integrity, { valid: true, recipe: 'F1', tether: null });
    });

    eachMethod('updates of one size, one after the other, are never mixed up', async (t, method) => {
      const file = `${MEMORIES}/m.json`;
      const { root, record, write } = await watchVault(t, method);
      for (let round = 0; round < 30 * ROUNDS; round++) {
        const text = `round ${String(round).padStart(4, '0')}`;
        write(file, memoryText(text));
        const isTold = () => watched.storyOf(root, record.told().slice(-1))[0]?.[2] === text;
        if (method === true || round % 10 === 9) await record.until(isTold, text);
      }
      await record.quiet();
      const kinds = record.told().map(({ kind }) => kind);
      assert.deepStrictEqual(
        kinds,
        kinds.map((_, place) => (place === 0 ? 'imported' : 'updated')),
      );
      if (method === true) assert.strictEqual(kinds.length, 30 * ROUNDS);
    });

    eachMethod('removed, and made again', async (t, method) => {
      const [same, other, third] = ['same', 'other', 'third'].map((name) => `${MEMORIES}/${name}.json`);
      const { record, write, at } = await watchVault(t, method, {
        prepare(write) {
          for (const file of [same, other, third]) write(file, memoryText('before'));
        },
      });
      fs.rmSync(at(third));
      const [removed] = await record.expect([['removed', third]]);
      assert.deepStrictEqual(
        [removed.format, removed.userId, removed.memories, removed.reason],
        ['memory', 'ann', null, null],
      );
      write(third, memoryText('before'));
      await record.expect([['imported', third, 'before']], 'after its removal was told');

      fs.rmSync(at(same));
      write(same, memoryText('before'));
      fs.rmSync(at(other));
      write(other, memoryText('after'));
      await record.quiet();
      const told = watched.storyOf(record.root, record.told().slice(2));
      const of = (/** @type {string} */ file) => told.filter((row) => row[1] === file).map((row) => row[0]);
      assert.ok(['', 'removed,imported'].includes(`${of(same)}`), `${of(same)}`);
      assert.ok(['updated', 'removed,imported'].includes(`${of(other)}`), `${of(other)}`);
      assert.strictEqual(told.findLast((row) => row[1] === other)?.[2], 'after');
    });

    eachMethod('renamed to another name, into the vault and out of it', async (t, method) => {
      const { root, record, write, at, outside } = await watchVault(t, method, {
        prepare: (write) => write(`${MEMORIES}/a.json`, memoryText('a')),
      });
      fs.renameSync(at(MEMORIES, 'a.json'), at(MEMORIES, 'b.json'));
      await record.expect([
        ['removed', `${MEMORIES}/a.json`],
        ['imported', `${MEMORIES}/b.json`, 'a'],
      ]);
      fs.renameSync(at(MEMORIES, 'b.json'), path.join(outside, 'b.json'));
      await record.expect([['removed', `${MEMORIES}/b.json`]], 'out');
      fs.renameSync(path.join(outside, 'b.json'), at(MEMORIES, 'c.json'));
      await record.expect([['imported', `${MEMORIES}/c.json`, 'a']], 'into');
      fs.renameSync(at(MEMORIES, 'c.json'), at(MEMORIES, 'c.txt'));
      await record.expect([['removed', `${MEMORIES}/c.json`]], 'to a name that is no capsule’s');
      fs.renameSync(at(MEMORIES, 'c.txt'), at(MEMORIES, 'c.json'));
      await record.expect([['imported', `${MEMORIES}/c.json`, 'a']], 'from a name that is no capsule’s');
      write(`${MEMORIES}/d.json`, memoryText('d'));
      await record.expect([['imported', `${MEMORIES}/d.json`, 'd']]);
      fs.renameSync(at(MEMORIES, 'd.json'), path.join(root, MEMORIES, 'swap'));
      fs.renameSync(at(MEMORIES, 'c.json'), path.join(root, MEMORIES, 'd.json'));
      fs.renameSync(at(MEMORIES, 'swap'), path.join(root, MEMORIES, 'c.json'));
      await record.expect(
        [
          ['updated', `${MEMORIES}/c.json`, 'd'],
          ['updated', `${MEMORIES}/d.json`, 'a'],
        ],
        'two change places',
      );
    });
  });

  describe('writers that are slow', TOGETHER, () => {
    const text = memoryText('a memory that comes in pieces', { tags: ['first', 'second'] });
    const middle = Math.floor(text.length / 2);

    eachMethod('one that holds the file open', async (t, method) => {
      const { record, at } = await watchVault(t, method);
      fs.mkdirSync(at(MEMORIES), { recursive: true });
      const file = fs.openSync(at(MEMORIES, 'm.json'), 'w');
      await delay(300);
      fs.writeSync(file, text.slice(0, middle));
      await delay(300);
      await record.expect([], 'half of it');
      fs.writeSync(file, text.slice(middle));
      fs.closeSync(file);
      await record.expect([['imported', `${MEMORIES}/m.json`, 'a memory that comes in pieces']]);
    });

    eachMethod('one that opens it for each half', async (t, method) => {
      const { record, at } = await watchVault(t, method);
      fs.mkdirSync(at(MEMORIES), { recursive: true });
      fs.writeFileSync(at(MEMORIES, 'm.json'), text.slice(0, middle));
      await delay(300);
      await record.expect([], 'half of it');
      fs.appendFileSync(at(MEMORIES, 'm.json'), text.slice(middle));
      await record.expect([['imported', `${MEMORIES}/m.json`, 'a memory that comes in pieces']]);
    });

    eachMethod('one that writes byte by byte', async (t, method) => {
      const { record, at } = await watchVault(t, method);
      fs.mkdirSync(at(MEMORIES), { recursive: true });
      const file = fs.openSync(at(MEMORIES, 'm.json'), 'w');
      for (const byte of Buffer.from(text)) {
        fs.writeSync(file, Buffer.of(byte));
        await delay(2);
      }
      fs.closeSync(file);
      await record.expect([['imported', `${MEMORIES}/m.json`, 'a memory that comes in pieces']]);
    });

    eachMethod('one that writes a new text over the old one, half after half', async (t, method) => {
      const { record, at } = await watchVault(t, method, {
        prepare: (write) => write(NOVA, constructText('old text')),
      });
      const next = constructText('new text');
      const file = fs.openSync(at(NOVA), 'w');
      fs.writeSync(file, next.slice(0, 200));
      await delay(300);
      await record.expect([], 'half of it');
      fs.writeSync(file, next.slice(200));
      fs.closeSync(file);
      await record.expect([['updated', NOVA, 'new text']]);
    });

    test('one that writes over the old text without cutting it off first: halves of both are no capsule', async (t) => {
      const before = JSON.stringify({ raw: 'old old', created_ts: '2026-01-01T00:00:00Z', tags: ['old'] });
      const { record, at } = await watchVault(t, true, { prepare: (write) => write(`${MEMORIES}/m.json`, before) });
      const after = before.replaceAll('old', 'new');
      const file = fs.openSync(at(MEMORIES, 'm.json'), 'r+');
      fs.writeSync(file, after.slice(0, 12), 0);
      await delay(100);
      // As who copies folders does with their times when he is done: no other folder has their names now.
      for (const folder of [MEMORIES, path.dirname(MEMORIES), '.']) fs.utimesSync(at(folder), 1, 1);
      await delay(200);
      await record.expect([], 'half of the one, half of the other');
      fs.writeSync(file, after.slice(12), 12);
      fs.closeSync(file);
      await record.expect([['updated', `${MEMORIES}/m.json`, 'new new']]);
    });

    test('one that pauses for 2 s while it holds the file open', async (t) => {
      const { record, at } = await watchVault(t, true);
      fs.mkdirSync(at(MEMORIES), { recursive: true });
      const file = fs.openSync(at(MEMORIES, 'm.json'), 'w');
      fs.writeSync(file, text.slice(0, middle));
      await delay(2000);
      await record.expect([], 'half of it');
      fs.writeSync(file, text.slice(middle));
      fs.closeSync(file);
      await record.expect([['imported', `${MEMORIES}/m.json`, 'a memory that comes in pieces']]);
    });
  });

  describe('folders', TOGETHER, () => {
    eachMethod('new ones, with a file in them at once', async (t, method) => {
      const { record, write } = await watchVault(t, method);
      /** @type {unknown[][]} */
      const expected = [];
      for (let round = 0; round < 100 * ROUNDS; round++) {
        const user = round % 2 === 0 ? `user${round}` : `shard_${round}/user`;
        const files = [
          [`users/${user}/capsules/a.json`, memoryText('memory')],
          [`users/${user}/instances/nova-${round}/identity/x.capsule`, constructText('memory')],
          [`capsules/Nova${round}/x.capsule`, constructText('memory')],
        ];
        for (const [file, content] of files) {
          write(file, content);
          expected.push(['imported', file, 'memory']);
        }
        if (round % 10 === 0) await new Promise(setImmediate);
      }
      await record.expect(expected);
    });

    eachMethod('a tree that is moved in, out, and in again', async (t, method) => {
      const { record, at, outside } = await watchVault(t, method);
      const files = [
        'ann/capsules/a.json',
        'ann/instances/nova-001/identity/nova-001.capsule',
        'ann/account/capsule/current.capsule',
      ];
      const writeOutside = writerAt(outside);
      writeOutside(files[0], memoryText('text'));
      writeOutside(files[1], constructText('text'));
      writeOutside(files[2], constructText('text'));
      const rows = (/** @type {string} */ kind, /** @type {string} */ user) =>
        files.map((file) => {
          const row = [kind, `users/${file.replace('ann', user)}`];
          return kind === 'removed' ? row : [...row, 'text'];
        });
      fs.mkdirSync(at('users'), { recursive: true });
      fs.renameSync(path.join(outside, 'ann'), at('users/ann'));
      await record.expect(rows('imported', 'ann'), 'in');
      fs.renameSync(at('users/ann'), path.join(outside, 'ann'));
      await record.expect(rows('removed', 'ann'), 'out');
      writeOutside('ann/capsules/late.json', memoryText('unseen'));
      fs.rmSync(path.join(outside, 'ann/capsules/late.json'));
      fs.renameSync(path.join(outside, 'ann'), at('users/bob'));
      await record.expect(rows('imported', 'bob'), 'in again');
      fs.renameSync(at('users/bob'), at('users/eve'));
      await record.expect([...rows('removed', 'bob'), ...rows('imported', 'eve')], 'renamed');
      fs.writeFileSync(at('users/eve/capsules/a.json'), memoryText('changed'));
      await record.expect([['updated', 'users/eve/capsules/a.json', 'changed']], 'changed under its new name');
      fs.mkdirSync(at('users/bob/capsules'), { recursive: true });
      fs.writeFileSync(at('users/bob/capsules/b.json'), memoryText('another bob'));
      fs.writeFileSync(at('users/eve/capsules/b.json'), memoryText('of eve'));
      await record.expect(
        [
          ['imported', 'users/bob/capsules/b.json', 'another bob'],
          ['imported', 'users/eve/capsules/b.json', 'of eve'],
        ],
        'the old name once more',
      );
    });

    eachMethod('a construct’s folder that is moved in and renamed', async (t, method) => {
      const { record, at, outside } = await watchVault(t, method);
      writerAt(outside)('nova/identity/x.capsule', constructText('text'));
      const folder = 'users/ann/instances';
      fs.mkdirSync(at(folder), { recursive: true });
      fs.renameSync(path.join(outside, 'nova'), at(folder, 'nova-001'));
      const [event] = await record.expect([['imported', `${folder}/nova-001/identity/x.capsule`, 'text']]);
      assert.strictEqual(event.constructId, 'nova-001');
      fs.renameSync(at(folder, 'nova-001'), at(folder, 'nova-002'));
      const [left, right] = await record.expect([
        ['removed', `${folder}/nova-001/identity/x.capsule`],
        ['imported', `${folder}/nova-002/identity/x.capsule`, 'text'],
      ]);
      assert.deepStrictEqual(new Set([left.constructId, right.constructId]), new Set(['nova-001', 'nova-002']));
      fs.renameSync(at(folder, 'nova-002/identity'), at(folder, 'nova-002/memup'));
      await record.expect([
        ['removed', `${folder}/nova-002/identity/x.capsule`],
        ['imported', `${folder}/nova-002/memup/x.capsule`, 'text'],
      ]);
    });

    eachMethod('removed with all that is in them, and made again', async (t, method) => {
      const { record, write, at } = await watchVault(t, method);
      const files = Array.from({ length: 20 }, (_, place) => `${MEMORIES}/${place}.json`);
      const rows = (/** @type {string} */ kind, /** @type {string[]} */ ...text) =>
        files.map((file) => [kind, file, ...text]);
      for (const file of files) write(file, memoryText('first'));
      await record.expect(rows('imported', 'first'));
      for (const folder of [MEMORIES, 'users/ann', 'users']) {
        fs.rmSync(at(folder), { recursive: true });
        await record.expect(rows('removed'), `${folder} removed`);
        for (const file of files) write(file, memoryText('first'));
        await record.expect(rows('imported', 'first'), `${folder} made again`);
      }
      for (const [round, text] of ['second', 'third', 'fourth'].entries()) {
        fs.rmSync(at(['users', 'users/ann', MEMORIES][round]), { recursive: true });
        for (const file of files) write(file, memoryText(text));
        await record.until(
          () => record.told().filter(({ memories }) => memories?.[0].content === text).length === 20,
          text,
        );
        await record.quiet();
        record.skip();
      }
      write(files[0], memoryText('last'));
      await record.expect([['updated', files[0], 'last']], 'still watched');
    });

    eachMethod('the vault’s own folder, removed and made again', async (t, method) => {
      const { root, record, write } = await watchVault(t, method);
      write(`${MEMORIES}/a.json`, memoryText('first'));
      await record.expect([['imported', `${MEMORIES}/a.json`, 'first']]);
      fs.rmSync(root, { recursive: true });
      await record.until(() => record.told().some(({ kind }) => kind === 'removed'), 'the removal');
      write(`${MEMORIES}/a.json`, memoryText('second'));
      await record.until(() => record.told().at(-1)?.memories?.[0].content === 'second', 'the file in the new folder');
    });
  });

  describe('integrity', TOGETHER, () => {
    eachMethod(
      'what is unsound is rejected once, with the reason, and imported when it is mended',
      async (t, method) => {
        const { vault, record, write } = await watchVault(t, method, { expectedTetherSignature: 'EXAMPLE-SIG' });
        const sound = constructText('text');
        const files = {
          [`${MEMORIES}/broken.json`]: ['{"raw": "text",, }', memoryText('text')],
          [`${MEMORIES}/list.json`]: ['null', memoryText('text')],
          [`${MEMORIES}/hash.json`]: [memoryText('text').replace('"text"', '"test"'), memoryText('text')],
          'users/ann/instances/broken/identity/x.capsule': ['{"metadata": [}', sound],
          'users/ann/instances/changed/identity/x.capsule': [sound.replace('INFJ', 'INFP'), sound],
          'users/ann/instances/tether/identity/x.capsule': [
            sealCapsule({
              ...JSON.parse(sound),
              metadata: { ...JSON.parse(sound).metadata, tether_signature: 'OTHER' },
            }),
            sound,
          ],
          'users/ann/instances/list/identity/x.capsule': ['[]', sound],
        };
        for (const [file, [bad]] of Object.entries(files)) write(file, bad);
        const events = await record.expect(Object.keys(files).map((file) => ['rejected', file]));
        for (const event of events) {
          assert.match(String(event.reason), /\w/, event.path);
          const isOthers = /instances\/tether/.test(event.path);
          const integrity = isOthers
            ? { valid: true, recipe: 'F1', tether: false }
            : { valid: false, recipe: null, tether: event.integrity.tether };
          assert.deepStrictEqual(event.integrity, integrity, event.path);
        }
        const verified = new Map((await vault.verifyCapsules()).map((each) => [each.path, each.integrity.valid]));
        for (const { path: file, integrity } of events) assert.strictEqual(integrity.valid, verified.get(file), file);
        assert.deepStrictEqual(await vault.readMemories('ann'), []);
        for (const constructId of ['changed', 'tether']) await vault.readMemories('ann', { constructId });
        await record.expect([], 'reading does not tell again what the watch has told');
        for (const [file, [, good]] of Object.entries(files)) write(file, good);
        await record.expect(
          Object.keys(files).map((file) => ['imported', file, 'text']),
          'mended',
        );
        assert.strictEqual((await vault.readMemories('ann')).length, 3);
        for (const [file, [bad]] of Object.entries(files)) write(file, bad);
        await record.expect(
          Object.keys(files).map((file) => ['rejected', file]),
          'broken again',
        );
        assert.deepStrictEqual(await vault.readMemories('ann'), []);
      },
    );

    eachMethod('with integrity: report it is imported, marked', async (t, method) => {
      const { vault, record, write } = await watchVault(t, method, { integrity: 'report' });
      write(`${MEMORIES}/hash.json`, memoryText('text').replace('"text"', '"test"'));
      write(NOVA, constructText('text').replace('INFJ', 'INFP'));
      write(`${MEMORIES}/broken.json`, '{,}');
      const events = await record.expect([
        ['rejected', `${MEMORIES}/broken.json`],
        ['imported', `${MEMORIES}/hash.json`, 'test'],
        ['imported', NOVA, 'text'],
      ]);
      const imported = events.filter(({ kind }) => kind === 'imported');
      for (const { integrity } of imported)
        assert.deepStrictEqual(integrity, { valid: false, recipe: null, tether: null });
      const [marked] = await vault.readMemories('ann');
      assert.deepStrictEqual(/** @type {any} */ (marked.metadata).integrity, {
        valid: false,
        recipe: null,
        tether: null,
      });
    });

    onUnix('a sound capsule that is replaced by what can’t be read at all leaves the answers', async (t, method) => {
      const { vault, record, write, at } = await watchVault(t, method, {
        prepare(write) {
          for (const name of ['pipe', 'folder']) write(`${MEMORIES}/${name}.json`, memoryText(name));
          write(`${MEMORIES}/stays.json`, memoryText('stays'));
        },
      });
      execFileSync('mkfifo', [at('pipe')]);
      // With nothing in between.
      fs.renameSync(at('pipe'), at(MEMORIES, 'pipe.json'));
      fs.rmSync(at(MEMORIES, 'folder.json'));

      fs.mkdirSync(at(MEMORIES, 'folder.json'));
      await record.until(() => record.told().length >= 2, 'what became of two files');
      await record.quiet(250);
      for (const name of ['pipe', 'folder']) {
        const kinds = record
          .told()
          .filter((event) => event.path === at(MEMORIES, `${name}.json`))
          .map(({ kind }) => kind);
        assert.ok(['removed', 'rejected', 'removed,rejected'].includes(`${kinds}`), `${name}: ${kinds}`);
      }
      assert.deepStrictEqual(
        (await vault.readMemories('ann')).map(({ content }) => content),
        ['stays'],
      );
      for (const name of ['pipe', 'folder']) {
        fs.rmSync(at(MEMORIES, `${name}.json`), { recursive: true });
        write(`${MEMORIES}/${name}.json`, memoryText(`${name} again`));
      }
      const isBack = (/** @type {string} */ name) =>
        record.told().some(({ memories }) => memories?.[0].content === `${name} again`);
      await record.until(() => isBack('pipe') && isBack('folder'), 'the files that came again');
      assert.strictEqual((await vault.readMemories('ann')).length, 3);
    });
  });

  describe('what this vault and others store', TOGETHER, () => {
    eachMethod('storing, adopting and deleting is told of once', async (t, method) => {
      const { root, vault, record, write, at } = await watchVault(t, method);
      const stored = await vault.storeCapsule(constructText('stored'));
      const file = placeOf(root, stored);
      assert.deepStrictEqual(
        watched.storyOf(root, record.told()),
        [['imported', file, 'stored']],
        'told of when the promise resolves',
      );
      await record.expect([['imported', file, 'stored']]);
      await vault.storeCapsule(constructText('stored'));
      await record.expect([], 'the same once more');
      assert.strictEqual(await vault.addTag('Nova', 'a', 'gold'), true);
      await record.expect([], 'tagged');
      assert.strictEqual(await vault.deleteCapsule('Nova', 'a'), true);
      await record.expect([['removed', file]], 'deleted');

      const unsound = 'users/ann/instances/nova-001/identity/x.capsule';
      write(unsound, constructText('old').replace('"old"', '"new"'));
      await record.expect([['rejected', unsound]]);
      const adopted = placeOf(root, await vault.adoptCapsule(at(unsound)));
      await record.expect([['imported', adopted, 'new']], 'adopted');
      await assert.rejects(vault.storeCapsule(constructText('old').replace('"old"', '"new"')), {
        code: 'VVAULT_UNSOUND',
      });
      await record.expect([], 'refused');
    });

    eachMethod('many at once, each when its promise resolves, in the order of their cursors', async (t, method) => {
      const { root, vault, record } = await watchVault(t, method);
      let isOver = false;
      const storm = runChild(t, 'storm', root, 'ann', '1500').then(() => {
        isOver = true;
      });
      /** @type {Set<string>} */
      const paths = new Set();
      vault.on('capsule:imported', (event) => paths.add(event.path));
      let [stored, late] = [0, 0];
      const store = async () => {
        while (!isOver) {
          const name = `Nova${stored++}`;
          const file = await vault.storeCapsule(constructText('stored', { name, uuid: name }));
          if (!paths.has(file)) late++;
        }
      };
      await Promise.all([storm, store(), store(), store()]);
      await record.until(() => record.told().length >= 1500 + stored, `${1500 + stored} events`);
      await record.quiet();
      assert.strictEqual(record.told().length, 1500 + stored);
      const numbers = record.told().map(numberOf);
      const backward = numbers.filter((number, place) => place > 0 && number <= numbers[place - 1]);
      assert.deepStrictEqual(
        { late, backward: backward.length },
        { late: 0, backward: 0 },
        'told before storeCapsule resolves; and in order, or who keeps the last cursor would miss an earlier event after a kill',
      );
    });

    eachMethod('another vault of this process, and another process', async (t, method) => {
      const { root, folder, record } = await watchVault(t, method);
      const other = await Vault.open(root, { watch: true, cacheDir: path.join(folder, 'other cache') });
      atEnd(t, () => other.close());
      let told = 0;
      other.on('capsule:imported', (event) => {
        if (event.instanceName === 'Nova') told++;
      });
      const file = await other.storeCapsule(constructText('by the other vault'));
      assert.strictEqual(told, 1);
      await record.expect([['imported', placeOf(root, file), 'by the other vault']]);
      assert.strictEqual(told, 1);
      await other.close();
      await runChild(t, 'store', root, path.join(folder, 'other cache'), 'Katana');
      const [event] = record.told().filter(({ uuid }) => uuid === 'Katana');
      await record.until(() => record.told().length === 2, 'what the other process stored');
      await record.quiet();
      assert.strictEqual(record.told().length, 2, String(event?.path));
      assert.strictEqual(record.told()[1].instanceName, 'Katana');
    });
  });

  describe('reading', TOGETHER, () => {
    eachMethod('what an event told is in the next answer', async (t, method) => {
      const { vault, record, write, at } = await watchVault(t, method);
      /** @type {Promise<void>[]} */
      const checks = [];
      /** @type {string[]} */
      const wrong = [];
      const check = async (/** @type {CapsuleEvent} */ event) => {
        if (event.userId === 'sentinel') return;
        const before = record.events.length;
        const read = await vault.readMemories('ann', { limit: 0, constructId: 'nova-001' });
        // What comes while it reads may be in the answer as well.
        if (record.events.length > before + 1) return;
        const contents = read.map(({ content }) => content);
        const told = event.memories?.map(({ content }) => content) ?? [];
        const id = path.basename(event.path, '.json');
        const isThere = read.some((memory) => memory.id === id);
        if (!told.every((content) => contents.includes(content)) || (event.kind === 'removed' && isThere)) {
          wrong.push(`${event.kind} ${event.path} ${told}: read ${contents}`);
        }
      };
      for (const kind of watched.KINDS) vault.on(`capsule:${kind}`, (event) => checks.push(check(event)));
      for (let round = 0; round < 8 * ROUNDS; round++) {
        const text = `round ${String(round).padStart(4, '0')}`;
        write(`${MEMORIES}/a.json`, memoryText(text));
        write(NOVA, constructText(`nova’s ${text}`.replace('’', "'"), { uuid: `${round}`, place: round }));
        if (round % 2 === 0) write(`${MEMORIES}/b.json`, memoryText(text));
        else fs.rmSync(at(MEMORIES, 'b.json'));
        await record.until(() => record.told().length >= (round + 1) * 3, `three events of round ${round}`);
        await Promise.all(checks);
      }
      fs.rmSync(at(NOVA));
      await record.until(() => record.told().at(-1)?.kind === 'removed', 'the removal');
      const left = await vault.readMemories('ann', { constructId: 'nova-001' });
      assert.deepStrictEqual(
        left.filter(({ type }) => type === 'construct'),
        [],
      );
      assert.deepStrictEqual(wrong, []);
    });

    eachMethod('what went before anybody was told of it is gone for readers too', async (t, method) => {
      const { vault, record, write, at } = await watchVault(t, method);
      write(`${MEMORIES}/kept.json`, memoryText('kept'));
      const contents = async () => (await vault.readMemories('ann')).map(({ content }) => content).sort();
      const holding = (/** @type {string} */ name) => {
        const file = fs.openSync(at(MEMORIES, name), 'w');
        fs.writeSync(file, memoryText(name));
        return file;
      };
      const removed = holding('removed.json');
      assert.deepStrictEqual(await contents(), ['kept', 'removed.json']);
      fs.rmSync(at(MEMORIES, 'removed.json'));
      assert.deepStrictEqual(await contents(), ['kept']);
      const renamed = holding('before.json');
      await contents();
      fs.closeSync(renamed);
      fs.renameSync(at(MEMORIES, 'before.json'), at(MEMORIES, 'after.json'));
      assert.deepStrictEqual(await contents(), ['before.json', 'kept']);
      const away = holding('away.json');
      await contents();
      fs.renameSync(at(MEMORIES), at('users/ann/old'));
      fs.mkdirSync(at(MEMORIES));
      assert.deepStrictEqual(await contents(), []);
      for (const file of [removed, away]) fs.closeSync(file);
      await record.quiet();
      assert.deepStrictEqual(await contents(), []);
    });

    onUnix('a folder above the vault is moved, and another takes its place', async (t, method) => {
      const { root: folder } = temporaryVault(t);
      const root = path.join(folder, 'data/vault');
      const write = writerAt(path.join(folder, 'data'));
      write(`vault/${MEMORIES}/a.json`, memoryText('old'));
      writerAt(path.join(folder, 'restored'))(`vault/${MEMORIES}/b.json`, memoryText('restored'));
      const { vault, record } = await watchVault(t, method, { root, cacheDir: path.join(folder, 'cache') });
      const contents = async () => (await vault.readMemories('ann')).map(({ content }) => content);
      assert.deepStrictEqual(await contents(), ['old']);
      fs.renameSync(path.join(folder, 'data'), path.join(folder, 'away'));
      fs.renameSync(path.join(folder, 'restored'), path.join(folder, 'data'));
      assert.deepStrictEqual(await contents(), ['restored']);
      await record.expect([
        ['removed', `${MEMORIES}/a.json`],
        ['imported', `${MEMORIES}/b.json`, 'restored'],
      ]);
      write(`vault/${MEMORIES}/b.json`, memoryText('changed'));
      assert.deepStrictEqual(await contents(), ['changed']);
      await record.expect([['updated', `${MEMORIES}/b.json`, 'changed']]);
    });

    test('of several vaults of one process each answers with what it has told', TIME_LIMIT, async (t) => {
      const { root, folder, vault, write, at } = await watchVault(t, true);
      const vaults = [vault];
      for (const name of ['second', 'third']) {
        const other = await Vault.open(root, { watch: true, cacheDir: path.join(folder, name) });
        atEnd(t, () => other.close());
        vaults.push(other);
      }
      /** @type {Promise<void>[]} */
      const checks = [];
      let [stale, last] = [0, 0];
      const check = async (/** @type {Vault} */ own, /** @type {number} */ told) => {
        const [memory] = await own.readMemories('ann');
        if (!(Number(memory?.content) >= told)) stale++;
      };
      for (const own of vaults) {
        for (const kind of /** @type {const} */ (['imported', 'updated'])) {
          own.on(`capsule:${kind}`, ({ memories }) => {
            const told = Number(memories?.[0].content);
            if (own === vault) last = told;
            checks.push(check(own, told));
          });
        }
      }
      const updates = 1200 * ROUNDS;
      fs.mkdirSync(at(MEMORIES), { recursive: true });
      for (let update = 1; update <= updates; update++) {
        write('next', JSON.stringify({ raw: String(update) }));
        fs.renameSync(at('next'), at(MEMORIES, 'a.json'));
        if (update % 3 === 0) await new Promise(setImmediate);
      }
      while (last < updates) await delay(5);
      await Promise.all(checks);
      assert.strictEqual(stale, 0, `of ${checks.length}`);
    });

    onUnix('files that have another name too are not answered from memory for ever', async (t, method) => {
      const { vault, write, at, outside } = await watchVault(t, method, {
        prepare(write, root) {
          write('shared/a.json', memoryText('soft'));
          write('shared/b.json', memoryText('hard'));
          write(`${MEMORIES}/stays.json`, memoryText('stays'));
          fs.symlinkSync('../../../shared/a.json', path.join(root, MEMORIES, 'a.json'));
          fs.linkSync(path.join(root, 'shared/b.json'), path.join(root, MEMORIES, 'b.json'));
        },
      });
      const contents = async () => (await vault.readMemories('ann')).map(({ content }) => content).sort();
      assert.deepStrictEqual(await contents(), ['hard', 'soft', 'stays']);
      write('shared/a.json', memoryText('soft, changed'));
      write('shared/b.json', memoryText('hard, changed'));
      await delay(1200);
      assert.deepStrictEqual(await contents(), ['hard, changed', 'soft, changed', 'stays']);
      fs.renameSync(at('shared'), path.join(outside, 'shared'));
      await delay(1200);
      assert.deepStrictEqual(await contents(), ['hard, changed', 'stays']);
    });

    eachMethod('a folder that was away for a moment is in the answers again', async (t, method) => {
      const { vault, record, at, outside } = await watchVault(t, method, {
        prepare(write) {
          write(`${MEMORIES}/a.json`, memoryText('a'));
          write(NOVA, constructText('nova'));
        },
      });
      const contents = async () =>
        (await vault.readMemories('ann', { constructId: 'nova-001' })).map(({ content }) => content).sort();
      // Until what is in it can no longer have changed within the tick of the clock in which it was read.
      await record.quiet(150);
      for (const folder of ['users/ann', MEMORIES]) {
        assert.deepStrictEqual(await contents(), ['a', 'nova']);
        fs.renameSync(at(folder), path.join(outside, 'away'));
        assert.deepStrictEqual(await contents(), folder === MEMORIES ? ['nova'] : []);
        fs.renameSync(path.join(outside, 'away'), at(folder));
        assert.deepStrictEqual(await contents(), ['a', 'nova'], `${folder} is back`);
        await record.quiet(100);
        assert.deepStrictEqual(await contents(), ['a', 'nova'], `${folder} is back for good`);
      }
    });

    eachMethod('the drop-in never waits for the watch', async (t, method) => {
      const { root, write, at } = await watchVault(t, method, {
        prepare: (write) => write(`${MEMORIES}/a.json`, memoryText('first')),
      });
      const { config } = vaultAt(root);
      for (let round = 0; round < 50 * ROUNDS; round++) {
        const text = `round ${round % 10}`;
        write(`${MEMORIES}/a.json`, memoryText(text));
        const [memory, ...others] = await readMemories(config, 'ann', { limit: 0 });
        assert.deepStrictEqual([memory.content, others.length], [text, 0]);
        write(`${MEMORIES}/b.json`, memoryText(text));
        assert.strictEqual((await readMemories(config, 'ann', { limit: 0 })).length, 2);
        fs.rmSync(at(MEMORIES, 'b.json'));
      }
    });
  });

  describe('cursors', TOGETHER, () => {
    /**
     * A vault in which some things happened while it was watched, closed again.
     *
     * @param {import('node:test').TestContext} t
     * @param {Method} method
     */
    async function closedVault(t, method) {
      const opened = await watchVault(t, method, {
        prepare: (write) => write(`${MEMORIES}/old.json`, memoryText('old')),
      });
      const { record, write, vault } = opened;
      for (const name of ['kept', 'changed', 'gone', 'moved']) write(`${MEMORIES}/${name}.json`, memoryText(name));
      write(NOVA, constructText('nova'));
      await record.until(() => record.told().length === 5, '5 imports');
      await record.quiet();
      const cursor = vault.cursor;
      assert.strictEqual(Number(cursor?.split('.')[1]) >= Number(record.events.at(-1)?.cursor?.split('.')[1]), true);
      await vault.close();
      return { ...opened, cursor };
    }

    /** @param {{ root: string, write: ReturnType<typeof writerAt>, at: (...below: string[]) => string }} vault */
    function changeMeanwhile({ write, at }) {
      write(`${MEMORIES}/changed.json`, memoryText('changed meanwhile'));
      write(`${MEMORIES}/new.json`, memoryText('new'));
      write(`${MEMORIES}/passing.json`, memoryText('passing'));
      fs.rmSync(at(MEMORIES, 'passing.json'));
      fs.rmSync(at(MEMORIES, 'gone.json'));
      fs.renameSync(at(MEMORIES, 'moved.json'), at(MEMORIES, 'moved-on.json'));
      fs.utimesSync(at(MEMORIES, 'kept.json'), 1, 1);
      write(NOVA, constructText('nova meanwhile'));
      write('users/bob/capsules/a.json', memoryText('of bob'));
    }

    const MEANWHILE = [
      ['updated', `${MEMORIES}/changed.json`, 'changed meanwhile'],
      ['imported', `${MEMORIES}/new.json`, 'new'],
      ['removed', `${MEMORIES}/gone.json`],
      ['removed', `${MEMORIES}/moved.json`],
      ['imported', `${MEMORIES}/moved-on.json`, 'moved'],
      ['updated', NOVA, 'nova meanwhile'],
      ['imported', 'users/bob/capsules/a.json', 'of bob'],
    ];

    /**
     * @param {import('node:test').TestContext} t
     * @param {Method} method
     * @param {Awaited<ReturnType<typeof closedVault>>} closed
     * @param {{ since?: string | Date | null, cacheDir?: string }} [options]
     */
    async function openAgain(t, method, { root, cacheDir }, options = {}) {
      const { record, vault } = await watchVault(t, method, { root, cacheDir, ...options });
      return { record, vault };
    }

    eachMethod('what is just being written at the opening is told when it is whole', async (t, method) => {
      const closed = await closedVault(t, method);
      const half = (/** @type {string} */ name) => {
        const file = fs.openSync(closed.at(MEMORIES, name), 'w');
        fs.writeSync(file, memoryText('whole').slice(0, 20));
        return file;
      };
      const files = [half('changed.json'), half('new.json')];
      const { record } = await openAgain(t, method, closed, { since: closed.cursor });
      await record.expect([]);
      for (const file of files) {
        fs.writeSync(file, memoryText('whole').slice(20));
        fs.closeSync(file);
      }
      await record.expect([
        ['updated', `${MEMORIES}/changed.json`, 'whole'],
        ['imported', `${MEMORIES}/new.json`, 'whole'],
      ]);
    });

    eachMethod('that a capsule went is told to who did not hear that it was rejected before', async (t, method) => {
      const closed = await closedVault(t, method);
      const { record, vault } = await openAgain(t, method, closed, { since: closed.cursor });
      closed.write(`${MEMORIES}/changed.json`, '{]');
      await record.expect([['rejected', `${MEMORIES}/changed.json`]]);
      await vault.close();
      fs.rmSync(closed.at(MEMORIES, 'changed.json'));
      const again = await openAgain(t, method, closed, { since: closed.cursor });
      await again.record.expect([['removed', `${MEMORIES}/changed.json`]]);
    });

    eachMethod('what happened while nobody watched is told to who asks', async (t, method) => {
      const closed = await closedVault(t, method);
      changeMeanwhile(closed);
      const { record, vault } = await openAgain(t, method, closed, { since: closed.cursor });
      const events = await record.expect(MEANWHILE);
      const numbers = events.map(numberOf);
      assert.deepStrictEqual(
        numbers,
        [...numbers].sort((left, right) => left - right),
        'in order',
      );
      const last = vault.cursor;
      await vault.close();
      const again = await openAgain(t, method, closed, { since: last });
      await again.record.expect([], 'behind the last cursor');
      await again.vault.close();
      const middle = events[3].cursor;
      const rest = await openAgain(t, method, closed, { since: middle });
      await rest.record.expect(watched.storyOf(closed.root, events.slice(4)), 'behind a cursor in the middle');
    });

    eachMethod('and to nobody else', async (t, method) => {
      const closed = await closedVault(t, method);
      changeMeanwhile(closed);
      const { record, vault } = await openAgain(t, method, closed);
      await record.expect([]);
      await vault.close();
      // Nobody was told: who asks with the old cursor still hears of it.
      const later = await openAgain(t, method, closed, { since: closed.cursor });
      await later.record.expect(MEANWHILE);
    });

    eachMethod('what somebody never heard of is not removed for him', async (t, method) => {
      const { vault, record, write, at, root, cacheDir } = await watchVault(t, method);
      const since = vault.cursor;
      for (const name of ['gone', 'changed', 'broken', 'mended'])
        write(`${MEMORIES}/${name}.json`, memoryText('first'));
      await record.until(() => record.told().length === 4, '4 imports');
      write(`${MEMORIES}/mended.json`, '{,}');
      await record.until(() => record.told().length === 5, 'a rejection');
      await vault.close();
      fs.rmSync(at(MEMORIES, 'gone.json'));
      write(`${MEMORIES}/changed.json`, memoryText('second'));
      write(`${MEMORIES}/broken.json`, '{,}');
      write(`${MEMORIES}/mended.json`, memoryText('second'));
      const again = await watchVault(t, method, { root, cacheDir, since });
      await again.record.expect([
        ['imported', `${MEMORIES}/changed.json`, 'second'],
        ['rejected', `${MEMORIES}/broken.json`],
        ['imported', `${MEMORIES}/mended.json`, 'second'],
      ]);
    });

    eachMethod('who is ended in the middle of what he is told at once goes on from there', async (t, method) => {
      const { vault, record, write, at, root, cacheDir } = await watchVault(t, method);
      /** @param {string} since */
      const openSince = (since) => watchVault(t, method, { root, cacheDir, since });
      const told = async (/** @type {string} */ kind, /** @type {string} */ name, /** @type {string} */ content) => {
        const events = record.told().length;
        if (kind === 'removed') fs.rmSync(at(MEMORIES, name));
        else write(`${MEMORIES}/${name}`, memoryText(content));
        await record.until(() => record.told().length > events, `${kind} ${name}`);
        return String(record.told().at(-1)?.cursor);
      };
      const dealtWith = await told('imported', 'p.json', 'first');
      await told('removed', 'p.json', '');
      await told('imported', 'q.json', 'q');
      await told('imported', 'p.json', 'second');
      await told('imported', 'x.json', 'never told of');
      await vault.close();
      for (const name of ['p.json', 'x.json']) fs.rmSync(at(MEMORIES, name));

      const again = await openSince(dealtWith);
      const [first] = await again.record.expect([
        ['imported', `${MEMORIES}/q.json`, 'q'],
        ['removed', `${MEMORIES}/p.json`],
      ]);
      assert.strictEqual(path.basename(first.path), 'q.json');
      await again.vault.close();
      const rest = await openSince(first.cursor ?? '');
      const [last] = await rest.record.expect([['removed', `${MEMORIES}/p.json`]]);
      await rest.vault.close();
      const nothing = await openSince(last.cursor ?? '');
      await nothing.record.expect([]);
    });

    eachMethod('each of several comes back to its own, whoever watched meanwhile', async (t, method) => {
      const closed = await closedVault(t, method);
      const other = await openAgain(t, method, closed);
      const cursors = [closed.cursor, other.vault.cursor];
      await other.vault.close();
      const stranger = await openAgain(t, method, closed);
      closed.write(`${MEMORIES}/new.json`, memoryText('new'));
      await stranger.record.expect([['imported', `${MEMORIES}/new.json`, 'new']]);
      await stranger.vault.close();
      fs.rmSync(closed.at(MEMORIES, 'gone.json'));
      const opened = [];
      for (const since of cursors) opened.push(await openAgain(t, method, closed, { since }));
      for (const { record } of opened) {
        await record.expect([
          ['imported', `${MEMORIES}/new.json`, 'new'],
          ['removed', `${MEMORIES}/gone.json`],
        ]);
      }
    });

    eachMethod('without its record a cursor still tells its time, and so does a date', async (t, method) => {
      const closed = await closedVault(t, method);
      const date = new Date();
      await delay(20);
      changeMeanwhile(closed);
      const came = MEANWHILE.filter(([kind]) => kind !== 'removed').map(([, file]) => file);
      const dated = await openAgain(t, method, closed, { since: date });
      const expected = async (/** @type {typeof dated.record} */ record) => {
        await record.until(() => record.told().length >= came.length, 'what came');
        await record.quiet();
        const told = watched.storyOf(closed.root, record.told()).filter(([kind]) => kind !== 'removed');
        for (const file of came) assert.strictEqual(told.filter((row) => row[1] === file).length, 1, String(file));
        return told.map((row) => row[1]);
      };
      const byDate = await expected(dated.record);
      assert.ok(!byDate.includes(`${MEMORIES}/old.json`), 'what is older than the date');
      await dated.vault.close();
      fs.rmSync(closed.cacheDir, { recursive: true });
      const lost = await openAgain(t, method, closed, { since: closed.cursor });
      await expected(lost.record);
      await lost.vault.close();
      const none = await openAgain(t, method, closed, { since: closed.cursor, cacheDir: /** @type {any} */ (null) });
      await expected(none.record);
      const heard = Date.now();
      await none.record.quiet();
      await none.record.quiet();
      const [, , time] = String(none.vault.cursor).split('.');
      assert.ok(Number(time) >= heard, 'who has heard all is told of nothing older again');
    });

    test('what is no cursor is refused', async (t) => {
      const { root, cacheDir } = temporaryFolders(t);
      for (const since of ['no cursor', 'a.b.c', '1.2.3.4', '.']) {
        await assert.rejects(Vault.open(root, { create: true, watch: true, cacheDir, since }), {
          code: 'VVAULT_INVALID_CURSOR',
        });
      }
      await assert.rejects(Vault.open(root, { cacheDir, since: 'a.1.2' }), { code: 'VVAULT_INVALID_ARGUMENT' });
      await assert.rejects(Vault.open(root, { watch: true, cacheDir, since: new Date(Number.NaN) }), {
        code: 'VVAULT_INVALID_ARGUMENT',
      });
      const unwatched = await Vault.open(root, { cacheDir });
      assert.strictEqual(unwatched.cursor, null);
      await unwatched.close();
      const vault = await Vault.open(root, { watch: true, cacheDir });
      assert.match(String(vault.cursor), /^\w+\.\d+\.\d+$/);
      await vault.close();
    });

    for (let round = 0; round < 2 * ROUNDS; round++) {
      test(
        `a watching process that is killed in a storm misses nothing when it comes back (${round})`,
        TIME_LIMIT,
        async (t) => {
          const { root, cacheDir } = temporaryFolders(t);
          fs.mkdirSync(path.join(root, 'users'));
          const first = startChild(t, 'watch', root, cacheDir);
          while (!first.output.text.includes('\n')) await once(first.child.stdout, 'data');
          const storm = runChild(t, 'storm', root, 'ann', '1000');
          const enough = 50 + 120 * (round % 5);
          while (first.output.text.split('\n').length < enough) await once(first.child.stdout, 'data');
          first.child.kill('SIGKILL');
          await first.closed;
          await storm;
          const linesOf = (/** @type {string} */ text) =>
            text
              .split('\n')
              .slice(0, -1)
              .map((line) => /** @type {CapsuleEvent} */ (JSON.parse(line)));
          const told = linesOf(first.output.text);
          const since = String(told.at(-1)?.cursor);
          const second = startChild(t, 'watch', root, cacheDir, since);
          const isAll = () =>
            new Set([...told, ...linesOf(second.output.text)].map((event) => event.path)).size >= 1001;
          while (!isAll()) await once(second.child.stdout, 'data', { signal: AbortSignal.timeout(10_000) });
          await delay(100);
          second.child.kill('SIGKILL');
          await second.closed;
          const all = [...told, ...linesOf(second.output.text)].filter(
            ({ kind }) => kind !== /** @type {string} */ ('opened'),
          );
          assert.deepStrictEqual(
            all.filter(({ kind }) => kind !== 'imported'),
            [],
          );
          assert.strictEqual(new Set(all.map(({ path: file }) => file)).size, 1000, 'none is missed');
          assert.strictEqual(all.length, 1000, 'none comes twice');
        },
      );
    }
  });

  describe('the end', TOGETHER, () => {
    eachMethod('no event comes after close', async (t, method) => {
      const { root, vault, record, write } = await watchVault(t, method);
      write(`${MEMORIES}/a.json`, memoryText('a'));
      await record.expect([['imported', `${MEMORIES}/a.json`, 'a']]);
      const storm = runChild(t, 'storm', root, 'ann', '500');
      await record.until(() => record.told().length > 20, 'the first of a storm');
      const closing = vault.close();
      const told = record.told().length;
      await Promise.all([closing, storm]);
      write(`${MEMORIES}/b.json`, memoryText('b'));
      await delay(150);
      assert.strictEqual(record.told().length, told);
      assert.ok(vault.cursor, 'with that of the last event that was told');
      const again = await watchVault(t, method, { root, since: vault.cursor });
      await again.record.until(() => again.record.told().length >= 502 - told, 'all that was not told yet');
      assert.strictEqual(again.record.told().length, 502 - told);
    });

    test('a listener may close the vault', async (t) => {
      const { root, vault, record } = await watchVault(t, true);
      vault.on('capsule:imported', () => vault.close());
      await runChild(t, 'storm', root, 'ann', '200');
      await record.until(() => record.told().length > 0, 'an event');
      await vault.close();
      await delay(50);
      assert.strictEqual(record.told().length, 1);
    });

    test('the process ends by itself after close, and with unref; else it goes on', TIME_LIMIT, async (t) => {
      const { root, cacheDir } = temporaryFolders(t);
      fs.mkdirSync(path.join(root, 'users'));
      assert.strictEqual(await runChild(t, 'close', root, cacheDir), 'closed\n');
      assert.strictEqual(await runChild(t, 'unref', root, cacheDir), 'opened\n');
      const { child, output, closed } = startChild(t, 'open', root, cacheDir);
      while (!output.text.includes('opened')) await once(child.stdout, 'data');
      await delay(300);
      assert.strictEqual(child.exitCode, null, 'a watching vault keeps the process alive');
      child.kill();
      await closed;
    });

    test('a vault that nobody holds goes on telling its listeners', TIME_LIMIT, async (t) => {
      const { root, cacheDir } = temporaryFolders(t);
      fs.mkdirSync(path.join(root, 'users'));
      const { child, output, closed } = startChild(t, 'forget', root, cacheDir);
      const timer = setTimeout(() => child.kill(), 2000);
      await closed;
      clearTimeout(timer);
      assert.strictEqual(output.text, 'imported\n');
    });

    test('a vault that nobody holds and that does not keep the process is collected', TIME_LIMIT, async (t) => {
      const { root, cacheDir } = temporaryFolders(t);
      assert.strictEqual(await runChild(t, 'letGo', root, cacheDir), 'collected\n');
    });

    test('worker threads that are terminated while events come in harm nobody', TIME_LIMIT, async (t) => {
      const { root, cacheDir } = temporaryFolders(t);
      const program = `
      const { Worker } = require('node:worker_threads');
      const { once } = require('node:events');
      const { setTimeout: wait } = require('node:timers/promises');
      const { Vault } = require(${JSON.stringify(require.resolve('..'))});
      const inWorker = \`
        const { parentPort, workerData } = require('node:worker_threads');
        const { Vault } = require(workerData.module);
        Vault.open(workerData.root, { watch: true, cacheDir: workerData.cacheDir }).then((own) => {
          own.on('capsule:imported', () => own.readMemories('ann'));
          own.on('capsule:updated', () => own.readMemories('ann'));
          parentPort.postMessage('watching');
        });\`;
      const workerData = { root: vault.root, cacheDir: ${JSON.stringify(cacheDir)}, module: ${JSON.stringify(require.resolve('..'))} };
      const own = await Vault.open(vault.root, { watch: true, cacheDir: workerData.cacheDir });
      const contents = new Map();
      for (const kind of ['imported', 'updated']) own.on('capsule:' + kind, (event) => contents.set(event.path, event.memories[0].content));
      for (let round = 0; round < ${20 * ROUNDS}; round++) {
        const worker = new Worker(inWorker, { eval: true, workerData });
        await once(worker, 'message');
        for (let place = 0; place < 50; place++) vault.write('ann', place + '.json', { raw: 'round ' + round });
        if (round % 4 > 0) await wait(round % 4);
        await worker.terminate();
      }
      while ([...contents.values()].filter((content) => content === 'round ${20 * ROUNDS - 1}').length < 50) await wait(5);
      console.log(contents.size, (await own.readMemories('ann', { limit: 0 })).length);
      await own.close();`;
      const ended = await runProgram(vaultAt(root), program);
      assert.deepStrictEqual(ended, { code: 0, signal: null, stdout: '50 50\n', stderr: '' });
    });

    test('opening and closing leaves no thread and no file open', TIME_LIMIT, async (t) => {
      const { root, cacheDir } = temporaryFolders(t);
      const program = `
      const fs = require('node:fs');
      const { setTimeout: wait } = require('node:timers/promises');
      const { Vault } = require(${JSON.stringify(require.resolve('..'))});
      const count = () => [fs.readdirSync('/proc/self/fd').length, fs.readdirSync('/proc/self/task').length];
      const turn = async (watch) => {
        const own = await Vault.open(vault.root, { watch, pollInterval: 50, cacheDir: ${JSON.stringify(cacheDir)} });
        await own.close();
      };
      vault.write('ann', 'a.json', { raw: 'a' });
      for (let round = 0; round < 10; round++) await turn(true);
      await wait(100);
      const before = count();
      for (let round = 0; round < 200; round++) await turn(round % 2 ? true : 'poll');
      let after = count();
      for (let patience = 0; patience < 20 && after.some((number, place) => number > before[place] + 10); patience++) {
        await wait(50);
        after = count();
      }
      if (after.some((number, place) => number > before[place] + 10)) console.log(before, after);`;
      const ended = await runProgram(vaultAt(root), program);
      assert.deepStrictEqual(ended, { code: 0, signal: null, stdout: '', stderr: '' });
    });
  });

  describe('what the system refuses', TOGETHER, () => {
    onUnix('no free file descriptor for a while', async (t, method) => {
      const { root, cacheDir } = temporaryFolders(t);
      const write = writerAt(root);
      for (const name of ['a', 'b']) write(`${MEMORIES}/${name}.json`, memoryText(name));
      const body = `
      const writing = fs.openSync(folder + '/a.json', 'w');
      const held = [];
      try {
        for (;;) held.push(fs.openSync('/dev/null'));
      } catch {}
      fs.writeSync(writing, '{"raw":"changed"}');
      fs.closeSync(writing);
      try {
        held.push(fs.openSync('/dev/null'));
      } catch {}
      await wait(300);
      for (const one of held) fs.closeSync(one);
      for (let patience = 0; patience < 30 && told.at(-1)?.[2] !== 'changed'; patience++) await wait(50);`;
      const limited = [
        '-c',
        'ulimit -n 64; exec "$0" -e "$1"',
        process.execPath,
        programOf(root, cacheDir, method, body),
      ];
      const { stdout } = await promisify(execFile)('sh', limited);
      assert.deepStrictEqual(JSON.parse(stdout), {
        told: [['updated', 'a.json', 'changed']],
        read: ['b', 'changed'],
        errors: [],
      });
    });

    onUnix('files and folders that may not be read for a while', async (t, method) => {
      const { root, cacheDir, folder } = temporaryFolders(t);
      const write = writerAt(root);
      for (const name of ['a', 'b']) write(`${MEMORIES}/${name}.json`, memoryText(name));
      const body = `
      const count = async () => told.push([(await vault.readMemories('ann')).length]);
      fs.chmodSync(folder + '/a.json', 0);
      await wait(400);
      await count();
      fs.chmodSync(folder + '/a.json', 0o644);
      await wait(400);
      fs.chmodSync(folder + '/a.json', 0);
      await wait(400);
      fs.rmSync(folder + '/a.json');
      await wait(200);
      await count();
      fs.writeFileSync(folder + '/a.json', '{"raw":"again"}');
      await wait(200);
      told.push(['closed']);
      fs.chmodSync(folder, 0);
      await wait(200);
      fs.chmodSync(folder, 0o755);
      await wait(200);
      told.push(['open']);
      fs.writeFileSync(folder + '/b.json', '{"raw":"changed"}');
      await wait(200);`;
      const settings = {};
      if (process.getuid?.() === 0) {
        // What binds others does not bind root.
        Object.assign(settings, { uid: 65534, gid: 65534 });
        execFileSync('chown', ['-R', '65534:65534', folder]);
      }
      const running = promisify(execFile)(process.execPath, ['-e', programOf(root, cacheDir, method, body)], settings);
      const stdout = await running.then(
        (ended) => ended.stdout,
        (error) => {
          if (!/EACCES|MODULE_NOT_FOUND/.test(String(error))) throw error;
          return null;
        },
      );
      if (stdout === null) {
        t.skip('another user can’t run this package');
        return;
      }
      const { told, read, errors } = JSON.parse(stdout);
      const rowOf = (/** @type {string} */ name) => told.findIndex((/** @type {unknown[]} */ row) => row[0] === name);
      assert.deepStrictEqual(told.slice(0, rowOf('closed')), [
        ['rejected', 'a.json'],
        [1],
        ['imported', 'a.json', 'a'],
        ['rejected', 'a.json'],
        [1],
        ['imported', 'a.json', 'again'],
      ]);
      // Whatever was told while the folder could not be read, in the end everything is there.
      const state = new Set(['a.json', 'b.json']);
      for (const [kind, name] of told.slice(rowOf('closed') + 1, rowOf('open'))) {
        if (kind === 'removed' || kind === 'rejected') state.delete(name);
        else state.add(name);
      }
      assert.deepStrictEqual([...state].sort(), ['a.json', 'b.json'], 'when the folder can be read again');
      assert.deepStrictEqual(
        told.slice(rowOf('open') + 1),
        [['updated', 'b.json', 'changed']],
        'the watch goes on at once',
      );
      assert.deepStrictEqual(read, ['again', 'changed']);
      assert.deepStrictEqual(
        errors,
        [],
        'one folder that can’t be read is no reason to give up notifications everywhere',
      );
    });

    /**
     * A program that watches a vault with one folder of memories, does something, and prints what was told and what is read.
     *
     * @param {string} root
     * @param {string} cacheDir
     * @param {Method} method
     * @param {string} body It has `vault`, `told`, `folder`, `fs` and `wait`.
     */
    function programOf(root, cacheDir, method, body) {
      return `
      const fs = require('node:fs');
      const path = require('node:path');
      const { setTimeout: wait } = require('node:timers/promises');
      const { Vault } = require(${JSON.stringify(require.resolve('..'))});
      console.warn = () => {};
      (async () => {
        const folder = ${JSON.stringify(path.join(root, MEMORIES))};
        const options = { watch: ${JSON.stringify(method)}, pollInterval: 50, cacheDir: ${JSON.stringify(cacheDir)} };
        const vault = await Vault.open(${JSON.stringify(root)}, options);
        const [told, errors] = [[], []];
        for (const kind of ['imported', 'updated', 'removed', 'rejected']) {
          vault.on('capsule:' + kind, (event) => {
            told.push([kind, path.basename(event.path), ...(event.memories ?? []).map((memory) => memory.content)]);
          });
        }
        vault.on('error', (error) => errors.push(error.message));
        ${body}
        const read = (await vault.readMemories('ann', { limit: 0 })).map((memory) => memory.content).sort();
        await vault.close();
        console.log(JSON.stringify({ told, read, errors }));
      })();`;
    }
  });

  describe('odd things', TOGETHER, () => {
    eachMethod('links that lead out of the vault', async (t, method) => {
      const { record, write, at, outside } = await watchVault(t, method, {
        prepare: (write) => write(`${MEMORIES}/a.json`, memoryText('a')),
      });
      const writeOutside = writerAt(outside);
      writeOutside('secret.json', memoryText('secret'));
      writeOutside('folder/capsules/secret.json', memoryText('secret'));
      fs.symlinkSync(path.join(outside, 'secret.json'), at(MEMORIES, 'link.json'));
      fs.symlinkSync(path.join(outside, 'folder'), at('users/eve'));
      fs.mkdirSync(at('users/bob'));
      fs.symlinkSync(path.join(outside, 'folder/capsules'), at('users/bob/capsules'));
      fs.symlinkSync('nowhere', at(MEMORIES, 'dangling.json'));
      await record.quiet(250);
      const kinds = new Set(record.told().map(({ kind }) => kind));
      assert.ok(
        !kinds.has('imported') && !kinds.has('updated'),
        JSON.stringify(watched.storyOf(record.root, record.told())),
      );
      assert.ok(!JSON.stringify(record.told()).includes('secret"'));
      record.skip();
      writeOutside('secret.json', memoryText('changed secret'));
      writeOutside('folder/capsules/other.json', memoryText('secret'));
      await record.expect([]);
      write(`${MEMORIES}/a.json`, memoryText('b'));
      await record.expect([['updated', `${MEMORIES}/a.json`, 'b']]);
    });

    onUnix('what links lead to is followed where nothing tells of it', async (t, method) => {
      const { vault, record, write, at } = await watchVault(t, method);
      const contents = async () => (await vault.readMemories('ann')).map(({ content }) => content);
      write('library/own/a.json', memoryText('a'));
      write('library/m.json', memoryText('m'));
      fs.mkdirSync(at('users/ann'), { recursive: true });
      // The user's folder is known before there is a link in it.
      await record.quiet();
      fs.symlinkSync('../../library/own', at(MEMORIES));
      await record.expect([['imported', `${MEMORIES}/a.json`, 'a']]);
      fs.renameSync(at('library/own'), at('library/away'));
      assert.deepStrictEqual(await contents(), []);
      await record.expect([['removed', `${MEMORIES}/a.json`]]);
      write('library/own/b.json', memoryText('b'));
      assert.deepStrictEqual(await contents(), ['b']);
      await record.expect([['imported', `${MEMORIES}/b.json`, 'b']]);

      // A link that leads nowhere yet.
      fs.symlinkSync('../library/later', at('users/zoe'));
      await record.quiet();
      write('library/later/capsules/z.json', memoryText('z'));
      await record.expect([['imported', 'users/zoe/capsules/z.json', 'z']]);

      fs.symlinkSync('../m.json', at('library/own/link.json'));
      fs.linkSync(at('library/m.json'), at('library/own/other.json'));
      await record.expect([
        ['imported', `${MEMORIES}/link.json`, 'm'],
        ['imported', `${MEMORIES}/other.json`, 'm'],
      ]);
      write('library/m.json', memoryText('changed'));
      assert.deepStrictEqual((await contents()).sort(), ['b', 'changed', 'changed']);
      await record.expect([
        ['updated', `${MEMORIES}/link.json`, 'changed'],
        ['updated', `${MEMORIES}/other.json`, 'changed'],
      ]);
    });

    onUnix('links inside the vault', async (t, method) => {
      const { record, write, at } = await watchVault(t, method, {
        prepare: (write) => write('shared/capsules/a.json', memoryText('a')),
      });
      fs.mkdirSync(at('users/bob'), { recursive: true });
      fs.symlinkSync('../../shared/capsules', at('users/bob/capsules'));
      await record.expect([['imported', 'users/bob/capsules/a.json', 'a']]);
      write('shared/capsules/a.json', memoryText('b'));
      await record.expect([['updated', 'users/bob/capsules/a.json', 'b']]);
    });

    onUnix('a folder that has two names, one of them a link', async (t, method) => {
      const { record, write, at } = await watchVault(t, method, {
        prepare: (write) => write(`${MEMORIES}/a.json`, memoryText('a')),
      });
      fs.symlinkSync('ann', at('users/zoe'));
      await record.until(() => record.told().some(({ userId }) => userId === 'zoe'), 'the import by the link');
      fs.symlinkSync('ann', at('users/aaron'));
      await record.until(() => record.told().some(({ userId }) => userId === 'aaron'), 'the import by another link');
      record.skip();
      write(`${MEMORIES}/a.json`, memoryText('b'));
      const names = ['aaron', 'ann', 'zoe'];
      await record.expect(names.map((name) => ['updated', `users/${name}/capsules/a.json`, 'b']));
      fs.rmSync(at('users/zoe'));
      await record.expect([['removed', 'users/zoe/capsules/a.json']]);
      write(`${MEMORIES}/a.json`, memoryText('c'));
      await record.expect(names.slice(0, 2).map((name) => ['updated', `users/${name}/capsules/a.json`, 'c']));
    });

    onUnix('a pipe, a folder and 50 MB of junk that are called capsules', async (t, method) => {
      const { record, write, at } = await watchVault(t, method);
      fs.mkdirSync(at(MEMORIES, 'folder.json'), { recursive: true });
      execFileSync('mkfifo', [at(MEMORIES, 'pipe.json')]);
      write(`${MEMORIES}/junk.json`, Buffer.alloc(50 << 20, 'junk'));
      write(`${MEMORIES}/nested.json`, Buffer.alloc(1 << 20, '['));
      write(`${MEMORIES}/a.json`, memoryText('a'));
      const isTold = (/** @type {string} */ name) => record.told().some((event) => event.path === at(MEMORIES, name));
      await record.until(() => isTold('junk.json') && isTold('a.json') && isTold('nested.json'), 'the rejections');
      await record.quiet(200);
      const told = watched.storyOf(record.root, record.told());
      for (const name of ['junk', 'pipe', 'folder', 'a', 'nested']) {
        const kinds = told.filter((row) => row[1] === `${MEMORIES}/${name}.json`).map((row) => row[0]);
        const allowed = { a: ['imported'], junk: ['rejected'], nested: ['rejected'] }[name] ?? ['', 'rejected'];
        assert.ok(allowed.includes(`${kinds}`), `${name}: ${kinds}`);
      }
    });

    eachMethod('texts of every kind of character', async (t, method) => {
      const { record, write } = await watchVault(t, method);
      const plain = 'é plain text '.repeat(20);
      const texts = [plain, `${plain}“😀\u2028`, `“😀${plain}`, '“😀'.repeat(200), '“', '\\u2019’'];
      for (const [number, text] of texts.entries()) write(`${MEMORIES}/${number}.json`, memoryText(text));
      await record.expect(texts.map((text, number) => ['imported', `${MEMORIES}/${number}.json`, text]));
    });

    onUnix('odd names', async (t, method) => {
      const { vault, record, write } = await watchVault(t, method);
      const names = [
        'a\nb',
        'q"uo\'te',
        '😀',
        '__proto__',
        'constructor',
        ' ',
        '\\',
        '%00',
        'ﬁ',
        'x'.repeat(250),
        '.hidden',
      ];
      for (const name of names) write(`${MEMORIES}/${name}.json`, memoryText('text'));
      for (const user of names.slice(0, 7)) write(`users/${user}/capsules/a.json`, memoryText('text'));
      await record.expect([
        ...names.map((name) => ['imported', `${MEMORIES}/${name}.json`, 'text']),
        ...names.slice(0, 7).map((user) => ['imported', `users/${user}/capsules/a.json`, 'text']),
      ]);
      for (const event of record.told()) {
        const below = placeOf(record.root, event.path).split('/');
        assert.strictEqual(event.userId, below[1]);
        assert.deepStrictEqual(
          (await vault.readMemories(below[1], { limit: 0 })).length,
          below[1] === 'ann' ? names.length : 1,
        );
      }
      const folder = path.join(record.root, MEMORIES);
      fs.writeFileSync(
        Buffer.concat([Buffer.from(`${folder}/`), Buffer.of(0xff, 0xfe), Buffer.from('.json')]),
        memoryText('text'),
      );
      await record.quiet();
      assert.ok(record.told().length <= names.length + 8);
    });

    test('where the system gives no watches, the trouble is told and polling goes on', TIME_LIMIT, async (t) => {
      const limits = { watches: 'fs.inotify.max_user_watches', instances: 'fs.inotify.max_user_instances' };
      for (const [kind, setting] of Object.entries(limits)) {
        const { root, cacheDir } = temporaryFolders(t);
        const file = path.join(root, MEMORIES, 'a.json');
        const script = `
        const fs = require('node:fs');
        const { Vault } = require(${JSON.stringify(require.resolve('..'))});
        (async () => {
          fs.mkdirSync(${JSON.stringify(path.dirname(file))}, { recursive: true });
          fs.writeFileSync('/proc/sys/user/max_inotify_${kind}', '${kind === 'watches' ? 2 : 0}');
          const vault = await Vault.open(${JSON.stringify(root)}, { watch: true, cacheDir: ${JSON.stringify(cacheDir)} });
          vault.on('error', (error) => console.log('error', error.code, error.message));
          vault.on('capsule:imported', async (event) => {
            console.log('imported', event.path);
            await vault.close();
          });
          setTimeout(() => fs.writeFileSync(${JSON.stringify(file)}, '{"raw":"a"}'), 50);
        })();`;
        let output;
        try {
          output = execFileSync('unshare', ['-Ur', process.execPath, '-e', script], {
            encoding: 'utf8',
            timeout: 10_000,
          });
        } catch (error) {
          if (/** @type {any} */ (error).code !== 'ENOENT' && /** @type {any} */ (error).status !== 1) throw error;
          t.skip('no user namespaces here');
          return;
        }
        const lines = output.trim().split('\n');
        assert.strictEqual(lines.at(-1), `imported ${file}`);
        assert.strictEqual(lines.length, 2, output);
        assert.match(lines[0], /^error VVAULT_WATCH /);
        assert.ok(lines[0].includes(setting), lines[0]);
      }
    });
  });
});

describe('storms', () => {
  test('more notifications than the system’s queue holds', UNIX, async (t) => {
    const { root, cacheDir } = temporaryFolders(t);
    const write = writerAt(root);
    for (let place = 0; place < 100; place++) write(`${MEMORIES}/old${place}.json`, memoryText('old'));
    const { child, output } = startChild(t, 'watch', root, cacheDir);
    while (!output.text.includes('\n')) await once(child.stdout, 'data');
    child.kill('SIGSTOP');
    // Each gives at least 3 notifications; the queue holds 16,384.
    const count = 6000;
    const folder = path.join(root, MEMORIES);
    for (let place = 0; place < count; place++) fs.writeFileSync(path.join(folder, `${place}.json`), '{"raw":"new"}');
    for (let place = 0; place < 50; place++) {
      fs.rmSync(path.join(root, MEMORIES, `old${place}.json`));
      write(`${MEMORIES}/old${place + 50}.json`, memoryText('changed'));
      write(`users/user${place}/capsules/a.json`, memoryText('new'));
    }
    child.kill('SIGCONT');
    const rows = () => output.text.split('\n').slice(1, -1);
    const more = () => once(child.stdout, 'data', { signal: AbortSignal.timeout(10_000) });
    while (rows().length < count + 150) await more();
    write('users/user7/capsules/last.json', memoryText('last'));
    while (!rows().some((row) => row.includes('last.json'))) await more();
    const told = rows().map((row) => JSON.parse(row));
    assert.strictEqual(new Set(told.map((event) => event.path)).size, count + 151);
    assert.strictEqual(told.length, count + 151);
    assert.strictEqual(told.filter(({ kind }) => kind === 'removed').length, 50);
    assert.strictEqual(told.filter(({ kind }) => kind === 'updated').length, 50);
  });

  eachMethod('2,000 files of another process, as fast as it can', async (t, method) => {
    const { root, record, vault } = await watchVault(t, method);
    let firstHalf = 0;
    vault.on('capsule:imported', () => {
      firstHalf++;
      if (firstHalf % 100 === 1) throw new Error('a listener that throws');
    });
    vault.on('capsule:imported', async () => {
      if (firstHalf % 100 === 2) throw new Error('a listener that rejects');
    });
    const logged = listenTo(t, 'error');
    const delays = monitorEventLoopDelay({ resolution: 1 });
    delays.enable();
    await runChild(t, 'storm', root, 'ann', String(2000 * ROUNDS));
    await record.until(() => record.told().length >= 2000 * ROUNDS, `${2000 * ROUNDS} events`);
    delays.disable();
    await record.quiet();
    const paths = record.told().map((event) => event.path);
    assert.strictEqual(new Set(paths).size, 2000 * ROUNDS, 'none is missed');
    assert.strictEqual(paths.length, 2000 * ROUNDS, 'none comes twice');
    for (const event of record.told()) {
      const place = path.basename(event.path, '.json');
      assert.deepStrictEqual([event.kind, event.memories?.[0].content], ['imported', `memory ${place}`]);
    }
    assert.deepStrictEqual(record.errors, []);
    assert.ok(logged.length >= 20 * ROUNDS, 'what listeners threw is told');
    const longest = delays.max / 1e6;
    t.diagnostic(
      `the event loop stood still for ${longest.toFixed(1)} ms at most, p99 ${(delays.percentile(99) / 1e6).toFixed(1)} ms`,
    );
    assert.ok(longest < 200, `the event loop stood still for ${longest} ms`);
  });

  eachMethod(
    'files that are written, changed and removed by the hundred end as they are on disk',
    async (t, method) => {
      const { root, record, write, at } = await watchVault(t, method);
      for (let step = 0; step < 1500 * ROUNDS; step++) {
        const file = `${MEMORIES}/${(step * 7) % 97}.json`;
        if (step % 3 === 2) fs.rmSync(at(file), { force: true });
        else write(file, memoryText(`step ${step % 11}`));
        if (step % 100 === 0) await new Promise(setImmediate);
      }
      const onDisk = new Map(
        fs
          .readdirSync(at(MEMORIES))
          .map((name) => [`${MEMORIES}/${name}`, JSON.parse(fs.readFileSync(at(MEMORIES, name), 'utf8')).raw]),
      );
      await record.quiet();
      /** @type {Map<unknown, unknown>} */
      const told = new Map();
      for (const [kind, file, content] of watched.storyOf(root, record.told())) {
        assert.strictEqual(kind === 'imported', !told.has(file), `${kind} ${file}`);
        if (kind === 'removed') told.delete(file);
        else told.set(file, content);
      }
      const byName = (/** @type {Map<unknown, unknown>} */ map) =>
        [...map].sort(([left], [right]) => (String(left) < String(right) ? -1 : 1));
      assert.deepStrictEqual(byName(told), byName(onDisk));
    },
  );
});
