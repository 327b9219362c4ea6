'use strict';

// Calls at once, worker threads, the event loop, and the end of the process.

const assert = require('node:assert');
const { test } = require('node:test');

const { Vault, readMemories } = require('..');
const { runProgram, temporaryVault } = require('./support/temporary-vault');

/**
 * @param {import('./support/temporary-vault').Vault} vault
 * @param {number} count
 */
function writeMemories(vault, count) {
  const embedding = Array.from({ length: 384 }, (_, place) => Math.sin(place));
  for (let place = 0; place < count; place++) {
    const created = new Date(Date.UTC(2025, 0, 1) + place * 1000).toISOString();
    vault.write('ann', `${place}.json`, { raw: `memory ${place}`, created_ts: created, embedding });
  }
}

test('200 calls at once give equal answers', async (t) => {
  const vault = temporaryVault(t);
  writeMemories(vault, 300);
  const calls = Array.from({ length: 200 }, () => readMemories(vault.config, 'ann', { limit: 20 }));
  const [first, ...others] = await Promise.all(calls);
  assert.strictEqual(first.length, 20);
  assert.strictEqual(first[0].content, 'memory 299');
  for (const other of others) assert.deepStrictEqual(other, first);
});

test('calls at once with different questions', async (t) => {
  const vault = temporaryVault(t);
  writeMemories(vault, 300);
  const calls = Array.from({ length: 200 }, (_, limit) => readMemories(vault.config, 'ann', { limit: limit + 1 }));
  for (const [place, memories] of (await Promise.all(calls)).entries()) {
    assert.strictEqual(memories.length, place + 1);
    assert.strictEqual(memories[place].content, `memory ${299 - place}`);
  }
});

test('several worker threads read the same folder at once', { timeout: 120_000 }, async (t) => {
  const vault = temporaryVault(t);
  writeMemories(vault, 500);
  const ended = await runProgram(
    vault,
    `
    const assert = require('node:assert');
    const { Worker } = require('node:worker_threads');
    const { once } = require('node:events');
    const inWorker = \`
      const { parentPort, workerData } = require('node:worker_threads');
      const { readMemories } = require(workerData.module);
      (async () => {
        const counts = [];
        for (let call = 0; call < 20; call++) {
          counts.push((await readMemories(workerData.config, 'ann', { limit: 0 })).length);
        }
        parentPort.postMessage({ counts, newest: await readMemories(workerData.config, 'ann', { limit: 3 }) });
      })();\`;
    const workerData = { config: vault.config, module: ${JSON.stringify(require.resolve('..'))} };
    const workers = Array.from({ length: 6 }, () => new Worker(inWorker, { eval: true, workerData }));
    const own = readMemories(vault.config, 'ann', { limit: 3 });
    const answers = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]));
    for (const { counts, newest } of answers) {
      assert.deepStrictEqual(counts, Array(20).fill(500));
      assert.deepStrictEqual(newest, await own);
    }
    console.log('fine');`,
  );
  assert.deepStrictEqual(ended, { code: 0, signal: null, stdout: 'fine\n', stderr: '' });
});

test('worker threads that are terminated in mid-call harm nobody', { timeout: 120_000 }, async (t) => {
  const vault = temporaryVault(t);
  writeMemories(vault, 1000);
  const ended = await runProgram(
    vault,
    `
    const { Worker } = require('node:worker_threads');
    const { once } = require('node:events');
    const { setTimeout: wait } = require('node:timers/promises');
    const inWorker = \`
      const { parentPort, workerData } = require('node:worker_threads');
      const { readMemories } = require(workerData.module);
      const read = () => readMemories(workerData.config, 'ann', { limit: 10 }).then(read);
      for (let call = 0; call < 4; call++) read();
      parentPort.postMessage('reading');\`;
    const workerData = { config: vault.config, module: ${JSON.stringify(require.resolve('..'))} };
    for (let round = 0; round < 40; round++) {
      vault.write('ann', '0.json', { raw: 'round ' + round });
      const worker = new Worker(inWorker, { eval: true, workerData });
      await once(worker, 'message');
      if (round % 4 > 0) await wait(round % 4);
      await worker.terminate();
    }
    console.log((await readMemories(vault.config, 'ann', { limit: 0 })).length);`,
    { timeout: 90_000 },
  );
  assert.deepStrictEqual(ended, { code: 0, signal: null, stdout: '1000\n', stderr: '' });
});

test('the event loop goes on while a folder of 3,000 files is read for the first time', async (t) => {
  const vault = temporaryVault(t);
  writeMemories(vault, 3000);
  const ended = await runProgram(
    vault,
    `
    let turns = 0;
    let longest = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      turns++;
      longest = Math.max(longest, now - last);
      last = now;
    }, 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    [turns, longest, last] = [0, 0, performance.now()];
    const before = performance.eventLoopUtilization();
    const start = performance.now();
    const memories = await readMemories(vault.config, 'ann');
    const whole = performance.now() - start;
    const { active } = performance.eventLoopUtilization(before);
    clearInterval(timer);
    console.log(JSON.stringify({ count: memories.length, turns, longest, whole, active }));`,
  );
  assert.strictEqual(ended.code, 0, ended.stderr);
  const { count, turns, longest, whole, active } = JSON.parse(ended.stdout);
  t.diagnostic(
    `${turns} turns in ${whole.toFixed(1)} ms, the longest ${longest.toFixed(1)} ms, busy ${active.toFixed(1)} ms`,
  );
  assert.strictEqual(count, 10);
  assert.ok(turns >= 1, `the timer did not fire in ${whole} ms`);
  assert.ok(active < whole * 0.8, `the thread was busy for ${active} of ${whole} ms`);
});

test('who asks again and again, or for much at once, lets others have their turns', async (t) => {
  const root = temporaryVault(t);
  writeMemories(root, 300);
  const vault = await Vault.open(root.root);
  let ended = false;
  t.after(() => {
    ended = true;
    return vault.close();
  });
  const asking = {
    readMemories: () => readMemories(root.config, 'ann', { limit: 20 }),
    'Vault.readMemories': () => vault.readMemories('ann', { limit: 20 }),
  };
  let turns = 0;
  const count = () => {
    turns++;
    if (!ended) setImmediate(count);
  };
  setImmediate(count);
  for (const [name, ask] of Object.entries(asking)) {
    await ask();
    const asked = Array.from({ length: 1000 }, ask);
    turns = 0;
    await Promise.all(asked);
    assert.ok(turns > 1, `${name}: ${turns} turns until 1,000 calls at once were answered`);
    turns = 0;
    for (let call = 0; call < 1000; call++) await ask();
    assert.ok(turns > 1, `${name}: ${turns} turns in 1,000 calls, one after another`);
  }
});

test('the process ends by itself after a call, also after one that failed', { timeout: 60_000 }, async (t) => {
  const vault = temporaryVault(t);
  vault.write('ann', 'a.json', { raw: 'x' });
  vault.write('ann', 'b.json', { raw: 'undecided', created_ts: 'Jan 5 2025' });
  const program = `
    console.log((await readMemories(vault.config, 'ann')).length);
    console.error = () => {};
    await readMemories(vault.config, '../x').catch((error) => console.log(error.code));`;
  const ended = await runProgram(vault, program, { timeout: 20_000 });
  assert.deepStrictEqual(ended, { code: 0, signal: null, stdout: '2\nVVAULT_OUTSIDE\n', stderr: '' });
});

test('a process that only loads the package ends by itself', { timeout: 60_000 }, async (t) => {
  const ended = await runProgram(temporaryVault(t), '', { timeout: 20_000 });
  assert.deepStrictEqual(ended, { code: 0, signal: null, stdout: '', stderr: '' });
});

test('process.exit in mid-call ends the process at once', { timeout: 60_000 }, async (t) => {
  const vault = temporaryVault(t);
  writeMemories(vault, 1000);
  const program = "readMemories(vault.config, 'ann', { limit: 0 }); setImmediate(() => process.exit(3));";
  const ended = await runProgram(vault, program, { timeout: 20_000 });
  assert.deepStrictEqual(ended, { code: 3, signal: null, stdout: '', stderr: '' });
});
