'use strict';

// What newcomers do wrong, and whether the error says what to do.

const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { CapsuleLoader, Vault } = require('..');
const { atEnd } = require('./support/at-end');
const { constructText } = require('./support/watched-vault');
const { REPOSITORY, temporaryVault, vaultAt } = require('./support/temporary-vault');

/** @param {import('node:test').TestContext} t */
async function openVault(t) {
  const files = temporaryVault(t);
  const vault = await Vault.open(files.root, { create: true });
  atEnd(t, () => vault.close());
  return { files, vault };
}

/**
 * @param {() => unknown} call
 * @param {string} code
 * @param {RegExp} message
 * @param {string} [where] Its `path`.
 */
function refuses(call, code, message, where) {
  return assert.rejects(
    async () => call(),
    (/** @type {any} */ error) => {
      assert.strictEqual(error.code, code, error.stack);
      assert.match(error.message, message);
      if (where) assert.strictEqual(error.path, where);
      return true;
    },
  );
}

test('a path that is no vault', async (t) => {
  const files = temporaryVault(t);
  const file = files.write('ann', 'a.json', '{}');
  const missing = files.path('missing');
  await refuses(() => Vault.open(missing), 'VVAULT_NO_VAULT', /no such folder; make it/, missing);
  await refuses(() => Vault.open(missing, { watch: true }), 'VVAULT_NO_VAULT', /no such folder; make it/, missing);
  await refuses(() => Vault.open(file), 'VVAULT_NO_VAULT', /it is no folder/, file);
  for (const root of ['~/vault', '~', '~\\vault']) {
    await refuses(
      () => Vault.open(root, { create: true }),
      'VVAULT_INVALID_ARGUMENT',
      /only a shell knows what ~ means/,
    );
  }
  const inFolder = path.relative(process.cwd(), files.root);
  for (const root of [`${files.root}/`, inFolder, `${files.root}/users/..`]) {
    const vault = await Vault.open(root);
    assert.strictEqual(vault.root, files.root);
    await vault.close();
  }
  const { status, stderr } = spawnSync(process.execPath, [
    path.join(REPOSITORY, 'bin/vvault.js'),
    'list',
    '--vault',
    file,
  ]);
  assert.strictEqual(status, 1);
  assert.strictEqual(String(stderr), `vvault: there is no vault at ${file}: it is no folder\n`);
});

test('options that are none, or are written otherwise', async (t) => {
  const { files, vault } = await openVault(t);
  for (const options of [null, 'watch', 5]) {
    await refuses(
      () => Vault.open(files.root, /** @type {any} */ (options)),
      'VVAULT_INVALID_ARGUMENT',
      /options must be/,
    );
  }
  for (const [options, meant] of [
    [{ Watch: true }, 'watch'],
    [{ cachedir: null }, 'cacheDir'],
  ]) {
    const message = new RegExp(`it is called ${meant}`);
    await refuses(() => Vault.open(files.root, /** @type {any} */ (options)), 'VVAULT_INVALID_ARGUMENT', message);
  }
  const misnamed = /** @type {any} */ ({ constructID: 'nova-001' });
  await refuses(() => vault.readMemories('ann', misnamed), 'VVAULT_INVALID_ARGUMENT', /it is called constructId/);
  assert.deepStrictEqual([...(await vault.readMemories('ann', /** @type {any} */ ({ others: 'are ignored' })))], []);
});

test('something else than a capsule is stored, adopted or restored', async (t) => {
  const { files, vault } = await openVault(t);
  const file = files.path('nova-001.capsule');
  fs.writeFileSync(file, constructText('one'));
  await refuses(() => vault.storeCapsule(file), 'VVAULT_INVALID_CAPSULE', /not the path of its file/);
  await refuses(() => vault.storeCapsule(fs.promises.readFile(file)), 'VVAULT_INVALID_ARGUMENT', /await it/);
  const memory = files.write('ann', 'a.json', { raw: 'one' });
  await refuses(() => vault.adoptCapsule(memory), 'VVAULT_INVALID_CAPSULE', /it has no metadata/, memory);

  const loader = new CapsuleLoader({ runtime: { addMemory() {} } });
  const loaded = await loader.loadCapsule(file);
  await refuses(() => loader.restoreConstruct(loaded), 'VVAULT_INVALID_ARGUMENT', /restore its capsuleData/);
  await refuses(() => loader.restoreConstruct(/** @type {any} */ ('{}')), 'VVAULT_NOT_A_CAPSULE', /JSON object/);
  await refuses(() => loader.dropMemIntoRuntime(/** @type {any} */ (undefined)), 'VVAULT_INVALID_ARGUMENT', /a list/);
});

test('a vault, or a folder in it, of somebody else', { skip: process.platform === 'win32' && 'no such modes' }, (t) => {
  const files = temporaryVault(t);
  const vault = files.path('vault');
  for (const [user, below] of [
    ['ann', 'capsules'],
    ['bob', 'capsules'],
    ['cyd', 'transcripts/s'],
  ]) {
    fs.mkdirSync(path.join(vault, 'users', user, below), { recursive: true });
  }
  fs.writeFileSync(path.join(vault, 'users/ann/capsules/a.json'), '{"raw":"one"}');
  const [ann, bob, cyd] = ['ann', 'bob/capsules', 'cyd/transcripts'].map((below) => path.join(vault, 'users', below));
  // The tests may be run by root, whom no mode keeps out.
  const who = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const probe = spawnSync(process.execPath, ['-e', `require(${JSON.stringify(REPOSITORY)})`], who);
  if (probe.status !== 0) return t.skip('nobody but root can load the package here');
  const look = (/** @type {string} */ root) => {
    const program = `
      const { Vault } = require(${JSON.stringify(REPOSITORY)});
      Vault.open(${JSON.stringify(root)}, { cacheDir: null }).then(async (vault) => {
        for (const user of ['ann', 'bob', 'cyd', 'nobody']) console.log(user, (await vault.readMemories(user)).length);
        for (const { path, reason } of await vault.verifyCapsules()) console.log(path, reason);
        await vault.close();
      }).catch(({ code, path }) => console.log(code, path));`;
    const { stdout, stderr } = spawnSync(process.execPath, ['-e', program], { ...who, encoding: 'utf8' });
    return { told: stdout.trim().split('\n'), warned: stderr.trim().split('\n') };
  };
  fs.chmodSync(files.root, 0o755);
  const folders = [ann, bob, cyd];
  atEnd(t, () => {
    for (const folder of [files.root, vault, ...folders]) fs.chmodSync(folder, 0o755);
  });
  for (const folder of folders) fs.chmodSync(folder, 0);
  const { told, warned } = look(vault);
  const unknown = folders.map((folder) => `${folder} EACCES: permission denied, scandir '${folder}'`);
  assert.deepStrictEqual(told, ['ann 0', 'bob 0', 'cyd 0', 'nobody 0', ...unknown]);
  for (const folder of folders) {
    assert.ok(
      warned.some((line) => line.includes(`EACCES: permission denied`) && line.includes(folder)),
      warned.join('\n'),
    );
  }
  assert.ok(!warned.some((line) => line.includes('nobody')), warned.join('\n'));
  // As Chatty's own reader, which takes such a folder for a missing one.
  const dropIn = `
    const { readMemories } = require(${JSON.stringify(REPOSITORY)});
    const config = ${JSON.stringify(vaultAt(vault).config)};
    readMemories(config, 'ann').then((memories) => console.log(memories.length));`;
  const quiet = spawnSync(process.execPath, ['-e', dropIn], { ...who, encoding: 'utf8' });
  assert.deepStrictEqual([quiet.stdout, quiet.stderr], ['0\n', '']);
  fs.chmodSync(vault, 0);
  assert.deepStrictEqual(look(vault).told, [`VVAULT_PERMISSION ${vault}`]);
  fs.chmodSync(files.root, 0);
  assert.deepStrictEqual(look(vault).told, [`VVAULT_PERMISSION ${vault}`]);
});

test('what is no option, no signal, and no JSON', async (t) => {
  const { files, vault } = await openVault(t);
  const argument = 'VVAULT_INVALID_ARGUMENT';
  const any = (/** @type {unknown} */ value) => /** @type {any} */ (value);
  await refuses(() => vault.readMemories('ann', any(null)), argument, /options must be an object/);
  await refuses(() => new CapsuleLoader(any(null)), argument, /options must be an object/);
  for (const signal of [any({}), any('now')]) {
    await refuses(() => Vault.open(files.root, { signal }), argument, /signal must be an AbortSignal/);
    await refuses(() => vault.readMemories('ann', { signal }), argument, /signal must be an AbortSignal/);
  }
  const reason = new Error('enough');
  const signal = AbortSignal.abort(reason);
  await assert.rejects(vault.readMemories('ann', { signal }), reason);
  await assert.rejects(Vault.open(files.root, { signal }), reason);
  // As those of other packages, which know no reasons.
  const other = Object.assign(new EventTarget(), { aborted: true });
  await refuses(() => Vault.open(files.root, { signal: any(other) }), 'VVAULT_ABORTED', /ended by its signal/);
  other.aborted = false;
  const reading = vault.readMemories('ann', { signal: any(other) });
  other.dispatchEvent(new Event('abort'));
  await refuses(() => reading, 'VVAULT_ABORTED', /ended by its signal/);

  const circle = { metadata: { instance_name: 'Nova' }, itself: {} };
  circle.itself = circle;
  for (const capsule of [circle, { metadata: {}, count: 1n }]) {
    await refuses(() => vault.storeCapsule(any(capsule)), argument, /can't be written as JSON: ./);
    await refuses(() => new CapsuleLoader().restoreConstruct(capsule), argument, /can't be written as JSON: ./);
  }
  await refuses(
    () => new CapsuleLoader().loadCapsule('x', any(5)),
    argument,
    /expectedTetherSignature must be a string/,
  );
});

test('options that would be passed over, where they say whose or which', async (t) => {
  const { files, vault } = await openVault(t);
  const other = files.path('users/bob/instances/nova-001/identity/nova-001.capsule');
  fs.mkdirSync(path.dirname(other), { recursive: true });
  fs.writeFileSync(other, constructText('a secret of bob'));
  const any = (/** @type {unknown} */ value) => /** @type {any} */ (value);
  const argument = 'VVAULT_INVALID_ARGUMENT';
  for (const options of [{ userId: '' }, { userID: 'ann' }, { user: 'ann' }, 'ann']) {
    await refuses(() => vault.restoreConstruct('nova-001', any(options)), argument, /userId|options must be/);
  }
  await refuses(() => vault.restoreConstruct('nova-001', { userId: 'ann' }), 'VVAULT_NO_CONSTRUCT', /no capsule/);
  for (const call of [
    () => vault.retrieveCapsule('Nova', any({ UUID: 'a' })),
    () => vault.retrieveCapsule('Nova', any('a')),
    () => vault.listCapsules('Nova', any({ Tag: 'a' })),
    () => vault.listCapsules('Nova', any('a')),
    () => vault.verifyCapsules(any({ Instances: [] })),
    () => vault.verifyCapsules(any('Nova')),
    () => vault.storeCapsule('{}', any({ reFingerprint: true })),
    () => vault.createRuntimeConfig('nova-001', 'ann', any({ Write: true })),
    () => Vault.open(files.root, any({ directories: { Users: 'x' } })),
  ]) {
    await refuses(call, argument, /it is called|options must be/);
  }
  await refuses(() => Vault.open(files.root, { cacheDir: '' }), argument, /cacheDir/);
});

test('nothing is told once a vault is closed', async (t) => {
  const { vault } = await openVault(t);
  /** @type {string[]} */
  const told = [];
  vault.on('close', () => told.push('close'));
  vault.on('capsule:imported', () => told.push('imported'));
  const storing = vault.storeCapsule(constructText('a'));
  await vault.close();
  await storing.catch(() => {});
  assert.deepStrictEqual(told, ['close']);
});

test('users of a folder that a link leads to, out of the vault, are not told', {
  skip: process.platform === 'win32',
}, async (t) => {
  const { files, vault } = await openVault(t);
  const outside = temporaryVault(t);
  outside.write('eve', 'a.json', '{}');
  fs.symlinkSync(outside.path('users'), files.path('users'));
  assert.deepStrictEqual(await vault.listUsers(), []);
  fs.rmSync(files.path('users'));
  files.write('ann', 'a.json', '{}');
  assert.deepStrictEqual(await vault.listUsers(), ['ann']);
});

test('in a realm of its own, as Jest makes one, errors have their codes; and timers may be others', async (t) => {
  const files = temporaryVault(t);
  files.write('ann', 'a.json', { raw: 'a', created_ts: '5. Jan 2025 foo' });
  const program = `
    const Module = require('node:module');
    const vm = require('node:vm');
    const context = vm.createContext({ process, Buffer, console, URL, AbortSignal, performance });
    const compile = Module.prototype._compile;
    // As Jest does: each file of the package is run in the context, the engine and Node.js's own modules are shared.
    Module.prototype._compile = function (text, file) {
      if (!file.includes('lib') && !file.endsWith('index.js')) return compile.call(this, text, file);
      const wrapped = vm.runInContext('(function (exports, require, module, __filename, __dirname) {' + text + '\\n})', context);
      return wrapped.call(this.exports, this.exports, (id) => this.require(id), this, file, require('node:path').dirname(file));
    };
    const { Vault, readMemories } = require(${JSON.stringify(REPOSITORY)});
    (async () => {
      const told = [];
      await Vault.open('/none').catch(({ code, message }) => told.push(code, /no such folder/.test(message)));
      const config = { vvaultPath: ${JSON.stringify(files.root)}, directories: { users: 'users', capsules: 'capsules', transcripts: 'transcripts' }, logging: {} };
      console.error = () => {};
      await readMemories(config, '../x').catch(({ code, message }) => told.push(code, message.includes('{')));
      // No timer of the realm's ever comes.
      context.setImmediate = () => {};
      told.push((await readMemories(config, 'ann'))[0].content);
      console.log(JSON.stringify(told));
    })();`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8', timeout: 30_000 });
  assert.strictEqual(stdout.trim(), JSON.stringify(['VVAULT_NO_VAULT', true, 'VVAULT_OUTSIDE', false, 'a']), stderr);
});
