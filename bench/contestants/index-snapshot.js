'use strict';

/**
 * A careful cache file in JavaScript: the rows and the state of every file in one JSON text. Opening it stats every file
 * and reads again what differs.
 */

const fs = require('node:fs');
const path = require('node:path');

const { answer, rowOf } = require('../questions');
const { capsulesPathOf, isCapsuleName } = require('./memories');

/** @param {{ root: string }} vault */
function snapshotPathOf({ root }) {
  return `${root}-snapshot.json`;
}

/** @param {string} filePath */
function stateOf(filePath) {
  const { mtimeNs, ctimeNs, size, ino } = fs.statSync(filePath, { bigint: true });
  return `${mtimeNs} ${ctimeNs} ${size} ${ino}`;
}

/** @param {{ root: string }} vault one user */
function fill(vault) {
  const files = {};
  return {
    /** @param {string} userId @param {import('../questions').Row[]} rows */
    add(userId, rows) {
      const capsulesPath = capsulesPathOf({ root: vault.root, userId });
      for (const row of rows) {
        files[row.filename] = { state: stateOf(path.join(capsulesPath, row.filename)), row };
      }
    },
    done() {
      fs.writeFileSync(snapshotPathOf(vault), JSON.stringify(files));
      return fs.statSync(snapshotPathOf(vault)).size;
    },
  };
}

/** @param {{ root: string, users: string[] }} vault one user */
function create(vault) {
  const capsulesPath = capsulesPathOf({ root: vault.root, userId: vault.users[0] });
  const known = new Map(Object.entries(JSON.parse(fs.readFileSync(snapshotPathOf(vault), 'utf8'))));
  const rows = fs
    .readdirSync(capsulesPath)
    .filter(isCapsuleName)
    .map((filename) => {
      const filePath = path.join(capsulesPath, filename);
      const entry = known.get(filename);
      return entry?.state === stateOf(filePath)
        ? entry.row
        : rowOf(JSON.parse(fs.readFileSync(filePath, 'utf8')), filename);
    })
    .sort((left, right) => right.moment - left.moment);
  return {
    /** @param {import('../questions').Question} question */
    async call(question) {
      return answer(rows, question);
    },
    async close() {},
  };
}

module.exports = { create, fill };
