'use strict';

/**
 * lmdb with the rows by time, and a list of times for every role, session and tag, filled beforehand. It looks at no file.
 */

const fs = require('node:fs');
const { open } = require('lmdb');

const { memoryOf } = require('./memories');

/** @param {{ root: string }} vault */
function databasePathOf({ root }) {
  return `${root}-index.lmdb`;
}

/**
 * @param {{ root: string }} vault
 * @param {object} [options]
 */
function openLists(vault, options = {}) {
  const database = open({ path: databasePathOf(vault), ...options });
  return {
    database,
    /** `[user, moment]` to the row; the moments of a user differ. */
    rows: database.openDB({ name: 'rows', sharedStructuresKey: Symbol.for('structures') }),
    /** `[user, what, moment]`, without values: which rows have this role, session or tag. */
    lists: database.openDB({ name: 'lists', encoding: 'binary' }),
  };
}

const NO_VALUE = Buffer.alloc(0);

/** @param {import('../questions').Row} row */
function listsOf({ role, session, tags }) {
  return [`role ${role}`, `session ${session}`, ...tags.map((tag) => `tag ${tag}`)];
}

/**
 * @param {ReturnType<typeof openLists>} lists
 * @param {string} userId
 * @param {import('../questions').Row} row
 */
function put({ rows, lists }, userId, row) {
  rows.put([userId, row.moment], row);
  for (const list of listsOf(row)) {
    lists.put([userId, list, row.moment], NO_VALUE);
  }
}

/** @param {{ root: string }} vault */
function fill(vault) {
  const databasePath = databasePathOf(vault);
  for (const suffix of ['', '-lock']) {
    fs.rmSync(databasePath + suffix, { force: true });
  }
  const lists = openLists(vault);
  return {
    /** @param {string} userId @param {import('../questions').Row[]} rows newest first */
    add(userId, rows) {
      lists.database.transactionSync(() => {
        for (const row of rows.toReversed()) {
          put(lists, userId, row);
        }
      });
    },
    async done() {
      await lists.database.close();
      return fs.statSync(databasePath).size;
    },
  };
}

/** @param {{ root: string }} vault */
function create(vault) {
  const { database, rows, lists } = openLists(vault, { readOnly: true });
  /**
   * The rows that are asked for, found by the narrowest list.
   * @param {import('../questions').Question} question
   */
  const find = ({ userId, limit, role, sessionId, tags, since, until }) => {
    const list = sessionId ? `session ${sessionId}` : tags ? `tag ${tags[0]}` : role ? `role ${role}` : undefined;
    const before = list ? [userId, list] : [userId];
    const range = {
      start: [...before, until ? until.getTime() : Number.MAX_SAFE_INTEGER],
      // Reverse ranges leave out where they end.
      end: [...before, since ? since.getTime() - 1 : 0],
      reverse: true,
    };
    if (!list) {
      return [...rows.getRange({ ...range, limit: limit || undefined })].map(({ value }) => value);
    }
    const found = [];
    for (const key of lists.getKeys(range)) {
      const row = rows.get([userId, key[2]]);
      if (role === undefined || row.role === role) {
        found.push(row);
        if (found.length === limit) {
          break;
        }
      }
    }
    return found;
  };
  return {
    /** @param {import('../questions').Question} question */
    async call(question) {
      const found = find(question);
      await Promise.resolve();
      return found.map((row) => memoryOf(row, row.filename));
    },
    close: () => database.close(),
  };
}

/**
 * What another process adds rows with.
 * @param {{ root: string }} vault
 */
function openForWriting(vault) {
  const lists = openLists(vault);
  return {
    add: (userId, row) => lists.database.transaction(() => put(lists, userId, row)),
    remove: (userId, row) =>
      lists.database.transaction(() => {
        lists.rows.remove([userId, row.moment]);
        for (const list of listsOf(row)) {
          lists.lists.remove([userId, list, row.moment]);
        }
      }),
    close: () => lists.database.close(),
  };
}

module.exports = { create, fill, openForWriting };
