'use strict';

// Without a binary that works, `require` throws one error that says why and what to do.

const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { REPOSITORY, temporaryVault } = require('./support/temporary-vault');

const { binaryName } = require('../package.json').napi;

/**
 * A copy of the package without its binary.
 *
 * @param {import('node:test').TestContext} t
 * @returns {string} Its folder.
 */
function packageWithoutBinary(t) {
  const folder = temporaryVault(t).root;
  for (const part of ['package.json', 'index.js', 'index.mjs', 'lib', 'binding/index.js']) {
    fs.cpSync(path.join(REPOSITORY, part), path.join(folder, part), { recursive: true });
  }
  return folder;
}

/**
 * The name of this platform's binary, and of the package that holds it where the package comes from a registry.
 */
function platformNames() {
  const binary = fs.readdirSync(path.join(REPOSITORY, 'binding')).find((name) => name.endsWith('.node'));
  assert.ok(binary, 'there is a binary: npm run build');
  const platform = binary.slice(binaryName.length + 1, -'.node'.length);
  return { binary, platformPackage: `vvault-native-${platform}` };
}

/**
 * @param {string} folder
 * @returns {{ name: string, message: string, code: string, hasCause: boolean }} What `require` throws.
 */
function thrownByRequire(folder) {
  const program = `
    try {
      require(${JSON.stringify(folder)});
    } catch (error) {
      const { name, message, code, cause } = error;
      console.log(JSON.stringify({ name, message, code, hasCause: cause instanceof Error }));
    }`;
  const { NAPI_RS_NATIVE_LIBRARY_PATH: _, ...env } = process.env;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['-e', program], {
    env,
    cwd: folder,
    encoding: 'utf8',
  });
  assert.strictEqual(status, 0, stderr);
  return JSON.parse(stdout);
}

const WHAT_TO_DO =
  'Install it again for this platform (without --omit=optional), or build it with `npm run build` where Rust is installed.';

test('no binary: the error says for which platform, and what to do', (t) => {
  const thrown = thrownByRequire(packageWithoutBinary(t));
  const head = `vvault-native has no binary that works on ${process.platform}-${process.arch} (Node ${process.version}): `;
  assert.deepStrictEqual(thrown, {
    name: 'Error',
    message: `${head}none is installed. ${WHAT_TO_DO}`,
    code: 'VVAULT_NO_BINARY',
    hasCause: true,
  });
});

test('a binary that is none: the error has the loader’s own reason', (t) => {
  const folder = packageWithoutBinary(t);
  const { binary } = platformNames();
  const file = path.join(folder, 'binding', binary);
  fs.writeFileSync(file, 'This is a text and no library, and long enough to be looked at as one.\n'.repeat(100));
  const thrown = thrownByRequire(folder);
  assert.strictEqual(thrown.code, 'VVAULT_NO_BINARY');
  assert.ok(thrown.message.endsWith(WHAT_TO_DO), thrown.message);
  assert.ok(thrown.message.includes(binary), thrown.message);
  assert.doesNotMatch(thrown.message, /Cannot find|npm has a bug/);
  if (process.platform === 'linux') assert.match(thrown.message, /invalid ELF header/);
});

test('a platform package whose binary can’t be loaded: the error has that reason too', (t) => {
  const folder = packageWithoutBinary(t);
  const { binary, platformPackage } = platformNames();
  const place = path.join(folder, 'node_modules', platformPackage);
  fs.mkdirSync(place, { recursive: true });
  fs.writeFileSync(
    path.join(place, 'package.json'),
    JSON.stringify({ name: platformPackage, version: '0.1.0', main: binary }),
  );
  fs.writeFileSync(path.join(place, binary), 'no library\n'.repeat(100));
  const thrown = thrownByRequire(folder);
  assert.strictEqual(thrown.code, 'VVAULT_NO_BINARY');
  assert.ok(thrown.message.includes(path.join(platformPackage, binary)), thrown.message);
  if (process.platform === 'linux') assert.match(thrown.message, /invalid ELF header/);
});

test('the copy works once the binary is there', (t) => {
  const folder = packageWithoutBinary(t);
  const { binary } = platformNames();
  fs.copyFileSync(path.join(REPOSITORY, 'binding', binary), path.join(folder, 'binding', binary));
  const program = `console.log(typeof require(${JSON.stringify(folder)}).readMemories)`;
  assert.strictEqual(spawnSync(process.execPath, ['-e', program], { encoding: 'utf8' }).stdout, 'function\n');
});
