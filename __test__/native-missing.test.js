'use strict';

// Without a binary that works, `require` throws one error that says why and what to do.

const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { REPOSITORY, temporaryVault } = require('./support/temporary-vault');

const { binaryName } = require('../package.json').napi;

/** The types of Node.js call the report an object without members. */
const isGlibc = Boolean(/** @type {any} */ (process.report.getReport()).header.glibcVersionRuntime);

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
 * @param {string} name
 * @param {string} binary
 * @param {Buffer} content
 */
function installPlatformPackage(folder, name, binary, content) {
  const place = path.join(folder, 'node_modules', name);
  fs.mkdirSync(place, { recursive: true });
  fs.writeFileSync(path.join(place, 'package.json'), JSON.stringify({ name, version: '0.1.0', main: binary }));
  fs.writeFileSync(path.join(place, binary), content);
}

/**
 * @param {Buffer} content
 * @param {[number, ...number[]]} change A place, and the bytes that are there from then on.
 */
function patched(content, [place, ...bytes]) {
  const copy = Buffer.from(content);
  copy.set(bytes, place);
  return copy;
}

/**
 * @param {Buffer} content
 * @param {string} from
 * @param {string} to As long.
 */
function renamed(content, from, to) {
  return Buffer.from(content.toString('latin1').replaceAll(from, to), 'latin1');
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
  'Install it again on this system (without --omit=optional), or build it with `npm run build` where Rust is installed.';

test('no binary: the error says for which platform, and what to do', (t) => {
  const thrown = thrownByRequire(packageWithoutBinary(t));
  const head = `vvault-native has no binary that works on ${process.platform}-${process.arch} (Node ${process.version}`;
  assert.ok(thrown.message.startsWith(head), thrown.message);
  assert.ok(thrown.message.endsWith(`): none is installed. ${WHAT_TO_DO}`), thrown.message);
  assert.strictEqual(thrown.code, 'VVAULT_NO_BINARY');
  assert.ok(thrown.hasCause);
});

test('only a binary of another system, as in a node_modules that was copied: the error names it', (t) => {
  const folder = packageWithoutBinary(t);
  const other = process.platform === 'win32' ? 'linux-x64-gnu' : 'win32-x64-msvc';
  const binary = `${binaryName}.${other}.node`;
  installPlatformPackage(folder, `vvault-native-${other}`, binary, Buffer.from('whatever'));
  const { message, code } = thrownByRequire(folder);
  assert.strictEqual(code, 'VVAULT_NO_BINARY');
  assert.match(message, /: there is only /);
  assert.ok(message.includes(path.join(`vvault-native-${other}`, binary)), message);
});

test('a binary that this system can’t run: the error says what is wrong with it', {
  skip: process.platform !== 'linux' && 'in the words of Linux',
}, (t) => {
  const folder = packageWithoutBinary(t);
  const { binary } = platformNames();
  const whole = fs.readFileSync(path.join(REPOSITORY, 'binding', binary));
  const file = path.join(folder, 'binding', binary);
  const tooShort = isGlibc ? /\.node: file too short/ : /\.node: Exec format error/;
  /** @type {[string, (content: Buffer) => Buffer, RegExp][]} */
  const faults = [
    // Without a look beforehand, these two end the process.
    ['half a download', (content) => content.subarray(0, content.length / 2), /\.node is cut off\./],
    ['nearly a whole one', (content) => content.subarray(0, content.length * 0.95), /\.node is cut off\./],
    ['a few bytes', (content) => content.subarray(0, 20), tooShort],
    ['nothing', () => Buffer.alloc(0), tooShort],
    ['another processor', (content) => patched(content, [18, 0x16]), /\.node is for linux-processor 22\./],
    [
      'a Mac’s',
      (content) => patched(content, [0, 0xcf, 0xfa, 0xed, 0xfe, 12, 0, 0, 1]),
      /\.node is for darwin-arm64\./,
    ],
  ];
  if (isGlibc) {
    faults.push(
      // As if it were made for musl: another C library, which is not here.
      [
        'another C library',
        (content) => renamed(content, '\0libc.so.6\0', '\0libc.none\0'),
        /\.node: .*libc\.none: cannot open/,
      ],
      ['a newer glibc', (content) => renamed(content, 'GLIBC_2.', 'GLIBC_9.'), /version `GLIBC_9\..*' not found/],
    );
  } else {
    // As if it were made for glibc.
    faults.push([
      'another C library',
      (content) => renamed(content, '\0libc.so\0', '\0none.so\0'),
      /loading shared library none\.so: .*\.node\)/,
    ]);
  }
  for (const [name, change, expected] of faults) {
    fs.writeFileSync(file, change(whole));
    const { message, code } = thrownByRequire(folder);
    assert.strictEqual(code, 'VVAULT_NO_BINARY', name);
    assert.match(message, expected, name);
    assert.ok(message.includes(file), `${name}: ${message}`);
    assert.ok(message.endsWith(WHAT_TO_DO), message);
  }
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
  if (isGlibc) assert.match(thrown.message, /invalid ELF header/);
});

test('a platform package whose binary can’t be loaded: the error has that reason too', (t) => {
  const folder = packageWithoutBinary(t);
  const { binary, platformPackage } = platformNames();
  installPlatformPackage(folder, platformPackage, binary, Buffer.from('no library\n'.repeat(100)));
  const thrown = thrownByRequire(folder);
  assert.strictEqual(thrown.code, 'VVAULT_NO_BINARY');
  assert.ok(thrown.message.includes(path.join(platformPackage, binary)), thrown.message);
  if (isGlibc) assert.match(thrown.message, /invalid ELF header/);
});

test('the copy works once the binary is there', (t) => {
  const folder = packageWithoutBinary(t);
  const { binary } = platformNames();
  fs.copyFileSync(path.join(REPOSITORY, 'binding', binary), path.join(folder, 'binding', binary));
  const program = `console.log(typeof require(${JSON.stringify(folder)}).readMemories)`;
  assert.strictEqual(spawnSync(process.execPath, ['-e', program], { encoding: 'utf8' }).stdout, 'function\n');
});

test('where Node.js loads no addons at all, the error names the flags', () => {
  const { stderr, status } = spawnSync(process.execPath, ['--no-addons', '-e', "require('./index.js')"], {
    cwd: REPOSITORY,
    encoding: 'utf8',
  });
  assert.strictEqual(status, 1);
  assert.match(stderr, /addons is disabled\. Start Node\.js without --no-addons, .* --allow-addons\./);
  assert.match(stderr, /VVAULT_NO_BINARY/);
});
