'use strict';

// What is published: a package for each platform, and one that asks for them; and nothing if something is missing.

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { assembleRelease } = require('../scripts/assemble-release');
const { REPOSITORY, temporaryVault } = require('./support/temporary-vault');

/** @type {Record<string, any>} */
const { napi, version } = require('../package.json');

const tag = `v${version}`;
const platforms = fs.readdirSync(path.join(REPOSITORY, 'npm')).sort();

/** The beginnings of each system's binaries. @type {Record<string, Buffer>} */
const HEADS = {
  'linux-x64': elf(0x3e),
  'linux-arm64': elf(0xb7),
  'darwin-x64': Buffer.from('cffaedfe07000001', 'hex'),
  'darwin-arm64': Buffer.from('cffaedfe0c000001', 'hex'),
  'win32-x64': pe(0x8664),
  'win32-arm64': pe(0xaa64),
};

/** @param {number} processor */
function elf(processor) {
  const head = Buffer.alloc(64);
  head.write('\x7fELF', 'latin1');
  head.writeUInt16LE(processor, 18);
  return head;
}

/** @param {number} processor */
function pe(processor) {
  const head = Buffer.alloc(128);
  head.write('MZ', 'latin1');
  head.writeUInt32LE(64, 60);
  head.write('PE\0\0', 64, 'latin1');
  head.writeUInt16LE(processor, 68);
  return head;
}

/**
 * Every platform's binary as a build would leave it; this platform's is the real one.
 *
 * @param {import('node:test').TestContext} t
 */
function builtArtifacts(t) {
  const folder = temporaryVault(t).root;
  const artifacts = path.join(folder, 'artifacts');
  const real = fs.readdirSync(path.join(REPOSITORY, 'binding')).find((name) => name.endsWith('.node'));
  const fileOf = (/** @type {string} */ platform) => {
    const file = path.join(artifacts, `binary-${platform}`, `${napi.binaryName}.${platform}.node`);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    return file;
  };
  for (const platform of platforms) {
    const [system, processor, libc] = platform.split('-');
    const end = system === 'linux' ? (libc === 'gnu' ? '\0libc.so.6\0GLIBC_2.17\0' : '\0libc.so\0') : '\0';
    const content = Buffer.concat([HEADS[`${system}-${processor}`], Buffer.from(end.padEnd(4096, '\0'))]);
    fs.writeFileSync(fileOf(platform), content);
    const isHere = real === path.basename(fileOf(platform));
    if (isHere) fs.copyFileSync(path.join(REPOSITORY, 'binding', real), fileOf(platform));
  }
  return { artifacts, output: path.join(folder, 'release'), fileOf };
}

test('a package for each platform, and one that asks for them in its own version', (t) => {
  const { artifacts, output } = builtArtifacts(t);
  const folders = assembleRelease({ artifacts, output, tag, glibc: 99 });
  assert.deepStrictEqual(
    folders.map((folder) => path.basename(folder)),
    [...platforms.map((platform) => `vvault-native-${platform}`), 'vvault-native'],
  );
  for (const platform of platforms) {
    const files = fs.readdirSync(path.join(output, `vvault-native-${platform}`)).sort();
    assert.deepStrictEqual(files, ['LICENSE', 'README.md', 'package.json', `${napi.binaryName}.${platform}.node`]);
  }
  const whole = path.join(output, 'vvault-native');
  const manifest = JSON.parse(fs.readFileSync(path.join(whole, 'package.json'), 'utf8'));
  assert.deepStrictEqual(
    manifest.optionalDependencies,
    Object.fromEntries(platforms.map((platform) => [`vvault-native-${platform}`, version])),
  );
  const files = fs.readdirSync(whole, { recursive: true, encoding: 'utf8' });
  assert.deepStrictEqual(
    files.filter((name) => name.endsWith('.node')),
    [],
    'its own folder has no binary',
  );
  assert.ok(files.includes('index.js') && files.includes('README.md'));

  // As npm lays them out.
  const modules = path.join(path.dirname(output), 'node_modules');
  fs.renameSync(output, modules);
  const program = "console.log(typeof require('vvault-native').readMemories)";
  const ran = execFileSync(process.execPath, ['-e', program], { cwd: path.dirname(modules), encoding: 'utf8' });
  assert.strictEqual(ran, 'function\n');
});

test('what is missing, or not what it should be, is told, and nothing is made', (t) => {
  const { artifacts, output, fileOf } = builtArtifacts(t);
  const refused = (/** @type {RegExp} */ reason, release = {}) => {
    assert.throws(() => assembleRelease({ artifacts, output, tag, glibc: 99, ...release }), { message: reason });
    assert.ok(!fs.existsSync(output));
  };
  refused(/the tag is v99\.0\.0, and package\.json has version/, { tag: 'v99.0.0' });
  refused(/linux-\w+-gnu\.node needs glibc 2\.17; at most 2\.16 was promised/, { glibc: 16 });

  /** @type {[string, () => void, RegExp][]} */
  const faults = [
    ['darwin-x64', () => fs.rmSync(fileOf('darwin-x64')), /darwin-x64\.node is there 0 times/],
    [
      'linux-arm64-musl',
      () => fs.copyFileSync(fileOf('linux-x64-musl'), fileOf('linux-arm64-musl')),
      /is for linux-x64/,
    ],
    [
      'linux-arm64-musl',
      () => fs.copyFileSync(fileOf('linux-arm64-gnu'), fileOf('linux-arm64-musl')),
      /another C library/,
    ],
    [
      'win32-x64-msvc',
      () => fs.writeFileSync(fileOf('win32-x64-msvc'), 'no binary'),
      /win32-x64-msvc\.node is no binary/,
    ],
    ['openbsd-x64', () => fs.writeFileSync(fileOf('openbsd-x64'), ''), /belongs to no platform/],
  ];
  for (const [platform, spoil, reason] of faults) {
    const before = fs.existsSync(fileOf(platform)) ? fs.readFileSync(fileOf(platform)) : null;
    spoil();
    refused(reason);
    if (before === null) fs.rmSync(fileOf(platform));
    else fs.writeFileSync(fileOf(platform), before);
  }
});
