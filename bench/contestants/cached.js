'use strict';

/**
 * A careful cache in JavaScript: every call lists the folder and stats every file, and reads again what differs in
 * size, inode, modification or change time (in nanoseconds). `checking` says how: 'sync' stops the event loop,
 * 'pooled' keeps 64 under way.
 */

const fs = require('node:fs');
const path = require('node:path');

const { POOL_WIDTH, capsulesPathOf, isCapsuleName, memoryOf, newestByMoment, pooled } = require('./memories');

/** @param {{ root: string, userId: string, checking: 'sync' | 'pooled' }} parameters */
function create({ checking, ...vault }) {
  const capsulesPath = capsulesPathOf(vault);
  const look = checking === 'sync' ? lookSynchronously : lookPooled;
  /** @type {Map<string, { status: fs.BigIntStats, memory: object }>} */
  let known = new Map();
  /** All that is known, newest first. */
  let newestFirst = [];
  return {
    async call({ limit }) {
      const seen = await look(capsulesPath, known);
      if (seen.changed || seen.entries.size !== known.size) {
        newestFirst = newestByMoment(
          [...seen.entries.values()].map(({ memory }) => memory),
          0,
        );
      }
      known = seen.entries;
      return limit > 0 ? newestFirst.slice(0, limit) : newestFirst.slice();
    },
    async close() {},
  };
}

/**
 * @param {fs.BigIntStats} before
 * @param {fs.BigIntStats} now
 */
function sameStatus(before, now) {
  return (
    before.mtimeNs === now.mtimeNs &&
    before.ctimeNs === now.ctimeNs &&
    before.size === now.size &&
    before.ino === now.ino
  );
}

function lookSynchronously(capsulesPath, known) {
  const entries = new Map();
  let changed = false;
  for (const filename of fs.readdirSync(capsulesPath).filter(isCapsuleName)) {
    const filePath = path.join(capsulesPath, filename);
    const status = fs.statSync(filePath, { bigint: true });
    let entry = known.get(filename);
    if (!entry || !sameStatus(entry.status, status)) {
      entry = { status, memory: memoryOf(JSON.parse(fs.readFileSync(filePath, 'utf8')), filename) };
      changed = true;
    }
    entries.set(filename, entry);
  }
  return { entries, changed };
}

async function lookPooled(capsulesPath, known) {
  const filenames = (await fs.promises.readdir(capsulesPath)).filter(isCapsuleName);
  // In the folder's order, whichever answer comes first.
  const entries = new Map(filenames.map((filename) => [filename, undefined]));
  let changed = false;
  await pooled(filenames, POOL_WIDTH, (filename, done) => {
    const filePath = path.join(capsulesPath, filename);
    fs.stat(filePath, { bigint: true }, (statError, status) => {
      const entry = known.get(filename);
      if (statError || (entry && sameStatus(entry.status, status))) {
        entries.set(filename, entry);
        done(statError);
        return;
      }
      fs.readFile(filePath, 'utf8', (readError, text) => {
        if (!readError) {
          entries.set(filename, { status, memory: memoryOf(JSON.parse(text), filename) });
          changed = true;
        }
        done(readError);
      });
    });
  });
  return { entries, changed };
}

module.exports = { create };
