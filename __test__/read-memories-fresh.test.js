'use strict';

// Never stale: a call sees every write that ended before it began. Nothing here waits for a clock, and most writes keep
// the file's size, so that neither size nor time stamp tells one state from the next.

const assert = require('node:assert');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { setTimeout: delay } = require('node:timers/promises');

const { Vault, readMemories } = require('..');
const { atEnd } = require('./support/at-end');
const { listenTo, temporaryVault } = require('./support/temporary-vault');
const { constructText } = require('./support/watched-vault');

const ROUNDS = 300;
const WRITER = '--writer';

/** @param {number} round */
const text = (round) => `{"created_ts":"2026-01-01T00:00:00Z","raw":"${String(round).padStart(8, '0')}"}`;

/**
 * The ways in which a file gets the text of a round.
 *
 * @type {Record<string, (file: string, round: number) => void>}
 */
const CHANGES = {
  rewrite: (file, round) => fs.writeFileSync(file, text(round)),
  'write into': (file, round) => {
    const open = fs.openSync(file, 'r+');
    fs.writeSync(open, text(round), 0);
    fs.closeSync(open);
  },
  'rename over': (file, round) => {
    fs.writeFileSync(`${file}.tmp`, text(round));
    fs.renameSync(`${file}.tmp`, file);
  },
  'copy over': (file, round) => {
    fs.writeFileSync(`${file}.tmp`, text(round));
    fs.copyFileSync(`${file}.tmp`, file);
  },
  'write in parts': (file, round) => {
    const open = fs.openSync(file, 'r+');
    fs.ftruncateSync(open, 0);
    for (const character of text(round)) fs.writeSync(open, character);
    fs.closeSync(open);
  },
  'link in its place': (file, round) => {
    fs.writeFileSync(`${file}.tmp`, text(round));
    fs.rmSync(file);
    fs.linkSync(`${file}.tmp`, file);
    fs.rmSync(`${file}.tmp`);
  },
  'move in from another folder': (file, round) => {
    const other = path.join(path.dirname(file), '../elsewhere');
    fs.writeFileSync(other, text(round));
    fs.renameSync(other, file);
  },
  'write by a name in another folder': (file, round) => {
    const other = path.join(path.dirname(file), `../elsewhere-${round}`);
    fs.writeFileSync(other, text(round - 1));
    fs.linkSync(other, `${file}.tmp`);
    fs.renameSync(`${file}.tmp`, file);
    fs.writeFileSync(other, text(round));
  },
  'unlink and write': (file, round) => {
    fs.rmSync(file);
    fs.writeFileSync(file, text(round));
  },
  'rewrite with the old times': (file, round) => {
    const { atime, mtime } = fs.statSync(file);
    fs.writeFileSync(file, text(round));
    fs.utimesSync(file, atime, mtime);
  },
};

/** @type {Record<string, (users: string) => void>} How two users' folders change places. */
const EXCHANGES = {
  'the folder of memories': (users) =>
    exchange(path.join(users, 'ann', 'capsules'), path.join(users, 'bob', 'capsules')),
  'the user’s folder': (users) => exchange(path.join(users, 'ann'), path.join(users, 'bob')),
  'the folder of all users': (users) => exchange(users, `${users}-2`),
  'the vault': (users) => exchange(path.dirname(users), `${path.dirname(users)}-2`),
};

/**
 * @param {string} one
 * @param {string} other
 */
function exchange(one, other) {
  fs.renameSync(one, `${one}.away`);
  fs.renameSync(other, one);
  fs.renameSync(`${one}.away`, other);
}

if (process.argv[2] === WRITER) {
  process.on('message', (/** @type {{ change: string, file: string, round: number }} */ { change, file, round }) => {
    CHANGES[change](file, round);
    process.send?.(round);
  });
} else {
  for (const [name, change] of Object.entries(CHANGES)) {
    test(`${name}, by this process`, async (t) => {
      const vault = temporaryVault(t);
      const file = vault.write('ann', 'a.json', text(0));
      vault.write('ann', 'b.json', { raw: 'beside', created_ts: '2000-01-01T00:00:00Z' });
      for (let round = 1; round <= ROUNDS; round++) {
        change(file, round);
        const memories = await readMemories(vault.config, 'ann');
        assert.deepStrictEqual(
          memories.map((memory) => memory.content),
          [String(round).padStart(8, '0'), 'beside'],
          `round ${round}`,
        );
      }
    });

    test(`${name}, by another process`, { timeout: 120_000 }, async (t) => {
      const vault = temporaryVault(t);
      const file = vault.write('ann', 'a.json', text(0));
      const writer = fork(__filename, [WRITER]);
      try {
        for (let round = 1; round <= ROUNDS; round++) {
          writer.send({ change: name, file, round });
          assert.deepStrictEqual(await once(writer, 'message'), [round, undefined]);
          const [memory] = await readMemories(vault.config, 'ann');
          assert.strictEqual(memory.content, String(round).padStart(8, '0'), `round ${round}`);
        }
      } finally {
        writer.kill();
      }
    });
  }

  for (const [name, change] of Object.entries(EXCHANGES)) {
    test(`${name} is exchanged for another`, async (t) => {
      const parent = temporaryVault(t);
      for (const place of ['vault', 'vault-2']) {
        for (const users of ['users', 'users-2']) {
          for (const user of ['ann', 'bob']) {
            const folder = parent.path(place, users, user, 'capsules');
            fs.mkdirSync(folder, { recursive: true });
            const raw = `${place}/${users}/${user}`;
            fs.writeFileSync(path.join(folder, 'a.json'), JSON.stringify({ raw, created_ts: '2026-01-01T00:00:00Z' }));
          }
        }
      }
      const root = parent.path('vault');
      const config = { ...parent.config, vvaultPath: root };
      const vaults = [
        await Vault.open(root, { cacheDir: null }),
        await Vault.open(root, { cacheDir: null, watch: true }),
      ];
      for (const vault of vaults) atEnd(t, () => vault.close());
      const readers = [() => readMemories(config, 'ann'), ...vaults.map((vault) => () => vault.readMemories('ann'))];
      for (let round = 0; round < 40; round++) {
        const expected = JSON.parse(fs.readFileSync(path.join(root, 'users/ann/capsules/a.json'), 'utf8')).raw;
        for (const read of readers) {
          // The second time nothing has changed.
          for (let time = 0; time < 2; time++)
            assert.strictEqual((await read())[0].content, expected, `round ${round}`);
        }
        change(path.join(root, 'users'));
      }
    });
  }

  test('files come and go', async (t) => {
    const vault = temporaryVault(t);
    const names = ['a.json', 'b.json', 'c.json', 'd.json'];
    /** @type {Set<string>} */
    const present = new Set();
    vault.write('ann', 'no-memory.txt', 'x');
    let random = 7;
    for (let round = 0; round < ROUNDS; round++) {
      random = (random * 1103515245 + 12345) % 2 ** 31;
      const name = names[(random >> 16) % names.length];
      if (present.delete(name)) fs.rmSync(vault.path('users/ann/capsules', name));
      else {
        present.add(name);
        vault.write('ann', name, { raw: name });
      }
      const memories = await readMemories(vault.config, 'ann');
      assert.deepStrictEqual(new Set(memories.map((memory) => memory.content)), present, `round ${round}`);
    }
  });

  test('a folder is removed and made again', async (t) => {
    const vault = temporaryVault(t);
    for (let round = 1; round <= ROUNDS / 3; round++) {
      vault.write('ann', 'a.json', text(round));
      const [memory] = await readMemories(vault.config, 'ann');
      assert.strictEqual(memory.content, String(round).padStart(8, '0'));
      fs.rmSync(vault.path(['users', 'users/ann', 'users/ann/capsules'][round % 3]), { recursive: true });
      assert.deepStrictEqual(await readMemories(vault.config, 'ann'), []);
    }
  });

  test('a folder is moved away and another moved in', async (t) => {
    const vault = temporaryVault(t);
    for (const user of ['one', 'two']) vault.write(user, 'a.json', { raw: user });
    for (let round = 0; round < ROUNDS / 3; round++) {
      const user = ['one', 'two'][round % 2];
      fs.renameSync(vault.path('users', user), vault.path('users/ann'));
      const [memory] = await readMemories(vault.config, 'ann');
      assert.strictEqual(memory.content, user);
      fs.renameSync(vault.path('users/ann'), vault.path('users', user));
      assert.deepStrictEqual(await readMemories(vault.config, 'ann'), []);
    }
  });

  test('transcripts: sessions and texts come, change and go', async (t) => {
    const vault = temporaryVault(t);
    const session = vault.path('users/ann/transcripts/s');
    for (let round = 1; round <= ROUNDS / 3; round++) {
      fs.mkdirSync(session, { recursive: true });
      for (const body of ['first', 'other']) {
        fs.writeFileSync(`${session}/a.txt`, `# Role: user\n# ---\n${body}`);
        const memories = await readMemories(vault.config, 'ann', { sessionId: 's' });
        assert.deepStrictEqual(
          memories.map((memory) => memory.content),
          [body],
        );
      }
      fs.rmSync(round % 2 ? session : `${session}/a.txt`, { recursive: true });
      assert.deepStrictEqual(await readMemories(vault.config, 'ann'), []);
    }
    // From now on there are capsules, and transcripts count no more.
    fs.mkdirSync(session, { recursive: true });
    fs.writeFileSync(`${session}/a.txt`, '# Role: user\n# ---\nsaid');
    assert.strictEqual((await readMemories(vault.config, 'ann')).length, 1);
    fs.mkdirSync(vault.path('users/ann/capsules'));
    assert.deepStrictEqual(await readMemories(vault.config, 'ann'), []);
  });

  test('a write by a name that a file got after it was read', async (t) => {
    const vault = temporaryVault(t);
    const places = {
      ann: vault.path('users/ann/capsules/a.json'),
      bob: vault.path('users/bob/transcripts/s/a.txt'),
      zoe: vault.path('users/zoe/instances/nova-001/identity/nova-001.capsule'),
    };
    const texts = (/** @type {string} */ content) => ({
      ann: JSON.stringify({ raw: content }),
      bob: `# Role: user\n# ---\n${content}`,
      zoe: constructText(content),
    });
    const users = /** @type {(keyof typeof places)[]} */ (Object.keys(places));
    for (const user of users) {
      fs.mkdirSync(path.dirname(places[user]), { recursive: true });
      fs.writeFileSync(places[user], texts('old')[user]);
    }
    const watched = await Vault.open(vault.root, { cacheDir: null, watch: true });
    atEnd(t, () => watched.close());
    const readers = {
      'the drop-in': (/** @type {string} */ user) => readMemories(vault.config, user),
      'a watched vault': (/** @type {string} */ user) => watched.readMemories(user, { constructId: 'nova-001' }),
    };
    // The drop-in knows no constructs.
    const answers = { 'the drop-in': ['ann', 'bob'], 'a watched vault': users };
    const expectAll = async (/** @type {string} */ content) => {
      for (const [reader, read] of Object.entries(readers)) {
        for (const user of answers[/** @type {keyof typeof answers} */ (reader)]) {
          const contents = (await read(user)).map((memory) => memory.content);
          assert.deepStrictEqual(contents, [content], `${reader}, ${user}`);
        }
      }
    };
    // Until no later change can fall into the tick of the clock in which they were read.
    await delay(100);
    for (let time = 0; time < 3; time++) await expectAll('old');
    for (const user of users) fs.linkSync(places[user], vault.path(`elsewhere-${user}`));
    await expectAll('old');
    for (const content of ['new', 'and', 'now']) {
      for (const user of users) fs.writeFileSync(vault.path(`elsewhere-${user}`), texts(content)[user]);
      await expectAll(content);
    }
  });

  test('a file is broken and mended', async (t) => {
    const vault = temporaryVault(t);
    listenTo(t, 'warn');
    for (let round = 1; round <= ROUNDS / 3; round++) {
      vault.write('ann', 'a.json', '{"raw":"0000000"x');
      assert.deepStrictEqual(await readMemories(vault.config, 'ann'), []);
      vault.write('ann', 'a.json', text(round));
      assert.strictEqual((await readMemories(vault.config, 'ann')).length, 1);
    }
  });

  test('writes while calls are under way: each call sees what was written before it', async (t) => {
    const vault = temporaryVault(t);
    for (let place = 0; place < 100; place++) vault.write('ann', `beside-${place}.json`, { raw: 'x', role: 'other' });
    const file = vault.write('ann', 'a.json', text(0));
    const calls = [];
    for (let round = 1; round <= ROUNDS; round++) {
      CHANGES['rename over'](file, round);
      const call = readMemories(vault.config, 'ann', { role: 'system' });
      calls.push(call.then(([memory]) => assert.ok(Number(memory.content) >= round, `${memory.content} ≥ ${round}`)));
      if (round % 7 === 0) await call;
    }
    await Promise.all(calls);
  });
}
