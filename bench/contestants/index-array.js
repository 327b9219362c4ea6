'use strict';

/**
 * The plain way to answer at once: all rows in an array, newest first, kept up to date by `fs.watch`. It takes the rows
 * that were there before from a text, without a look at the files; and an answer may miss what was just written.
 */

const fs = require('node:fs');
const path = require('node:path');

const { answer, rowOf } = require('../questions');
const { capsulesPathOf, isCapsuleName } = require('./memories');

/** @param {{ root: string, users: string[], textPath: string }} vault one user */
function create({ root, users, textPath }) {
  const capsulesPath = capsulesPathOf({ root, userId: users[0] });
  /** @type {import('../questions').Row[]} */
  const rows = JSON.parse(fs.readFileSync(textPath, 'utf8'));
  const take = (filename, text) => {
    if (text === null) {
      const known = rows.findIndex((row) => row.filename === filename);
      rows.splice(known, known < 0 ? 0 : 1);
      return;
    }
    let row;
    try {
      row = rowOf(JSON.parse(text), filename);
    } catch {
      // Half a file: another event follows.
      return;
    }
    const place = rows.findIndex(({ moment }) => moment <= row.moment);
    rows.splice(place < 0 ? rows.length : place, rows[place]?.filename === filename ? 1 : 0, row);
  };
  const watcher = fs.watch(capsulesPath, (_kind, filename) => {
    if (isCapsuleName(filename)) {
      fs.readFile(path.join(capsulesPath, filename), 'utf8', (error, text) => take(filename, error ? null : text));
    }
  });
  return {
    /** @param {import('../questions').Question} question */
    async call(question) {
      return answer(rows, question);
    },
    async close() {
      watcher.close();
    },
  };
}

module.exports = { create };
