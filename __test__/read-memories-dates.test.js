'use strict';

// Dates without a zone are in the process's own, which can change while it runs.

const assert = require('node:assert');
const { test } = require('node:test');

const { runProgram, temporaryVault } = require('./support/temporary-vault');

/**
 * In UTC `zoneless` is the older one, in New York the newer one.
 *
 * @param {import('node:test').TestContext} t
 */
function vaultOfTwo(t) {
  const vault = temporaryVault(t);
  vault.write('ann', 'a.json', { raw: 'zoneless', created_ts: '2025-01-01T10:00:00' });
  vault.write('ann', 'b.json', { raw: 'zoned', created_ts: '2025-01-01T12:00:00Z' });
  return vault;
}

for (const [zone, order] of Object.entries({ UTC: 'zoned,zoneless', 'America/New_York': 'zoneless,zoned' })) {
  test(`a date without a zone in ${zone}`, async (t) => {
    const program = `
      for (let call = 0; call < 3; call++) {
        console.log(String((await readMemories(vault.config, 'ann')).map((memory) => memory.content)));
      }
      const since = new Date('2025-01-01T13:00:00Z');
      console.log((await readMemories(vault.config, 'ann', { since })).length);`;
    const ended = await runProgram(vaultOfTwo(t), program, { env: { TZ: zone } });
    const count = zone === 'UTC' ? 0 : 1;
    assert.deepStrictEqual(ended, {
      code: 0,
      signal: null,
      stdout: `${order}\n${order}\n${order}\n${count}\n`,
      stderr: '',
    });
  });
}

test('process.env.TZ changes between two calls', async (t) => {
  const program = `
    for (const zone of ['UTC', 'America/New_York', 'UTC', 'America/New_York', 'Asia/Tokyo', 'America/New_York']) {
      process.env.TZ = zone;
      console.log((await readMemories(vault.config, 'ann', { limit: 1 }))[0].content);
    }`;
  const ended = await runProgram(vaultOfTwo(t), program, { env: { TZ: 'UTC' } });
  const stdout = 'zoned\nzoneless\nzoned\nzoneless\nzoned\nzoneless\n';
  assert.deepStrictEqual(ended, { code: 0, signal: null, stdout, stderr: '' });
});

test('process.env.TZ changes during a call', async (t) => {
  const program = `
    const asked = readMemories(vault.config, 'ann', { limit: 1 });
    process.env.TZ = 'America/New_York';
    console.log((await asked)[0].content);
    process.env.TZ = 'UTC';
    console.log((await readMemories(vault.config, 'ann', { limit: 1 }))[0].content);`;
  const ended = await runProgram(vaultOfTwo(t), program, { env: { TZ: 'UTC' } });
  assert.deepStrictEqual(ended, { code: 0, signal: null, stdout: 'zoneless\nzoned\n', stderr: '' });
});

test('dates in any form that V8 reads, and those that it does not', async (t) => {
  const vault = temporaryVault(t);
  const stamps = [
    'Jan 5 2025 10:00 GMT',
    '2025-01-04T10:00:00+00:00',
    'Fri, 03 Jan 2025 10:00:00 GMT',
    '2025/01/02',
    1735725600000,
  ];
  stamps.forEach((created_ts, place) => {
    vault.write('ann', `${place}.json`, { raw: String(place), created_ts });
  });
  const program = `
    const read = async (options) => console.log((await readMemories(vault.config, 'ann', options)).map(({ content }) => content).join(' '));
    await read({});
    vault.write('ann', '9.json', { raw: 'no date', created_ts: 'some time ago', role: 'lost' });
    await read({ role: 'lost' });
    await read({ since: new Date(0) });
    await read({ until: new Date('2025-01-03T00:00:00Z') });`;
  const ended = await runProgram(vault, program, { env: { TZ: 'UTC' } });
  assert.deepStrictEqual(ended, { code: 0, signal: null, stdout: '0 1 2 3 4\nno date\n0 1 2 3 4\n3 4\n', stderr: '' });
});

test('many dates that only JavaScript can tell', async (t) => {
  const vault = temporaryVault(t);
  const count = 2500;
  for (let place = 0; place < count; place++) {
    const created = new Date(Date.UTC(2025, 0, 1) + place * 60_000).toUTCString();
    vault.write('ann', `${place}.json`, { raw: String(place), created_ts: created });
  }
  const program = `
    for (let call = 0; call < 2; call++) {
      const memories = await readMemories(vault.config, 'ann', { limit: 0 });
      console.log(memories.length, memories.every(({ content }, place) => content === String(${count - 1} - place)));
    }`;
  const ended = await runProgram(vault, program);
  assert.deepStrictEqual(ended, { code: 0, signal: null, stdout: `${count} true\n`.repeat(2), stderr: '' });
});
