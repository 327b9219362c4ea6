'use strict';

// The same names are exported by index.js, by index.mjs, and in index.d.ts.

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const vvault = require('..');
const { REPOSITORY, temporaryVault } = require('./support/temporary-vault');

const names = Object.keys(vvault).sort();

test('an ES module gets the same by name and as the default', async () => {
  const module = await import('../index.mjs');
  const exported = Object.keys(module).filter((name) => name !== 'default');
  assert.deepStrictEqual(exported.sort(), names);
  assert.strictEqual(module.default, vvault);
  for (const name of names) assert.strictEqual(/** @type {any} */ (module)[name], /** @type {any} */ (vvault)[name]);
});

test('the package is found under its own name', async () => {
  // Not written as literals, so that no bundler or type checker resolves them.
  const name = JSON.parse(fs.readFileSync(path.join(REPOSITORY, 'package.json'), 'utf8')).name;
  assert.strictEqual(require(name), vvault);
  assert.strictEqual((await import(name)).readMemories, vvault.readMemories);
  assert.strictEqual(typeof require(`${name}/package.json`).version, 'string');
  assert.throws(() => require(`${name}/lib/read-memories`), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' });
});

test('index.d.ts declares exactly the values that are exported', (t) => {
  const folder = temporaryVault(t).root;
  const file = path.join(folder, 'names.ts');
  const declarations = path.join(REPOSITORY, 'index');
  // An object of this type has every declared value as a key, and no other.
  const keys = names.map((name) => `${JSON.stringify(name)}: true`).join(', ');
  fs.writeFileSync(
    file,
    `import type * as declared from ${JSON.stringify(declarations)};
     export const names: Record<Exclude<keyof typeof declared, 'default'>, true> = { ${keys} };`,
  );
  const compiler = path.join(REPOSITORY, 'node_modules/typescript/bin/tsc');
  const types = path.join(REPOSITORY, 'node_modules/@types');
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--typeRoots', types];
  try {
    execFileSync(process.execPath, [compiler, ...options, '--types', 'node', file], { cwd: folder, encoding: 'utf8' });
  } catch (error) {
    assert.fail(String(/** @type {any} */ (error).stdout));
  }
});
