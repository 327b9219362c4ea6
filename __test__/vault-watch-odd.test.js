'use strict';

// A watched vault where folders are links, files come and go more than once, and others read, write or watch meanwhile.

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const { EventEmitter, errorMonitor, once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { describe, test } = require('node:test');
const { setTimeout: delay } = require('node:timers/promises');

const { Vault } = require('..');
const { atEnd } = require('./support/at-end');
const { listenTo } = require('./support/temporary-vault');
const { makeCapsule, timestampOf } = require('./support/construct-capsules');
const {
  EventRecord,
  METHODS,
  constructText,
  memoryText,
  nameOf,
  temporaryFolders,
  watchVault,
} = require('./support/watched-vault');

/** @typedef {import('..').Vault} OpenVault */
/** @typedef {import('./support/watched-vault').Method} Method */

const MEMORIES = 'users/ann/capsules';
const unix = { skip: process.platform === 'win32' && 'not on Windows', timeout: 60_000 };

/**
 * @param {OpenVault} vault
 * @param {string} user
 * @param {string} [constructId]
 */
async function contents(vault, user, constructId) {
  return (await vault.readMemories(user, { limit: 0, constructId })).map(({ content }) => content).sort();
}

test('of a drive on which others may write unnoticed it is told once that it is polled', {
  skip: process.platform !== 'linux',
}, async (t) => {
  // The kernel writes there.
  const root = '/proc/self/attr';
  const logged = listenTo(t, 'error');
  const vault = await Vault.open(root, { watch: true, cacheDir: null });
  t.after(() => vault.close());
  /** @type {unknown[]} */
  const monitored = [];
  EventEmitter.prototype.on.call(vault, errorMonitor, (error) => monitored.push(error));
  const [error] = await once(vault, 'error');
  assert.strictEqual(error.code, 'VVAULT_WATCH');
  assert.strictEqual(error.path, fs.realpathSync(root));
  assert.deepStrictEqual(monitored, [error]);
  assert.deepStrictEqual(logged, []);
});

describe('a watched vault, oddly', { concurrency: 4 }, () => {
  for (const method of METHODS) {
    for (const linked of ['users/ann', MEMORIES]) {
      for (const change of ['removed', 'a folder', 'another link']) {
        test(`${linked} was a link, and is ${change} (${nameOf(method)})`, unix, async (t) => {
          const { vault, record, write, at } = await watchVault(t, method, {
            prepare(write, root) {
              // More than what is compared with the disk at each answer.
              for (let place = 0; place < 300; place++) write(`users/bob/capsules/${place}.json`, memoryText('bob'));
              write('users/cyd/capsules/c.json', memoryText('cyd'));
              const link = path.join(root, linked);
              fs.mkdirSync(path.dirname(link), { recursive: true });
              fs.symlinkSync(path.relative(path.dirname(link), path.join(root, linked.replace('ann', 'bob'))), link);
            },
          });
          const bobs = Array.from({ length: 300 }, () => 'bob');
          assert.deepStrictEqual([await contents(vault, 'ann'), await contents(vault, 'bob')], [bobs, bobs]);
          fs.rmSync(at(linked));
          const expected = { removed: [], 'a folder': ['ann'], 'another link': ['cyd'] }[change];
          if (change === 'a folder') write(`${MEMORIES}/0.json`, memoryText('ann'));
          if (change === 'another link') {
            fs.symlinkSync(path.relative(path.dirname(at(linked)), at(linked.replace('ann', 'cyd'))), at(linked));
          }
          for (let time = 0; time < 2; time++) {
            assert.deepStrictEqual([await contents(vault, 'ann'), await contents(vault, 'bob')], [expected, bobs]);
            await record.quiet(300);
          }
          write('users/bob/capsules/new.json', memoryText('bob'));
          assert.strictEqual((await contents(vault, 'bob')).length, 301);
        });
      }
    }

    test(`a folder gets another’s name, be there links or not (${nameOf(method)})`, unix, async (t) => {
      const { vault, record, write, at } = await watchVault(t, method, {
        prepare(write, root) {
          for (const user of ['ann', 'bob']) {
            for (let place = 0; place < 5; place++) write(`users/${user}/capsules/${place}.json`, memoryText(user));
          }
          fs.symlinkSync('ann', path.join(root, 'users/cyd'));
        },
      });
      const five = (/** @type {string} */ user) => Array.from({ length: 5 }, () => user);
      /** @param {Record<string, string[]>} expected */
      const expectContents = async (expected) => {
        for (let time = 0; time < 2; time++) {
          for (const [user, texts] of Object.entries(expected)) {
            assert.deepStrictEqual(await contents(vault, user), texts, user);
          }
          await record.quiet(150);
        }
      };
      await expectContents({ ann: five('ann'), bob: five('bob'), cyd: five('ann') });
      // What the link led to takes the link's name.
      fs.rmSync(at('users/cyd'));
      fs.renameSync(at('users/ann'), at('users/cyd'));
      await expectContents({ ann: [], bob: five('bob'), cyd: five('ann') });
      // A folder gives way to a link, and that to the folder it led to.
      fs.renameSync(at('users/bob'), at('bob'));
      fs.symlinkSync('cyd', at('users/bob'));
      await expectContents({ bob: five('ann'), cyd: five('ann') });
      fs.rmSync(at('users/bob'));
      fs.renameSync(at('users/cyd'), at('users/bob'));
      await expectContents({ bob: five('ann'), cyd: [] });
      write('users/cyd/capsules/new.json', memoryText('new'));
      write('users/bob/capsules/new.json', memoryText('new'));
      await expectContents({ bob: [...five('ann'), 'new'], cyd: ['new'] });
    });

    test(`a link to a file that comes later, and once more (${nameOf(method)})`, unix, async (t) => {
      const { vault, record, write, at } = await watchVault(t, method, {
        prepare(_write, root) {
          fs.mkdirSync(path.join(root, MEMORIES), { recursive: true });
          fs.symlinkSync('../../../elsewhere/a.json', path.join(root, MEMORIES, 'link.json'));
        },
      });
      for (const text of ['first', 'second']) {
        assert.deepStrictEqual(await contents(vault, 'ann'), []);
        write('elsewhere/a.json', memoryText(text));
        assert.deepStrictEqual(await contents(vault, 'ann'), [text]);
        await record.expect([['imported', `${MEMORIES}/link.json`, text]]);
        fs.rmSync(at('elsewhere/a.json'));
        await record.expect([['removed', `${MEMORIES}/link.json`]]);
      }
    });

    for (const left of ['nothing', 'an empty folder', 'a construct']) {
      test(`what was kept of a folder is not answered with where ${left} is left (${nameOf(method)})`, async (t) => {
        const { vault, root, cacheDir, write, at } = await watchVault(t, method, {
          prepare(write) {
            // As many as an index is kept of.
            for (let place = 0; place < 300; place++) write(`${MEMORIES}/${place}.json`, memoryText('a secret'));
          },
        });
        assert.strictEqual((await contents(vault, 'ann')).length, 300);
        await vault.close();
        fs.rmSync(at('users/ann'), { recursive: true });
        if (left !== 'nothing') fs.mkdirSync(at(MEMORIES), { recursive: true });
        if (left === 'a construct') write(`${MEMORIES}/nova-001.capsule`, constructText('nova'));

        const again = await watchVault(t, method, { root, cacheDir });
        assert.deepStrictEqual(await contents(again.vault, 'ann'), []);
        write(`${MEMORIES}/new.json`, memoryText('of another'));
        await again.record.expect([['imported', `${MEMORIES}/new.json`, 'of another']]);
        assert.deepStrictEqual(await contents(again.vault, 'ann'), ['of another']);
      });
    }

    test(`what is not whole any more is not answered with, and told when it stays so (${nameOf(method)})`, async (t) => {
      const file = `${MEMORIES}/a.json`;
      const { vault, record, write } = await watchVault(t, method, {
        prepare: (write) => write(file, memoryText('old')),
      });
      assert.deepStrictEqual(await contents(vault, 'ann'), ['old']);
      write(file, '');
      assert.deepStrictEqual(await contents(vault, 'ann'), []);
      await record.expect([['rejected', file]]);
    });

    test(`a reader that meets what is unsound before the watch is sure of it makes no event (${nameOf(method)})`, async (t) => {
      const file = `${MEMORIES}/a.json`;
      const [sound, unsound] = [memoryText('sound'), JSON.stringify({ raw: 'changed', raw_sha256: '00' })];
      const { vault, record, write } = await watchVault(t, method, { prepare: (write) => write(file, sound) });
      write(file, unsound);
      assert.deepStrictEqual(await contents(vault, 'ann'), []);
      write(file, sound);
      assert.deepStrictEqual(await contents(vault, 'ann'), ['sound']);
      await record.expect([], 'it was mended before anybody was told');
      write(file, unsound);
      for (let time = 0; time < 3; time++) await contents(vault, 'ann');
      const [event] = await record.expect([['rejected', file]]);
      assert.ok(event.cursor, 'who keeps it misses nothing');
    });

    test(`what is rejected is told of at each opening, but to who has heard of it (${nameOf(method)})`, async (t) => {
      const { root, cacheDir } = temporaryFolders(t);
      const at = (/** @type {string} */ file) => path.join(root, file);
      const capsule = 'users/ann/instances/nova-001/nova-001.capsule';
      fs.mkdirSync(path.dirname(at(capsule)), { recursive: true });
      fs.mkdirSync(at(MEMORIES), { recursive: true });
      /**
       * What one session is told, and where it ended.
       *
       * @param {{ since?: string | null, meets?: boolean, during?: () => void }} session
       */
      const session = async ({ since, meets = true, during }) => {
        const vault = await Vault.open(root, { watch: method, cacheDir, since, pollInterval: 50 });
        const record = new EventRecord(root, vault);
        during?.();
        await record.quiet(during ? 600 : 90);
        if (meets) {
          await vault.restoreConstruct('nova-001', { userId: 'ann' }).catch(() => {});
          await vault.readMemories('ann');
          await record.quiet();
        }
        const { cursor } = vault;
        await vault.close();
        return {
          told: record
            .told()
            .map(({ kind, path: file }) => `${kind} ${path.basename(file)}`)
            .sort(),
          cursor,
        };
      };
      listenTo(t, 'warn');
      assert.deepStrictEqual((await session({})).told, []);
      fs.writeFileSync(
        at(capsule),
        constructText('x').replace(/"fingerprint_hash": ".{8}/, '"fingerprint_hash": "00000000'),
      );
      fs.writeFileSync(at(`${MEMORIES}/a.json`), JSON.stringify({ raw: 'a', raw_sha256: '00' }));
      const both = ['rejected a.json', 'rejected nova-001.capsule'];
      const noted = await session({ meets: false });
      assert.deepStrictEqual(noted.told, []);
      assert.deepStrictEqual((await session({ since: noted.cursor })).told, both, 'nobody has been told');
      for (let time = 0; time < 2; time++) assert.deepStrictEqual((await session({})).told, both);
      const arrival = () => fs.writeFileSync(at(`${MEMORIES}/b.json`), 'no JSON');
      const live = await session({ meets: false, during: arrival });
      assert.deepStrictEqual(live.told, ['rejected b.json']);
      assert.deepStrictEqual((await session({ since: live.cursor })).told, both, 'of one an event has told');
      assert.deepStrictEqual((await session({})).told, ['rejected a.json', 'rejected b.json', both[1]]);
    });

    test(`what was broken or unsound at the opening is told of by who meets it, once (${nameOf(method)})`, async (t) => {
      const unsound = constructText('x').replace(/"fingerprint_hash": ".{8}/, '"fingerprint_hash": "00000000');
      const capsule = 'users/ann/instances/nova-001/identity/nova-001.capsule';
      const broken = [`${MEMORIES}/b.json`, `${MEMORIES}/nova-001.capsule`];
      const { vault, record } = await watchVault(t, method, {
        prepare(write) {
          write(`${MEMORIES}/a.json`, JSON.stringify({ raw: 'a', raw_sha256: '00' }));
          write(capsule, unsound);
          for (const file of broken) write(file, 'no JSON');
        },
      });
      await record.expect([], 'by nobody yet');
      await assert.rejects(vault.restoreConstruct('nova-001', { userId: 'ann' }), { code: 'VVAULT_UNSOUND' });
      for (let time = 0; time < 2; time++) assert.deepStrictEqual(await contents(vault, 'ann', 'nova-001'), []);
      const events = await record.expect([capsule, `${MEMORIES}/a.json`, ...broken].map((file) => ['rejected', file]));
      assert.ok(
        events.every(({ cursor }) => cursor),
        'who keeps it misses nothing',
      );
      const formats = events.map(({ path: file, format }) => [path.extname(file), format]);
      assert.ok(formats.every(([extension, format]) => (extension === '.json') === (format === 'memory')));
    });
  }

  const unusable = {
    unsound: constructText('x').replace(/"fingerprint_hash": ".{8}/, '"fingerprint_hash": "00000000'),
    broken: 'no JSON',
  };
  for (const [what, text] of Object.entries(unusable)) {
    test(`a restoring that meets only what is ${what} tells of it`, async (t) => {
      const { root } = temporaryFolders(t);
      fs.mkdirSync(path.join(root, 'instances/nova-001'), { recursive: true });
      fs.writeFileSync(path.join(root, 'instances/nova-001/nova-001.capsule'), text);
      const vault = await Vault.open(root, { cacheDir: null });
      atEnd(t, () => vault.close());
      const record = new EventRecord(root, vault);
      for (let time = 0; time < 2; time++) {
        await assert.rejects(vault.restoreConstruct('nova-001'), {
          code: 'VVAULT_UNSOUND',
          message: /nova-001.capsule/,
        });
      }
      const [event, ...others] = record.events;
      assert.deepStrictEqual([event.kind, others.length], ['rejected', 0]);
      // What can't be parsed can't be adopted.
      assert.strictEqual(/adoptCapsule/.test(event.reason ?? ''), what === 'unsound');
    });
  }

  test('a memory of very many values is none for an event', async (t) => {
    const { vault, record, write, at } = await watchVault(t, true);
    for (const member of ['tags', 'raw', 'role']) {
      const many = { raw: 'x', [member]: Array.from({ length: 300_000 }, () => ({})) };
      const trouble = once(vault, 'error');
      write(`${MEMORIES}/${member}.json`, JSON.stringify(many));
      const [{ code, path: file, message }] = await trouble;
      assert.deepStrictEqual([code, file], ['VVAULT_TOO_LARGE', at(`${MEMORIES}/${member}.json`)]);
      assert.match(message, /readMemories/);
    }
    const nested = once(vault, 'error');
    write(`${MEMORIES}/nested.json`, `{"raw": [${`${'['.repeat(40)}${']'.repeat(40)},`.repeat(8000)}1]}`);
    assert.strictEqual((await nested)[0].path, at(`${MEMORIES}/nested.json`));
    await record.expect([]);
    assert.strictEqual((await vault.readMemories('ann', { limit: 0 })).length, 4);
    const imported = once(vault, 'capsule:imported');
    const text = { raw: { table: '1,[{'.repeat(300_000) }, tags: ['\\",'.repeat(300_000)] };
    write(`${MEMORIES}/text.json`, JSON.stringify(text));
    assert.strictEqual((await imported)[0].path, at(`${MEMORIES}/text.json`), 'text is one value');
  });

  test('a store waits for its own event, and not for those that come meanwhile', async (t) => {
    const { vault, write } = await watchVault(t, true);
    let count = 0;
    let isDone = false;
    /** @type {string[]} */
    const stored = [];
    vault.on('capsule:imported', ({ path: file, format }) => {
      if (format === 'construct') stored.push(file);
      // As a writer that is quicker than its listener.
      if (!isDone) write(`${MEMORIES}/${++count}.json`, memoryText('more'));
    });
    write(`${MEMORIES}/first.json`, memoryText('first'));
    const file = await vault.storeCapsule(constructText('x'));
    isDone = true;
    assert.deepStrictEqual(stored, [file]);
  });

  test('a file that somebody writes slowly is one update, whoever reads meanwhile', async (t) => {
    const file = `${MEMORIES}/a.json`;
    const { vault, record, at } = await watchVault(t, true, {
      prepare: (write) => write(file, memoryText('old')),
    });
    const text = memoryText('a new text, and a longer one');
    const open = fs.openSync(at(file), 'w');
    for (const half of [text.slice(0, 20), text.slice(20)]) {
      fs.writeSync(open, half);
      for (let time = 0; time < 9; time++) {
        await contents(vault, 'ann');
        await delay(250);
      }
    }
    fs.closeSync(open);
    await record.expect([['updated', file, 'a new text, and a longer one']]);
  });

  test('an instance’s folder that comes and goes says whose a construct is, at once', async (t) => {
    const { vault, at } = await watchVault(t, true, {
      prepare(write) {
        const capsule = makeCapsule({ instanceName: 'Nova', uuid: 'a', timestamp: timestampOf(0), memories: ['copy'] });
        write(`${MEMORIES}/nova-002.capsule`, capsule);
      },
    });
    const unwatched = await Vault.open(vault.root, { cacheDir: null });
    atEnd(t, () => unwatched.close());
    for (let time = 0; time < 3; time++) {
      assert.deepStrictEqual(await contents(vault, 'ann', 'nova-001'), await contents(unwatched, 'ann', 'nova-001'));
      fs.mkdirSync(at('users/ann/instances/nova-002'), { recursive: true });
      assert.deepStrictEqual(await contents(vault, 'ann', 'nova-001'), await contents(unwatched, 'ann', 'nova-001'));
      fs.rmSync(at('users/ann/instances/nova-002'), { recursive: true });
    }
  });

  const FILE = `${MEMORIES}/a.json`;
  // One after the other, and what is told in the end: `null` removes the file.
  for (const { name, steps, told } of [
    { name: 'came back and went', steps: [null, memoryText('again'), null], told: ['removed', FILE] },
    { name: 'broke, was mended, and went', steps: ['{"raw": }', memoryText('again'), null], told: ['removed', FILE] },
    { name: 'went and came back', steps: [null, memoryText('again')], told: ['updated', FILE, 'again'] },
  ]) {
    test(`since a cursor: what was there, ${name}`, async (t) => {
      const { vault, record, write, root, at, cacheDir } = await watchVault(t, true);
      write(FILE, memoryText('a'));
      const [{ cursor }] = await record.expect([['imported', FILE, 'a']]);
      for (const text of steps) {
        if (text === null) fs.rmSync(at(FILE));
        else write(FILE, text);
        await record.quiet(300);
      }
      await vault.close();
      const again = await Vault.open(root, { watch: true, since: String(cursor), cacheDir });
      atEnd(t, () => again.close());
      await new EventRecord(root, again).expect([told]);
    });
  }

  test('since a cursor: another watch has taken the record over', async (t) => {
    const { vault, record, write, root, at, cacheDir } = await watchVault(t, true);
    for (const name of ['a', 'b']) write(`${MEMORIES}/${name}.json`, memoryText(name));
    await record.until(() => record.told().length === 2, 'the imports');
    await record.quiet();
    const { cursor } = vault;
    await vault.close();
    const other = await Vault.open(root, { watch: true, cacheDir });
    atEnd(t, () => other.close());
    const others = new EventRecord(root, other);
    fs.rmSync(at(MEMORIES, 'a.json'));
    write(`${MEMORIES}/c.json`, memoryText('c'));
    const happened = [
      ['removed', `${MEMORIES}/a.json`],
      ['imported', `${MEMORIES}/c.json`, 'c'],
    ];
    await others.expect(happened);
    const again = await Vault.open(root, { watch: true, since: String(cursor), cacheDir });
    atEnd(t, () => again.close());
    const back = new EventRecord(root, again);
    await back.until(() => back.told().length >= 2, 'what happened');
    const isSentinel = (/** @type {string} */ file) => !file.startsWith(path.join(root, MEMORIES));
    const told = back.told().filter((event) => !isSentinel(event.path));
    assert.deepStrictEqual(told.map(({ kind, path: file }) => `${kind} ${path.basename(file)}`).sort(), [
      'imported c.json',
      'removed a.json',
    ]);
  });

  test('a folder above the capsules that is closed for a while', unix, async (t) => {
    if (process.getuid?.() === 0) return t.skip('no mode keeps root out');
    const { record, at } = await watchVault(t, true, {
      prepare: (write) => write(`${MEMORIES}/a.json`, memoryText('a')),
    });
    fs.chmodSync(at('users/ann'), 0);
    await record.quiet(600);
    fs.chmodSync(at('users/ann'), 0o700);
    await record.expect([]);
  });

  test('a folder that was closed while nobody watched', unix, async (t) => {
    if (process.getuid?.() === 0) return t.skip('no mode keeps root out');
    const { vault, root, cacheDir, at } = await watchVault(t, true, {
      prepare: (write) => write(`${MEMORIES}/a.json`, memoryText('a')),
    });
    const since = vault.cursor;
    await vault.close();
    for (const mode of [0, 0, 0o700]) {
      fs.chmodSync(at('users/ann'), mode);
      const again = await watchVault(t, true, { root, cacheDir, since });
      await again.record.quiet(600);
      await again.record.expect([], `of mode ${mode}`);
      await again.vault.close();
    }
  });

  test('files that could not be read any more while nobody watched are rejected, each once', unix, async (t) => {
    const { vault, root, cacheDir, at } = await watchVault(t, true, {
      prepare: (write) => ['a', 'b'].forEach((name) => void write(`${MEMORIES}/${name}.json`, memoryText(name))),
    });
    let since = vault.cursor;
    await vault.close();
    for (const name of ['a', 'b']) {
      fs.rmSync(at(MEMORIES, `${name}.json`));
      execFileSync('mkfifo', [at(MEMORIES, `${name}.json`)]);
    }
    const files = new Set([at(MEMORIES, 'a.json'), at(MEMORIES, 'b.json')]);
    for (;;) {
      const again = await watchVault(t, true, { root, cacheDir, since });
      const told = () => again.record.told().map(({ kind, path: file }) => `${kind} ${file}`);
      await again.record.until(() => told().length >= files.size, 'the rejections');
      await again.record.quiet(200);
      assert.deepStrictEqual(told().sort(), [...files].map((file) => `rejected ${file}`).sort());
      await again.vault.close();
      // As one who is ended after the first of them.
      const [first] = again.record.told();
      if (first === undefined) break;
      files.delete(first.path);
      since = first.cursor;
    }
  });

  test('a vault that was away is answered from as soon as it is back', async (t) => {
    const { vault, root } = await watchVault(t, true, {
      prepare: (write) => write(`${MEMORIES}/a.json`, memoryText('there')),
    });
    for (let time = 0; time < 3; time++) {
      fs.renameSync(root, `${root}-away`);
      assert.deepStrictEqual(await contents(vault, 'ann'), []);
      fs.renameSync(`${root}-away`, root);
      assert.deepStrictEqual(await contents(vault, 'ann'), ['there']);
    }
  });

  test('a vault whose name leads elsewhere since says so', unix, async (t) => {
    const { folder } = temporaryFolders(t);
    for (const name of ['one', 'two']) fs.mkdirSync(path.join(folder, name, 'users'), { recursive: true });
    const current = path.join(folder, 'current');
    fs.symlinkSync('one', current);
    const vault = await Vault.open(current, { watch: true, cacheDir: null });
    atEnd(t, () => vault.close());
    const record = new EventRecord(current, vault);
    fs.symlinkSync('two', `${current}.new`);
    fs.renameSync(`${current}.new`, current);
    const error = await new Promise((resolve) => vault.once('error', resolve));
    assert.match(error.message, /leads to .*two now.*open the vault again/s);
    assert.strictEqual(record.events.length, 0);
  });
});
