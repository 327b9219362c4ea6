'use strict';

// The system's clock is set, back or forward, while vaults are in use, and file times that no clock gave. The clock that
// a process sees is set by libfaketime; times of files stay the kernel's, as those of files that were written before.

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { describe, test } = require('node:test');
const { setTimeout: wait } = require('node:timers/promises');

const { Vault, readMemories } = require('..');
const { makeCapsule, timestampOf, uuidOf } = require('./support/construct-capsules');
const { REPOSITORY, runProgram, temporaryVault } = require('./support/temporary-vault');
const { readIndex } = require('./support/vault-on-disk');

/** @typedef {import('node:test').TestContext} TestContext */

const LIBRARY = ['x86_64-linux-gnu', 'aarch64-linux-gnu']
  .map((system) => `/usr/lib/${system}/faketime/libfaketime.so.1`)
  .find((place) => fs.existsSync(place));
const skip = LIBRARY === undefined && 'no libfaketime, which sets the clock of a process: apt-get install faketime';
const TIME_LIMIT = { timeout: 60_000 };

/** How the clock is set, from which it is set back to the right time. */
const CLOCKS = {
  'an hour back': '-1h',
  'a year back': '-365d',
  'to 1970': '@1970-01-02 00:00:00',
  'ten years on': '+10y',
};

/**
 * Runs a program in a process whose clock it can set: `setClock('-1h')`, `setClock('+0')`. It has `Vault`, `cacheDir`, `wait`,
 * `capsule(place)` and `assert` too.
 *
 * @param {TestContext} t
 * @param {ReturnType<typeof temporaryVault>} vault
 * @param {string} program
 * @param {string} [clock] What it is at the beginning.
 */
async function runWithClock(t, vault, program, clock = '+0') {
  const folder = temporaryVault(t).root;
  const file = path.join(folder, 'clock');
  fs.writeFileSync(file, clock);
  const { code, stdout, stderr } = await runProgram(
    vault,
    `const fs = require('node:fs');
    const path = require('node:path');
    const assert = require('node:assert');
    const { setTimeout: wait } = require('node:timers/promises');
    const { Vault } = require(${JSON.stringify(REPOSITORY)});
    const { makeCapsule, timestampOf, uuidOf } = require(${JSON.stringify(`${__dirname}/support/construct-capsules`)});
    const cacheDir = ${JSON.stringify(path.join(folder, 'cache'))};
    const setClock = (text) => {
      const before = Date.now();
      fs.writeFileSync(${JSON.stringify(`${file}.new`)}, text);
      fs.renameSync(${JSON.stringify(`${file}.new`)}, ${JSON.stringify(file)});
      assert.ok(Math.abs(Date.now() - before) > 3_000_000, 'the clock was set');
    };
    const capsule = (place, memories = ['memory ' + place]) =>
      makeCapsule({ instanceName: 'Nova', uuid: uuidOf(1, place), timestamp: timestampOf(place), memories });
    ${program}`,
    {
      env: {
        LD_PRELOAD: String(LIBRARY),
        FAKETIME_TIMESTAMP_FILE: file,
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
        DONT_FAKE_MONOTONIC: '1',
        NO_FAKE_STAT: '1',
      },
      timeout: 30_000,
    },
  );
  assert.strictEqual(code, 0, `${stdout}\n${stderr}`);
  return stdout;
}

describe('times of files that no clock gave', TIME_LIMIT, () => {
  for (const time of [new Date(2000), new Date('2200-01-01T00:00:00Z')]) {
    test(`a memory of ${time.getUTCFullYear()} that is rewritten with the same size and time is seen at once`, async (t) => {
      const files = temporaryVault(t);
      const cacheDir = temporaryVault(t).root;
      const write = (/** @type {string} */ raw) => {
        for (let place = 0; place < 300; place++) {
          const file = files.write('ann', `${place}.json`, {
            raw: `${raw} ${place}`,
            created_ts: '2026-01-01T00:00:00Z',
          });
          fs.utimesSync(file, time, time);
        }
      };
      const told = async (/** @type {Promise<import('..').Memory[]>} */ reading) =>
        new Set((await reading).map(({ content }) => String(content).split(' ')[0]));
      write('one');
      const vaults = [
        await Vault.open(files.root, { cacheDir }),
        await Vault.open(files.root, { cacheDir, watch: true }),
      ];
      for (const raw of ['two', 'six', 'ten']) {
        write(raw);
        const reading = [
          readMemories(files.config, 'ann', { limit: 0 }),
          ...vaults.map((vault) => vault.readMemories('ann', { limit: 0 })),
        ];
        for (const memories of reading) assert.deepStrictEqual(await told(memories), new Set([raw]));
      }
      await Promise.all(vaults.map((vault) => vault.close()));
      write('new');
      const again = await Vault.open(files.root, { cacheDir });
      assert.deepStrictEqual(await told(again.readMemories('ann', { limit: 0 })), new Set(['new']), 'after a restart');
      await again.close();
    });
  }
});

for (const [name, clock] of Object.entries(CLOCKS)) {
  describe(`the clock is set ${name}, and then right again`, { skip, concurrency: true, ...TIME_LIMIT }, () => {
    const program = (/** @type {string} */ body) => `
      const clocks = [${JSON.stringify(clock)}, '+0'];
      ${body}`;

    test('reading is as fresh as before, also from what is kept', async (t) => {
      const vault = temporaryVault(t);
      for (let place = 0; place < 300; place++)
        vault.write('ann', `${place}.json`, { raw: 'old', created_ts: '2026-01-01' });
      await runWithClock(
        t,
        vault,
        program(`
        process.env.VVAULT_CACHE_DIR = cacheDir;
        const opened = [await Vault.open(vault.root, { cacheDir }), await Vault.open(vault.root, { cacheDir, watch: true })];
        const readers = [
          () => readMemories(vault.config, 'ann', { limit: 0 }),
          ...opened.map((one) => () => one.readMemories('ann', { limit: 0 })),
          async () => {
            const anew = await Vault.open(vault.root, { cacheDir });
            const memories = await anew.readMemories('ann', { limit: 0 });
            await anew.close();
            return memories;
          },
        ];
        let round = 0;
        const look = async (said) => {
          // A file that is added, one that is replaced and one that goes; and a folder that is new.
          const raw = 'raw ' + ++round;
          vault.write('ann', 'new' + round + '.json', { raw });
          vault.write('ann', '7.json', { raw });
          fs.rmSync(vault.path('users', 'ann', 'capsules', 100 + round + '.json'));
          vault.write('bob' + round, 'a.json', { raw });
          for (const [at, read] of readers.entries()) {
            const memories = await read();
            assert.strictEqual(memories.length, 300, said + ' ' + at);
            assert.strictEqual(memories.filter(({ content }) => content === raw).length, 2, said + ' ' + at);
          }
          assert.strictEqual((await readMemories(vault.config, 'bob' + round)).length, 1, said);
        };
        await look('before');
        await wait(700); // until an index is kept
        await look('kept');
        for (const clock of clocks) {
          setClock(clock);
          await look(clock);
          await wait(400);
          await look(clock + ', later');
        }
        for (const one of opened) await one.close();`),
      );
    });

    test('versions keep their order, names and tags', async (t) => {
      const vault = temporaryVault(t);
      await runWithClock(
        t,
        vault,
        program(`
        const opened = await Vault.open(vault.root, { create: true, cacheDir });
        const expectLatest = async (place) => {
          const { metadata, capsuleJson } = await opened.retrieveCapsule('Nova');
          assert.strictEqual(metadata.uuid, uuidOf(1, place));
          assert.strictEqual(capsuleJson, capsule(place));
          const { memories } = await opened.restoreConstruct('nova-001');
          assert.deepStrictEqual(memories.map(({ content }) => content), ['memory ' + place]);
        };
        let place = 0;
        const change = async () => {
          const file = await opened.storeCapsule(capsule(++place));
          assert.strictEqual(path.basename(file), 'Nova_' + timestampOf(place).replaceAll(/[:.+]/g, '-') + '.capsule');
          await expectLatest(place);
          const uuid = uuidOf(1, place);
          for (const tag of ['kept', 'taken', 'again']) assert.ok(await opened.addTag('Nova', uuid, tag));
          for (const tag of ['taken', 'again']) assert.ok(await opened.removeTag('Nova', uuid, tag));
          // The first one too, which was tagged under another clock.
          assert.ok(await opened.removeTag('Nova', uuidOf(1, 1), 'kept'));
          assert.ok(await opened.addTag('Nova', uuidOf(1, 1), 'kept'));
          assert.ok(await opened.addTag('Nova', uuidOf(1, 1), 'kept' + place));
          assert.ok(await opened.addTag('Nova', uuid, 'again'));
          // Stored again with other content and the same time: it moves.
          const other = capsule(place, ['other']);
          await opened.storeCapsule(other);
          assert.strictEqual((await opened.retrieveCapsule('Nova', { uuid })).capsuleJson, other);
          await opened.storeCapsule(capsule(place));
        };
        const check = async (said) => {
          for (const one of [opened, await Vault.open(vault.root, { cacheDir })]) {
            const list = await one.listCapsules('Nova');
            const places = Array.from({ length: place }, (_, at) => place - at);
            assert.deepStrictEqual(list.map(({ uuid }) => uuid), places.map((place) => uuidOf(1, place)), said);
            for (const { uuid, tags } of list) {
              const own = uuid === uuidOf(1, 1) ? places.map((place) => 'kept' + place) : [];
              assert.deepStrictEqual(tags.sort(), ['again', 'kept', ...own].sort(), said + ' ' + uuid);
            }
            assert.strictEqual((await one.retrieveCapsule('Nova')).metadata.uuid, uuidOf(1, place), said);
            if (one !== opened) await one.close();
          }
        };
        await change();
        await check('before');
        for (const clock of clocks) {
          setClock(clock);
          await check(clock);
          await change();
          await check(clock + ', changed');
          await opened.storeCapsule(capsule(99));
          assert.ok(await opened.deleteCapsule('Nova', uuidOf(1, 99)));
          await check(clock + ', deleted');
        }
        await opened.close();`),
      );
      assert.strictEqual(Object.keys(readIndex(vault.root, 'Nova').capsules).length, 3);
    });

    test('an index from before is put right, and that is written soon', async (t) => {
      const vault = temporaryVault(t);
      await runWithClock(
        t,
        vault,
        program(`
        const opened = await Vault.open(vault.root, { create: true, cacheDir });
        const index = vault.path('indexes', 'Nova_index.json');
        let place = 0;
        await opened.storeCapsule(capsule(++place));
        for (const clock of clocks) {
          const before = fs.readFileSync(index);
          setClock(clock);
          await opened.storeCapsule(capsule(++place));
          await opened.addTag('Nova', uuidOf(1, place), 'mine');
          await opened.addTag('Nova', uuidOf(1, 1), 'mine');
          fs.writeFileSync(index, before);
          for (let waited = 0; !JSON.parse(fs.readFileSync(index)).tags.mine?.includes(uuidOf(1, place)); waited += 50) {
            assert.ok(waited < 5000, 'written soon');
            const list = await opened.listCapsules('Nova', { tag: 'mine' });
            assert.deepStrictEqual(list.length, place, clock);
            await wait(50);
          }
        }
        await opened.close();`),
      );
    });

    for (const watch of [true, 'poll']) {
      test(`a watch (${watch}) goes on, and cursors stay good`, async (t) => {
        const vault = temporaryVault(t);
        vault.write('ann', 'old.json', { raw: 'old' });
        await runWithClock(
          t,
          vault,
          program(`
          const told = [];
          const open = async (since) => {
            const opened = await Vault.open(vault.root, { watch: ${JSON.stringify(watch)}, pollInterval: 50, cacheDir, since });
            for (const kind of ['imported', 'updated', 'removed', 'rejected']) {
              opened.on('capsule:' + kind, ({ path: file, cursor }) => {
                told.push(kind + ' ' + path.basename(file));
                last = cursor;
              });
            }
            return opened;
          };
          let last;
          const expect = async (said, ...rows) => {
            for (let waited = 0; told.length < rows.length && waited < 5000; waited += 10) await wait(10);
            await wait(60);
            assert.deepStrictEqual(told.splice(0).sort(), rows.sort(), said);
          };
          let opened = await open();
          let round = 0;
          for (const clock of [null, ...clocks]) {
            if (clock) setClock(clock);
            round += 1;
            vault.write('ann', round + '.json', { raw: 'one' });
            vault.write('ann', 'old.json', { raw: 'old ' + round });
            await expect(clock, 'imported ' + round + '.json', 'updated old.json');
            await opened.storeCapsule(capsule(round));
            await expect(clock, 'imported Nova_' + timestampOf(round).replaceAll(/[:.+]/g, '-') + '.capsule');
            await opened.close();
            vault.write('ann', round + '.json', { raw: 'two' });
            opened = await open(last);
            await expect(clock + ', by the cursor', 'updated ' + round + '.json');
            await opened.close();
            // The clock is set while nobody watches.
            const [cursor, next] = [last, clocks[round - 1]];
            if (next) setClock(next);
            fs.rmSync(vault.path('users', 'ann', 'capsules', round + '.json'));
            vault.write('ann', 'missed' + round + '.json', { raw: 'missed' });
            opened = await open(cursor);
            await expect(next + ', while nobody watched', 'removed ' + round + '.json', 'imported missed' + round + '.json');
            if (next) setClock(clock ?? '+0');
          }
          await opened.close();`),
        );
      });
    }
  });
}

describe('a clock that was years ahead', { skip, ...TIME_LIMIT }, () => {
  test('does not keep Python from giving and taking tags when it is right', async (t) => {
    const vault = temporaryVault(t);
    const uuid = uuidOf(1, 1);
    await runWithClock(
      t,
      vault,
      `const opened = await Vault.open(vault.root, { create: true, cacheDir });
      await opened.storeCapsule(capsule(1));
      await opened.addTag('Nova', uuidOf(1, 1), 'given');
      await opened.addTag('Nova', uuidOf(1, 1), 'taken');
      await opened.removeTag('Nova', uuidOf(1, 1), 'taken');
      await opened.close();`,
      '+10y',
    );
    const opened = await Vault.open(vault.root);
    t.after(() => opened.close());
    const tags = async () => (await opened.listCapsules('Nova'))[0].tags;
    assert.deepStrictEqual(await tags(), ['given']);

    const python = (/** @type {string[]} */ ...tags) => {
      const index = readIndex(vault.root, 'Nova');
      const now = new Date().toISOString().replace('Z', '000+00:00');
      Object.assign(index.capsules[uuid], { tags, updated_at: now });
      index.tags = Object.fromEntries(tags.map((tag) => [tag, [uuid]]));
      fs.writeFileSync(
        vault.path('indexes', 'Nova_index.json'),
        JSON.stringify({ ...index, updated_at: now }, null, 2),
      );
    };
    await wait(2);
    python();
    assert.deepStrictEqual(await tags(), [], 'taken by Python');
    await wait(2);
    python('taken');
    assert.deepStrictEqual(await tags(), ['taken'], 'given by Python');
    await wait(1100); // What is known beyond the file is written once in a second.
    await tags();
    const another = await Vault.open(vault.root);
    assert.deepStrictEqual((await another.listCapsules('Nova'))[0].tags, ['taken'], 'as another process sees it');
    await another.close();
  });

  test('leaves the vault and what is kept of it as they are', async (t) => {
    const vault = temporaryVault(t);
    for (let place = 0; place < 300; place++) vault.write('ann', `${place}.json`, { raw: 'old' });
    const files = () => fs.readdirSync(vault.root, { recursive: true }).sort();
    const before = files();
    await runWithClock(
      t,
      vault,
      `for (const clock of ['+10y', '@1970-01-02 00:00:00', '+10y', '+0']) {
        setClock(clock);
        const opened = await Vault.open(vault.root, { cacheDir });
        assert.strictEqual((await opened.readMemories('ann', { limit: 0 })).length, 300);
        await opened.close();
        assert.strictEqual(fs.readdirSync(path.join(cacheDir, 'memories')).length, 1, clock);
      }`,
    );
    assert.deepStrictEqual(files(), before);
  });
});

test('the capsule of the newest stated time is restored, whatever the times of files say', async (t) => {
  const vault = temporaryVault(t);
  const folder = vault.path('instances', 'nova-001', 'identity');
  fs.mkdirSync(folder, { recursive: true });
  for (const [place, time] of [2000, 1000, Date.now() + 1e11].entries()) {
    const [uuid, timestamp] = [uuidOf(1, place), timestampOf(place === 1 ? 5 : place)];
    const file = path.join(folder, `${place}.capsule`);
    fs.writeFileSync(file, makeCapsule({ instanceName: 'Nova', uuid, timestamp, memories: [`memory ${place}`] }));
    fs.utimesSync(file, new Date(time), new Date(time));
  }
  const opened = await Vault.open(vault.root);
  t.after(() => opened.close());
  assert.strictEqual((await opened.restoreConstruct('nova')).memories[0].content, 'memory 1');
});
