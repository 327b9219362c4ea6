'use strict';

/**
 * What happens in a process of its own for the suite `store`: what vvault-native does with a vault of construct
 * capsules, and the least that the machine has to do for the same. Times are milliseconds, one for each call.
 */

const { createHash } = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { setImmediate: nextTurn } = require('node:timers/promises');
const { Worker, isMainThread, parentPort } = require('node:worker_threads');

const { StallProbe, residentMemory } = require('../probes');

/**
 * @typedef {object} Parameters
 * @property {string} root of the vault
 * @property {string} instance
 * @property {string} capsulesPath
 * @property {string} indexPath
 * @property {number} repeats so many calls at most
 * @property {number} budget none begins later than this, in milliseconds
 *
 * @typedef {Parameters & { textsPath: string, atOnce: number, withBatch: boolean }} StoreParameters
 */

/** @param {() => unknown} work */
async function timed(work) {
  const begin = performance.now();
  const value = await work();
  return { value, time: performance.now() - begin };
}

/**
 * @param {{ repeats: number, budget: number }} limits
 * @param {() => unknown} work
 * @param {() => void} [prepare] done before each, and not timed
 */
async function timesOf({ repeats, budget }, work, prepare) {
  const times = [];
  const end = performance.now() + budget;
  while (times.length < repeats && (times.length === 0 || performance.now() < end)) {
    prepare?.();
    times.push((await timed(work)).time);
    await nextTurn();
  }
  return times;
}

/** @param {string} root */
async function openVault(root) {
  const { Vault } = require('../..');
  return timed(() => Vault.open(root));
}

/**
 * Puts a file there again with the same bytes, by a rename as another process of ours would.
 * @param {string} filePath
 */
function rewrite(filePath) {
  fs.writeFileSync(`${filePath}.part`, fs.readFileSync(filePath));
  fs.renameSync(`${filePath}.part`, filePath);
}

/** @param {StoreParameters} parameters */
async function store({ root, instance, textsPath, atOnce, withBatch, budget }) {
  const texts = JSON.parse(fs.readFileSync(textsPath, 'utf8'));
  const first = texts.shift();
  const batch = texts.splice(0, atOnce);
  const { value: vault, time: open } = await openVault(root);
  const report = { open, first: (await timed(() => vault.storeCapsule(first))).time };
  report.times = await timesOf({ repeats: texts.length, budget }, () => vault.storeCapsule(texts.shift()));
  if (withBatch) {
    report.batch = (await timed(() => Promise.all(batch.map((text) => vault.storeCapsule(text))))).time;
  }
  report.stored = 1 + report.times.length + (withBatch ? batch.length : 0);
  report.listed = (await vault.listCapsules(instance)).length;
  await vault.close();
  return report;
}

/** @param {StoreParameters} parameters */
async function storeStalls({ root, textsPath, atOnce, budget }) {
  const texts = JSON.parse(fs.readFileSync(textsPath, 'utf8'));
  const batch = texts.splice(0, atOnce);
  const { value: vault } = await openVault(root);
  const single = await StallProbe.during(() =>
    timesOf({ repeats: 10, budget }, () => vault.storeCapsule(texts.shift())),
  );
  const together = await StallProbe.during(() => Promise.all(batch.map((text) => vault.storeCapsule(text))));
  await vault.close();
  return { single, together };
}

/**
 * The least for a store: the capsule and the index written beside their places, synced, and renamed.
 * @param {StoreParameters} parameters
 */
async function storeFloor({ capsulesPath, indexPath, textsPath, atOnce, budget }) {
  const texts = JSON.parse(fs.readFileSync(textsPath, 'utf8'));
  const index = fs.readFileSync(indexPath);
  const batch = texts.splice(0, atOnce);
  let number = 0;
  const nextPath = () => {
    number += 1;
    return path.join(capsulesPath, `floor_${number}.capsule`);
  };
  const folders = [capsulesPath, path.dirname(indexPath)];
  const limits = { repeats: Math.floor(texts.length / 3), budget };
  const report = {};
  report.capsule = await timesOf(limits, () => putDown(nextPath(), texts.pop()));
  report.both = await timesOf(limits, () => {
    putDown(nextPath(), texts.pop());
    putDown(indexPath, index);
  });
  report.folders = await timesOf(limits, () => {
    putDown(nextPath(), texts.pop());
    syncFolder(folders[0]);
    putDown(indexPath, index);
    syncFolder(folders[1]);
  });
  report.batch = (
    await timed(async () => {
      await Promise.all(batch.map((text) => putDownPooled(nextPath(), text)));
      await putDownPooled(indexPath, index);
    })
  ).time;
  return report;
}

/**
 * @param {string} filePath
 * @param {string | Buffer} content
 */
function putDown(filePath, content) {
  const file = fs.openSync(`${filePath}.part`, 'w');
  fs.writeFileSync(file, content);
  fs.fsyncSync(file);
  fs.closeSync(file);
  fs.renameSync(`${filePath}.part`, filePath);
}

/**
 * @param {string} filePath
 * @param {string | Buffer} content
 */
async function putDownPooled(filePath, content) {
  const file = await fs.promises.open(`${filePath}.part`, 'w');
  await file.writeFile(content);
  await file.sync();
  await file.close();
  await fs.promises.rename(`${filePath}.part`, filePath);
}

/** @param {string} folder */
function syncFolder(folder) {
  if (process.platform === 'win32') {
    return;
  }
  const open = fs.openSync(folder, 'r');
  fs.fsyncSync(open);
  fs.closeSync(open);
}

/** @param {Parameters} parameters */
async function retrieve({ root, instance, indexPath, ...limits }) {
  const { value: vault, time: open } = await openVault(root);
  const latest = async () => {
    const { success, metadata, errorMessage } = await vault.retrieveCapsule(instance);
    if (!success) {
      throw new Error(errorMessage);
    }
    return metadata.uuid;
  };
  const first = await timed(latest);
  const times = await timesOf(limits, latest);
  const timesAfterWrite = await timesOf({ ...limits, repeats: 15 }, latest, () => rewrite(indexPath));
  await vault.close();
  return { open, first: first.time, times, timesAfterWrite, uuid: first.value };
}

/**
 * The least for the latest version with nothing changed since: look whether the index did, read the capsule, hash and
 * parse it.
 * @param {Parameters} parameters
 */
async function retrieveFloor({ indexPath, capsulesPath, ...limits }) {
  const filePath = path.join(capsulesPath, fs.readdirSync(capsulesPath).sort().at(-1));
  return {
    times: await timesOf(limits, () => {
      fs.statSync(indexPath);
      const bytes = fs.readFileSync(filePath);
      return [createHash('sha256').update(bytes).digest('hex'), JSON.parse(bytes.toString())];
    }),
  };
}

/** @param {Parameters} parameters */
async function list({ root, instance, indexPath, ...limits }) {
  const { value: vault, time: open } = await openVault(root);
  const work = () => vault.listCapsules(instance);
  const first = await timed(work);
  const times = await timesOf(limits, work);
  const timesAfterWrite = await timesOf({ ...limits, repeats: 15 }, work, () => rewrite(indexPath));
  const peakMemory = residentMemory().peak;
  const stall = await StallProbe.during(() => timesOf({ ...limits, repeats: 5 }, work));
  await vault.close();
  return { open, first: first.time, times, timesAfterWrite, listed: first.value.length, stall, peakMemory };
}

/**
 * The least for a list: read the index and parse it.
 * @param {Parameters} parameters
 */
async function listFloor({ indexPath, ...limits }) {
  const work = () => Object.values(JSON.parse(fs.readFileSync(indexPath, 'utf8')).capsules).length;
  const first = await timed(work);
  const peakMemory = residentMemory().peak;
  return { first: first.time, times: await timesOf(limits, work), listed: first.value, peakMemory };
}

/** @param {Parameters} parameters */
async function verify({ root, ...limits }) {
  const { value: vault, time: open } = await openVault(root);
  const work = () => vault.verifyCapsules();
  const first = await timed(work);
  const times = await timesOf(limits, work);
  const stall = await StallProbe.during(work);
  const sound = first.value.filter(({ integrity }) => integrity?.valid === true).length;
  await vault.close();
  return { open, first: first.time, times, checked: first.value.length, sound, stall };
}

/**
 * The least for a verification: read every byte and hash it, without understanding any.
 * @param {Parameters & { threads: number }} parameters
 */
async function verifyFloor({ capsulesPath, threads, ...limits }) {
  const hashAll = () =>
    hashFiles(
      capsulesPath,
      fs.readdirSync(capsulesPath).filter((name) => name.endsWith('.capsule')),
    );
  if (threads === 1) {
    return { checked: hashAll(), times: await timesOf(limits, hashAll) };
  }
  const workers = Array.from({ length: threads }, () => new Worker(__filename));
  await Promise.all(workers.map((worker) => once(worker, 'online')));
  const shared = async () => {
    const names = fs.readdirSync(capsulesPath).filter((name) => name.endsWith('.capsule'));
    const answers = workers.map(async (worker, thread) => {
      worker.postMessage({ folder: capsulesPath, names: names.filter((_, place) => place % threads === thread) });
      return (await once(worker, 'message'))[0];
    });
    return (await Promise.all(answers)).reduce((sum, count) => sum + count, 0);
  };
  const checked = await shared();
  const times = await timesOf(limits, shared);
  await Promise.all(workers.map((worker) => worker.terminate()));
  return { checked, times };
}

/**
 * @param {string} folder
 * @param {string[]} names
 */
function hashFiles(folder, names) {
  for (const name of names) {
    createHash('sha256')
      .update(fs.readFileSync(path.join(folder, name)))
      .digest('hex');
  }
  return names.length;
}

if (!isMainThread) {
  parentPort.on('message', ({ folder, names }) => parentPort.postMessage(hashFiles(folder, names)));
}

module.exports = {
  tasks: { store, storeStalls, storeFloor, retrieve, retrieveFloor, list, listFloor, verify, verifyFloor },
};
