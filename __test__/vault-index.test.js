'use strict';

// What is kept of a vault beyond the process, and the pages of a long history.

const assert = require('node:assert');
const { execFile, spawn } = require('node:child_process');
const { createHash } = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { describe, test } = require('node:test');
const { setImmediate: nextTurn, setTimeout: wait } = require('node:timers/promises');
const { promisify } = require('node:util');

const { Vault } = require('..');
const native = require('../lib/native');
const { memoriesOf, requestOf } = require('../lib/reading');
const { atEnd, endOf } = require('./support/at-end');
const { REPOSITORY, runProgram, temporaryVault } = require('./support/temporary-vault');

/** @typedef {import('node:test').TestContext} TestContext */

/** More than the few for which nothing is kept. */
const COUNT = 600;
const TIME_LIMIT = { timeout: 60_000 };

/**
 * A vault of many memories of 4 KB, whose times can be relied on, and a cache folder.
 *
 * @param {TestContext} t
 */
async function manyMemories(t, count = COUNT) {
  const vault = temporaryVault(t);
  const cacheDir = temporaryVault(t).root;
  let last = '';
  for (let place = 0; place < count; place++) last = writeMemory(vault, place);
  while (Date.now() - fs.statSync(last).ctimeMs < 100) await wait(10);
  return { vault, cacheDir, kept: () => keptIn(cacheDir) };
}

/**
 * @param {ReturnType<typeof temporaryVault>} vault
 * @param {number} place
 */
function writeMemory(vault, place, raw = `memory ${place}`) {
  return vault.write('ann', `m${String(place).padStart(5, '0')}.json`, {
    created_ts: new Date(1_700_000_000_000 + (place >> 1) * 1000).toISOString(),
    raw,
    role: place % 2 ? 'user' : 'assistant',
    tags: place % 3 ? [] : ['third'],
    padding: 'x'.repeat(4096),
  });
}

/** @param {string} cacheDir */
function keptIn(cacheDir) {
  const folder = path.join(cacheDir, 'memories');
  return fs.existsSync(folder) ? fs.readdirSync(folder).map((name) => path.join(folder, name)) : [];
}

/**
 * Opens the vault in a process of its own, reads it, and closes it.
 *
 * @param {ReturnType<typeof temporaryVault>} vault
 * @param {string | null} cacheDir
 * @param {string} [options]
 */
async function readElsewhere(vault, cacheDir, options = '{}') {
  const { stdout, stderr, code } = await runProgram(
    vault,
    `const { Vault } = require(${JSON.stringify(REPOSITORY)});
    const bytes = () => Number(/rchar: (\\d+)/.exec(require('node:fs').readFileSync('/proc/self/io', 'utf8'))[1]);
    const before = process.platform === 'linux' ? bytes() : 0;
    const opened = await Vault.open(vault.root, { cacheDir: ${JSON.stringify(cacheDir)}, ...${options} });
    const memories = await opened.readMemories('ann', { limit: 0 });
    const read = process.platform === 'linux' ? bytes() - before : null;
    await opened.close();
    console.log(JSON.stringify({ read, memories }));`,
  );
  assert.strictEqual(code, 0, stderr);
  return JSON.parse(stdout);
}

describe('what is kept beyond the process', TIME_LIMIT, () => {
  test('who reads is not refused for want of the handles of what is kept', {
    skip: process.platform === 'linux' ? false : 'the limit is set by a shell',
  }, async (t) => {
    const [vault, cacheDir] = [temporaryVault(t), temporaryVault(t).root];
    const users = Array.from({ length: 3 }, (_, number) => `user${number}`);
    for (const user of users) {
      for (let place = 0; place < 257; place++) vault.write(user, `${place}.json`, { raw: `${user} ${place}` });
    }
    const text = `
        const fs = require('node:fs');
        const { Vault } = require(${JSON.stringify(REPOSITORY)});
        const [root, cacheDir, users] = ${JSON.stringify([vault.root, cacheDir, users])};
        const kept = () => fs.readdirSync('/proc/self/fd').filter((handle) => {
          try {
            return fs.readlinkSync('/proc/self/fd/' + handle).includes('.segment');
          } catch {
            return false;
          }
        });
        (async () => {
          let vault = await Vault.open(root, { cacheDir });
          const read = async () => {
            const counts = [];
            for (const user of users) counts.push((await vault.readMemories(user, { limit: 0 })).length);
            return counts;
          };
          await read();
          await vault.close();
          vault = await Vault.open(root, { cacheDir });
          const counts = [await read()];
          const handles = kept().length;
          let error;
          while (!error) {
            try {
              fs.openSync(root);
            } catch (thrown) {
              error = thrown.code;
            }
          }
          counts.push(await read());
          console.log(JSON.stringify({ handles, error, counts }));
          process.exit();
        })();`;
    const limited = ['-c', 'ulimit -n 40; exec "$0" -e "$1"', process.execPath, text];
    const { stdout } = await promisify(execFile)('sh', limited);
    const { handles, error, counts } = JSON.parse(stdout);
    const all = users.map(() => 257);
    assert.deepStrictEqual({ error, counts }, { error: 'EMFILE', counts: [all, all] });
    assert.strictEqual(handles, users.length);
  });

  for (const options of ['{}', '{ watch: true }']) {
    test(`only what has changed is read after a restart ${options}`, async (t) => {
      const { vault, cacheDir, kept } = await manyMemories(t);
      const first = await readElsewhere(vault, cacheDir, options);
      assert.strictEqual(first.memories.length, COUNT);
      assert.strictEqual(kept().length, 1);
      const again = await readElsewhere(vault, cacheDir, options);
      assert.deepStrictEqual(again.memories, first.memories);
      writeMemory(vault, 5, 'changed');
      writeMemory(vault, COUNT, 'new');
      fs.rmSync(vault.path('users/ann/capsules/m00007.json'));
      const third = await readElsewhere(vault, cacheDir, options);
      const expected = await readElsewhere(vault, null, options);
      assert.deepStrictEqual(third.memories, expected.memories);
      assert.strictEqual(
        third.memories.filter((/** @type {any} */ { content }) => ['changed', 'new'].includes(content)).length,
        2,
      );
      if (first.read === null) return;
      assert.ok(first.read > COUNT * 4096);
      assert.ok(again.read < first.read / 4, `${again.read} of ${first.read}`);
      assert.ok(third.read < first.read / 4, `${third.read} of ${first.read}`);
    });
  }

  test('the drop-in keeps what it read, where VVAULT_CACHE_DIR says', async (t) => {
    const { vault, cacheDir, kept } = await manyMemories(t);
    const program = (/** @type {string} */ until) => `
      const memories = await readMemories(vault.config, 'ann');
      ${until}
      console.log(memories.length);`;
    const forKept = `
      const fs = require('node:fs');
      const isKept = () => fs.existsSync(${JSON.stringify(path.join(cacheDir, 'memories'))}) &&
        fs.readdirSync(${JSON.stringify(path.join(cacheDir, 'memories'))}).some((name) => name.endsWith('.segment'));
      while (!isKept()) await new Promise((resolve) => setTimeout(resolve, 20));`;
    const { stdout, stderr } = await runProgram(vault, program(forKept), { env: { VVAULT_CACHE_DIR: cacheDir } });
    assert.strictEqual(stdout, '10\n', stderr);
    assert.strictEqual(kept().length, 1);
    const home = temporaryVault(t).root;
    const nowhere = { VVAULT_CACHE_DIR: '', XDG_CACHE_HOME: home, HOME: home };
    const pause = 'await new Promise((resolve) => setTimeout(resolve, 700));';
    assert.strictEqual((await runProgram(vault, program(pause), { env: nowhere })).stdout, '10\n');
    assert.deepStrictEqual(fs.readdirSync(home), []);
  });

  test('where there is no cache folder nothing is kept', async (t) => {
    const vault = temporaryVault(t);
    const home = temporaryVault(t).root;
    writeMemory(vault, 1);
    const program = `
      const { cacheFolder } = require(${JSON.stringify(path.join(REPOSITORY, 'lib/cache-folder'))});
      console.log(cacheFolder(), (await readMemories(vault.config, 'ann')).length);`;
    for (const [env, expected] of /** @type {const} */ ([
      [{ HOME: '', XDG_CACHE_HOME: '' }, process.platform === 'linux' ? 'null 1\n' : / 1\n$/],
      [{ HOME: 'relative', XDG_CACHE_HOME: 'relative' }, process.platform === 'linux' ? 'null 1\n' : / 1\n$/],
      [{ VVAULT_CACHE_DIR: '' }, 'null 1\n'],
      // As a shell would have it.
      [{ VVAULT_CACHE_DIR: '~/kept', HOME: home, USERPROFILE: home }, `${path.join(home, 'kept')} 1\n`],
    ])) {
      const { stdout, stderr } = await runProgram(vault, program, { env });
      assert.ok(typeof expected === 'string' ? stdout === expected : expected.test(stdout), stdout + stderr);
    }
  });

  test('it is its owner’s alone, goes with what is deleted, and may be deleted itself', async (t) => {
    const { vault, cacheDir, kept } = await manyMemories(t);
    writeMemory(vault, 3, 'a secret');
    await wait(100);
    const opened = await Vault.open(vault.root, { cacheDir });
    await opened.readMemories('ann');
    await opened.close();
    const [file] = kept();
    const holds = (/** @type {string} */ text) => fs.readFileSync(file).includes(text);
    assert.ok(holds('a secret') && holds('memory 4'));
    if (process.platform !== 'win32') {
      assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600);
      assert.strictEqual(fs.statSync(path.dirname(file)).mode & 0o777, 0o700);
    }
    fs.rmSync(vault.path('users/ann/capsules/m00003.json'));
    const again = await Vault.open(vault.root, { cacheDir });
    assert.strictEqual((await again.readMemories('ann', { limit: 0 })).length, COUNT - 1);
    assert.ok(!holds('a secret') && holds('memory 4'));
    fs.rmSync(cacheDir, { recursive: true });
    assert.strictEqual((await again.readMemories('ann', { limit: 0 })).length, COUNT - 1);
    await again.close();
    const third = await readElsewhere(vault, cacheDir);
    assert.strictEqual(third.memories.length, COUNT - 1);
    const none = await Vault.open(vault.root, { cacheDir: null });
    await none.readMemories('ann');
    await none.close();
  });

  test('a watch that comes back tells what happened meanwhile, whether names came and went or not', async (t) => {
    const { vault, cacheDir, kept } = await manyMemories(t);
    const open = (/** @type {string | undefined} */ since) => Vault.open(vault.root, { watch: true, cacheDir, since });
    const first = await open(undefined);
    while (kept().length === 0) await wait(10);
    let { cursor } = first;
    await first.close();
    /** @type {[string, () => void][]} */
    const changes = [
      ['updated m00007.json', () => writeMemory(vault, 7, 'another')],
      ['removed m00008.json', () => fs.rmSync(vault.path('users/ann/capsules/m00008.json'))],
      ['imported m00008.json', () => writeMemory(vault, 8, 'again')],
      [
        'updated m00009.json',
        () =>
          fs.copyFileSync(vault.path('users/ann/capsules/m00011.json'), vault.path('users/ann/capsules/m00009.json')),
      ],
    ];
    for (const [expected, change] of changes) {
      change();
      const watched = await open(cursor ?? undefined);
      /** @type {string[]} */
      const told = [];
      for (const kind of /** @type {const} */ (['imported', 'updated', 'removed', 'rejected'])) {
        watched.on(`capsule:${kind}`, (/** @type {{ path: string }} */ { path: file }) => {
          told.push(`${kind} ${path.basename(file)}`);
        });
      }
      await watched.readMemories('ann', { limit: 0 });
      while (told.length === 0) await wait(5);
      assert.deepStrictEqual(told, [expected]);
      ({ cursor } = watched);
      await watched.close();
    }
  });

  test('a damaged file is none', async (t) => {
    const { vault, cacheDir, kept } = await manyMemories(t);
    const { memories } = await readElsewhere(vault, cacheDir);
    for (const share of [0.001, 0.3, 0.6, 0.9, 0.9999]) {
      await readElsewhere(vault, cacheDir);
      const [file] = kept();
      const bytes = fs.readFileSync(file);
      bytes[Math.floor(bytes.length * share)] ^= 0x10;
      fs.writeFileSync(file, bytes);
      assert.deepStrictEqual((await readElsewhere(vault, cacheDir)).memories, memories);
      fs.truncateSync(kept()[0] ?? file, Math.floor(bytes.length * share));
      assert.deepStrictEqual((await readElsewhere(vault, cacheDir, '{ watch: true }')).memories, memories);
    }
  });

  test('an answer of many texts is whole, also when what is kept turns out damaged in its midst', async (t) => {
    const vault = temporaryVault(t);
    const cacheDir = temporaryVault(t).root;
    const letters = ['a', 'é', '’', '😀', '\\', '\u2028', '\0'];
    const expected = Array.from({ length: 3000 }, (_, place) => {
      const id = `m${String(place).padStart(5, '0')}`;
      const created = new Date(1_700_000_000_000 - place * 1000).toISOString();
      const raw = `${letters[place % 7]} ${'text '.repeat(250)}`;
      // With both members, with one, and with none.
      const ends = place % 4 === 0 ? {} : { embed_model: place % 3 ? 'model' : null };
      const sha = place % 4 === 2 ? {} : { raw_sha256: createHash('sha256').update(raw).digest('hex') };
      vault.write('ann', `${id}.json`, { created_ts: created, raw, ...ends, ...sha });
      const metadata = { source: 'capsule', filename: `${id}.json`, capsuleId: id, tags: [], consent: 'unknown' };
      const named = 'embed_model' in ends ? { embedModel: ends.embed_model } : {};
      const hash = 'raw_sha256' in sha ? { hash: sha.raw_sha256 } : {};
      const rest = { content: raw, role: 'system', metadata: { ...metadata, ...named, ...hash } };
      return { id, type: 'capsule', timestamp: created, ...rest };
    });
    await wait(200);
    assert.deepStrictEqual((await readElsewhere(vault, cacheDir)).memories, expected);
    for (const share of [0.2, 0.5, 0.8]) {
      const [file] = keptIn(cacheDir);
      const bytes = fs.readFileSync(file);
      bytes[Math.floor(bytes.length * share)] ^= 0x10;
      fs.writeFileSync(file, bytes);
      const { memories, read } = await readElsewhere(vault, cacheDir);
      assert.deepStrictEqual(memories, expected);
      assert.ok(read === null || read > 3000 * 1000, 'the files were read again');
      assert.deepStrictEqual((await readElsewhere(vault, cacheDir)).memories, expected);
    }
  });

  test('several processes at once, and kills at any moment', async (t) => {
    const { vault, cacheDir, kept } = await manyMemories(t, 400);
    // Each adds enough that what is kept is written anew, again and again.
    const program = `
      const { Vault } = require(${JSON.stringify(REPOSITORY)});
      const fs = require('node:fs');
      console.log('ready');
      (async () => {
        for (let round = 0; ; round++) {
          for (let place = 0; place < 300; place++) {
            fs.writeFileSync(\`${vault.path('users/ann/capsules')}/\${process.argv[1]}-\${place}.json\`, JSON.stringify({ raw: \`\${round} \${place}\`, created_ts: '2026-01-01T00:00:00Z' }));
          }
          await new Promise((resolve) => setTimeout(resolve, 65));
          const opened = await Vault.open(${JSON.stringify(vault.root)}, { cacheDir: ${JSON.stringify(cacheDir)} });
          const memories = await opened.readMemories('ann', { limit: 0 });
          const own = memories.filter(({ id, content }) => id.startsWith(process.argv[1] + '-') && content.startsWith(round + ' '));
          if (own.length !== 300) throw new Error('stale: ' + own.length);
          await opened.close();
        }
      })().catch((error) => { console.error(error); process.exit(3); });`;
    for (let round = 0; round < 4; round++) {
      const children = ['one', 'two'].map((name) => spawn(process.execPath, ['-e', program, name]));
      let stderr = '';
      for (const child of children) {
        child.stderr.on('data', (text) => {
          stderr += text;
        });
      }
      const ends = children.map((child) => endOf(t, child));
      await Promise.all(children.map((child, place) => Promise.race([once(child.stdout, 'data'), ends[place]])));
      await wait(300 + round * 137);
      for (const child of children) child.kill('SIGKILL');
      for (const end of ends) assert.deepStrictEqual(await end, [null, 'SIGKILL'], stderr);
      const { memories } = await readElsewhere(vault, cacheDir);
      assert.deepStrictEqual(memories, (await readElsewhere(vault, null)).memories);
    }
    assert.ok(kept().some((file) => file.endsWith('.segment')));
  });

  test('a reading that is aborted is gone on with', async (t) => {
    const { vault, cacheDir } = await manyMemories(t, 4000);
    const opened = await Vault.open(vault.root, { cacheDir });
    const aborting = new AbortController();
    const reason = new Error('enough');
    const reading = opened.readMemories('ann', { limit: 0, signal: aborting.signal });
    setImmediate(() => aborting.abort(reason));
    const outcome = await reading.catch((error) => error);
    // A quick machine may have been done.
    assert.ok(outcome === reason || outcome.length === 4000);
    assert.strictEqual((await opened.readMemories('ann', { limit: 0 })).length, 4000);
    await opened.close();
    const already = AbortSignal.abort(reason);
    await assert.rejects(Vault.open(vault.root, { cacheDir, signal: already }), reason);
    for (const watch of [true, 'poll']) {
      const opening = Vault.open(vault.root, {
        cacheDir: temporaryVault(t).root,
        watch: /** @type {true} */ (watch),
        signal: AbortSignal.timeout(3),
      });
      await opening.then(
        (quick) => quick.close(),
        (error) => assert.strictEqual(error.name, 'TimeoutError'),
      );
    }
  });

  test('of a reading that is aborted no more is parsed', async (t) => {
    const vault = temporaryVault(t);
    for (let place = 0; place < 200; place++) writeMemory(vault, place, 'x'.repeat(4000));
    const opened = await Vault.open(vault.root, { cacheDir: null });
    atEnd(t, () => opened.close());
    const aborting = new AbortController();
    const { parse } = JSON;
    let texts = 0;
    t.mock.method(JSON, 'parse', (/** @type {string} */ text) => {
      if (text.includes('"third"') && ++texts === 1) aborting.abort();
      return parse(text);
    });
    await assert.rejects(opened.readMemories('ann', { limit: 0, signal: aborting.signal }), { name: 'AbortError' });
    for (let turns = 0; turns < 100; turns++) await nextTurn();
    assert.strictEqual(texts, 1);
  });

  test('a reading that is aborted hands out nothing, and makes nothing more', async (t) => {
    const vault = temporaryVault(t);
    for (let place = 0; place < 200; place++) writeMemory(vault, place, 'x'.repeat(30_000));
    const reading = new native.MemoryReading(requestOf(vault.root, vault.config.directories, 'ann', { limit: 0 }));
    assert.strictEqual((await reading.run()).more, true);
    assert.ok(reading.next());
    reading.progress().abort();
    const aborted = { message: /VVAULT_ABORTED/ };
    assert.throws(() => reading.next(), aborted);
    assert.throws(() => reading.undecided(), aborted);
    await assert.rejects(reading.more(), aborted);
    await assert.rejects(memoriesOf(reading, await reading.select()), { code: 'VVAULT_ABORTED' });
  });

  test('a failure while more memories are made is told to who reads', async () => {
    const rows = Array.from({ length: 5 }, () => ['', '', Int32Array.of(0, 0), '[{}]']);
    const failure = new Error('no more');
    const reading = /** @type {any} */ ({ more: () => Promise.reject(failure), next: () => rows.shift() ?? null });
    await assert.rejects(memoriesOf(reading, /** @type {any} */ ({ more: true })), failure);
  });

  test('what waits for the event loop goes before the second part of many memories', async () => {
    /** @type {string[]} */
    const done = [];
    let parts = 2;
    const next = () => {
      if (parts-- === 0) return null;
      done.push('part');
      // Longer than a turn, and until the timer is due.
      for (const end = performance.now() + 5; performance.now() < end; );
      return ['', '', Int32Array.of(0, 0), '[{}]'];
    };
    // A native thread's promise is settled in the same phase of the event loop as this callback.
    await new Promise((resolve, reject) => {
      fs.stat('.', () => {
        setTimeout(() => done.push('timer'), 1);
        memoriesOf(/** @type {any} */ ({ next }), /** @type {any} */ ({ more: false })).then(resolve, reject);
      });
    });
    assert.deepStrictEqual(done, ['part', 'timer', 'part']);
  });

  test('it is told how far a long reading has come', async (t) => {
    const vault = temporaryVault(t);
    fs.mkdirSync(vault.path('users/ann/capsules'), { recursive: true });
    // Slow for every machine.
    const text = `{"raw":"x","padding":[${'[1],'.repeat(250_000)}0]}`;
    for (let place = 0; place < 250; place++) vault.write('ann', `${place}.json`, text);
    const opened = await Vault.open(vault.root, { cacheDir: null });
    /** @type {any[]} */
    const told = [];
    opened.on('progress', (progress) => told.push(progress));
    await opened.readMemories('ann');
    await opened.close();
    assert.deepStrictEqual(told.at(-1), { userId: 'ann', done: 250, total: 250 });
    assert.ok(told.every(({ done }, at) => at === 0 || done > told[at - 1].done));
    told.length = 0;
    const failure = new Error('late');
    const logged = t.mock.method(console, 'error', () => {});
    const watched = await Vault.open(vault.root, {
      cacheDir: null,
      watch: true,
      onProgress: async (progress) => {
        told.push(progress);
        throw failure;
      },
    });
    await watched.close();
    assert.deepStrictEqual(told.at(-1), { done: 250, total: 250 });
    const failed = ['❌ A listener to progress failed:', failure];
    assert.deepStrictEqual(
      logged.mock.calls.map((call) => call.arguments),
      told.map(() => failed),
    );
    await assert.rejects(Vault.open(vault.root, { onProgress: /** @type {any} */ (5) }), {
      code: 'VVAULT_INVALID_ARGUMENT',
    });
  });
});

describe('pages', TIME_LIMIT, () => {
  test('a history is walked while memories come, change and go', async (t) => {
    const { vault, cacheDir } = await manyMemories(t);
    const opened = await Vault.open(vault.root, { cacheDir });
    const whole = await opened.readMemories('ann', { limit: 0 });
    assert.strictEqual(whole.before, null);
    assert.deepStrictEqual(Object.keys(whole).length, COUNT, 'the cursor is no element');
    for (const options of [{}, { role: 'user' }, { tags: ['third'], until: new Date(1_700_000_100_000) }]) {
      const expected = (await opened.readMemories('ann', { ...options, limit: 0 })).map(({ id }) => id);
      const seen = [];
      /** @type {string | null} */
      let before = null;
      do {
        const page = await opened.readMemories('ann', { ...options, limit: 7, before });
        seen.push(...page.map(({ id }) => id));
        before = page.before;
      } while (before !== null);
      assert.deepStrictEqual(seen, expected);
    }
    const seen = [];
    /** @type {string | null} */
    let before = null;
    let place = COUNT;
    do {
      const page = await opened.readMemories('ann', { limit: 50, before });
      seen.push(...page.map(({ id }) => id));
      before = page.before;
      // The last of the page goes, and newer ones come.
      const gone = page.at(-1);
      fs.rmSync(vault.path(`users/ann/capsules/${gone?.id}.json`));
      for (let more = 0; more < 3; more++) writeMemory(vault, place++);
    } while (before !== null);
    assert.deepStrictEqual(
      seen,
      whole.map(({ id }) => id),
    );
    await opened.close();
  });

  test('memories without a valid date are walked too', async (t) => {
    const vault = temporaryVault(t);
    for (let place = 0; place < 40; place++) {
      const created_ts = place % 5 ? `2026-01-0${1 + (place % 3)}T00:00:00Z` : 'no date';
      vault.write('ann', `${place}.json`, { raw: String(place), created_ts });
    }
    const opened = await Vault.open(vault.root, { cacheDir: null });
    const whole = (await opened.readMemories('ann', { limit: 0 })).map(({ id }) => id);
    const seen = [];
    /** @type {string | null} */
    let before = null;
    do {
      const page = await opened.readMemories('ann', { limit: 3, before });
      seen.push(...page.map(({ id }) => id));
      before = page.before;
    } while (before !== null);
    assert.deepStrictEqual(seen, whole);
    await opened.close();
  });

  test('what is no cursor is refused', async (t) => {
    const vault = temporaryVault(t);
    vault.write('ann', 'a.json', { raw: 'a' });
    const opened = await Vault.open(vault.root, { cacheDir: null });
    for (const before of ['', 'x', '{}', '[1]', '{"time":"x"}']) {
      await assert.rejects(opened.readMemories('ann', { before }), { code: 'VVAULT_INVALID_CURSOR' });
    }
    await assert.rejects(opened.readMemories('ann', { before: /** @type {any} */ (5) }), {
      code: 'VVAULT_INVALID_ARGUMENT',
    });
    await opened.close();
  });
});
