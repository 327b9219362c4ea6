'use strict';

/**
 * What other processes do beside a watched vault:
 *
 *     node watch-child.js storm ROOT USER COUNT      writes so many memories as fast as it can
 *     node watch-child.js store ROOT CACHE NAME      stores one capsule of this instance
 *     node watch-child.js watch ROOT CACHE [CURSOR]  tells every event as a line of JSON, until it is killed
 *     node watch-child.js open ROOT CACHE            opens, and leaves the vault watched
 *     node watch-child.js unref ROOT CACHE           opens, lets the process end
 *     node watch-child.js close ROOT CACHE           opens, takes one event, closes
 *     node watch-child.js letGo ROOT CACHE           the same, and lets the process end: tells when the vault is collected
 *     node watch-child.js forget ROOT CACHE          opens, adds a listener, keeps no reference to the vault; needs --expose-gc
 */

const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { setTimeout: delay } = require('node:timers/promises');

const { Vault } = require('../..');
const { makeCapsule, timestampOf } = require('./construct-capsules');

const [command, root, ...others] = process.argv.slice(2);

/** @type {Record<string, (...args: string[]) => Promise<void>>} */
const COMMANDS = { storm, store, watch, open, unref, close, forget, letGo };

/**
 * Half of the files are written in place, half are renamed to where they belong.
 *
 * @param {string} user
 * @param {string} count
 */
async function storm(user, count) {
  const folder = path.join(root, 'users', user, 'capsules');
  fs.mkdirSync(folder, { recursive: true });
  for (let place = 0; place < Number(count); place++) {
    const file = path.join(folder, `${place}.json`);
    const text = JSON.stringify({ raw: `memory ${place}`, created_ts: '2026-01-01T00:00:00Z' });
    if (place % 2 === 0) {
      fs.writeFileSync(file, text);
    } else {
      fs.writeFileSync(`${file}.tmp`, text);
      fs.renameSync(`${file}.tmp`, file);
    }
  }
}

/**
 * @param {string} cacheDir
 * @param {string} name
 */
async function store(cacheDir, name) {
  const vault = await Vault.open(root, { cacheDir });
  await vault.storeCapsule(
    makeCapsule({ instanceName: name, uuid: name, timestamp: timestampOf(0), memories: [`stored by ${process.pid}`] }),
  );
  await vault.close();
}

/**
 * @param {string} cacheDir
 * @param {string} [since]
 */
async function watch(cacheDir, since) {
  const vault = await Vault.open(root, { watch: true, cacheDir, since });
  for (const kind of /** @type {const} */ (['imported', 'updated', 'removed', 'rejected'])) {
    vault.on(`capsule:${kind}`, ({ path: file, cursor }) => {
      fs.writeSync(1, `${JSON.stringify({ kind, path: path.relative(root, file), cursor })}\n`);
    });
  }
  fs.writeSync(1, `${JSON.stringify({ kind: 'opened', path: '', cursor: vault.cursor })}\n`);
}

/** @param {string} cacheDir */
async function open(cacheDir) {
  const vault = await Vault.open(root, { watch: true, cacheDir });
  fs.writeSync(1, 'opened\n');
  globalThis.process.on('exit', () => vault.root);
}

/** @param {string} cacheDir */
async function unref(cacheDir) {
  const vault = await Vault.open(root, { watch: true, cacheDir });
  vault.unref();
  fs.writeSync(1, 'opened\n');
}

/** @param {string} cacheDir */
async function close(cacheDir) {
  const vault = await Vault.open(root, { watch: true, cacheDir });
  const told = once(vault, 'capsule:imported');
  await storm('closing', '1');
  await told;
  await vault.close();
  fs.writeSync(1, 'closed\n');
}

/** @param {string} cacheDir */
async function forget(cacheDir) {
  await openAndForget(cacheDir);
  for (let round = 0; round < 5; round++) {
    globalThis.gc?.();
    await delay(10);
  }
  await storm('forgotten', '1');
}

/** @param {string} cacheDir */
async function openAndForget(cacheDir) {
  const vault = await Vault.open(root, { watch: true, cacheDir });
  vault.on('capsule:imported', () => {
    fs.writeSync(1, 'imported\n');
    process.exit();
  });
}

/** @param {string} cacheDir */
async function letGo(cacheDir) {
  const open = async () => {
    const vault = await Vault.open(root, { watch: true, cacheDir });
    vault.on('capsule:imported', () => vault.root);
    return new WeakRef(vault.unref());
  };
  const reference = await open();
  for (let round = 0; round < 1000 && reference.deref() !== undefined; round++) {
    // A reference that was followed holds until the event loop's turn is over.
    await delay(1);
    globalThis.gc?.();
  }
  fs.writeSync(1, reference.deref() === undefined ? 'collected\n' : 'held\n');
}

COMMANDS[command](...others).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
