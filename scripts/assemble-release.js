'use strict';

// Makes the folders that are published, after every target was built: one for each platform, and the package itself, which
// asks for them in exactly its own version. Refuses if one is missing or not what it should be, as publishing can't be
// taken back.
//
//   node scripts/assemble-release.js ARTIFACTS OUTPUT TAG

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { inspect } = require('../lib/binary');
const { REPOSITORY } = require('./steps');

/** The oldest glibc that the published binaries run with: that of CentOS 7, and of arm64's beginnings. */
const GLIBC = 17;

/**
 * @typedef {object} Release
 * @property {string} artifacts The folder below which the binaries of all targets lie.
 * @property {string} output
 * @property {string} tag The version, with a `v` before it.
 * @property {number} [glibc] The minor version of glibc 2 that no binary may need more than.
 */

/**
 * @param {Release} release
 * @returns {string[]} The folders, in the order in which they must be published.
 */
function assembleRelease({ artifacts, output, tag, glibc = GLIBC }) {
  const manifest = readJson(path.join(REPOSITORY, 'package.json'));
  const binaries = binariesBelow(artifacts);
  const platforms = fs.readdirSync(path.join(REPOSITORY, 'npm')).map((name) => {
    return { name, manifest: readJson(path.join(REPOSITORY, 'npm', name, 'package.json')) };
  });

  const faults = [];
  if (tag !== `v${manifest.version}`)
    faults.push(`the tag is ${tag}, and package.json has version ${manifest.version}`);
  if (platforms.length !== manifest.napi.targets.length) faults.push('npm/ has other platforms than napi.targets');
  for (const platform of platforms) {
    const found = binaries.filter((file) => path.basename(file) === platform.manifest.main);
    if (platform.manifest.version !== manifest.version) faults.push(`npm/${platform.name} has another version`);
    if (found.length !== 1) faults.push(`${platform.manifest.main} is there ${found.length} times`);
    else faults.push(...faultsOf(found[0], platform.manifest, glibc));
  }
  const expected = platforms.map((platform) => platform.manifest.main);
  for (const file of binaries)
    if (!expected.includes(path.basename(file))) faults.push(`${file} belongs to no platform`);
  if (faults.length > 0) throw new Error(faults.join('\n'));

  const folders = platforms.map((platform) => {
    const folder = path.join(output, platform.manifest.name);
    fs.cpSync(path.join(REPOSITORY, 'npm', platform.name), folder, { recursive: true });
    fs.copyFileSync(path.join(REPOSITORY, 'LICENSE'), path.join(folder, 'LICENSE'));
    const binary = binaries.find((file) => path.basename(file) === platform.manifest.main);
    fs.copyFileSync(String(binary), path.join(folder, platform.manifest.main));
    return folder;
  });
  return [...folders, packageWithoutBinaries(manifest, platforms, path.join(output, manifest.name))];
}

/**
 * @param {string} file
 * @param {any} manifest
 * @param {number} glibc
 */
function faultsOf(file, { main, os, cpu, libc }, glibc) {
  const found = inspect(file);
  if (found === null) return [`${main} is no binary`];
  const { system, processor, isWhole } = found;
  if (system !== os[0] || processor !== cpu[0]) return [`${main} is for ${system}-${processor}`];
  if (!isWhole) return [`${main} is cut off`];
  const content = fs.readFileSync(file, 'latin1');
  const needsGlibc = content.includes('\0libc.so.6\0');
  if (libc !== undefined && needsGlibc !== (libc[0] === 'glibc')) return [`${main} is for another C library`];
  const newest = Math.max(0, ...Array.from(content.matchAll(/\0GLIBC_2\.(\d+)/g), ([, minor]) => Number(minor)));
  return newest > glibc ? [`${main} needs glibc 2.${newest}; at most 2.${glibc} was promised`] : [];
}

/**
 * @param {any} manifest
 * @param {{ manifest: any }[]} platforms
 * @param {string} folder
 */
function packageWithoutBinaries(manifest, platforms, folder) {
  const told = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: REPOSITORY,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  for (const { path: name } of JSON.parse(told)[0].files) {
    if (!name.endsWith('.node')) fs.cpSync(path.join(REPOSITORY, name), path.join(folder, name));
  }
  const { scripts: _, devDependencies: __, ...published } = manifest;
  published.optionalDependencies = Object.fromEntries(
    platforms.map((platform) => [platform.manifest.name, manifest.version]),
  );
  fs.writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(published, null, 2)}\n`);
  return folder;
}

/**
 * @param {string} folder
 * @returns {string[]}
 */
function binariesBelow(folder) {
  return fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.node'))
    .map((name) => path.join(folder, name));
}

/** @param {string} file */
function readJson(file) {
  return JSON.parse(fs.readFileSync(file, 'utf8'));
}

if (require.main === module) {
  const [artifacts, output, tag] = process.argv.slice(2);
  if (!artifacts || !output || !tag) {
    console.error('usage: node scripts/assemble-release.js ARTIFACTS OUTPUT TAG');
    process.exitCode = 2;
  } else {
    for (const folder of assembleRelease({ artifacts, output, tag })) console.log(folder);
  }
}

module.exports = { assembleRelease };
