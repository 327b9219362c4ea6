'use strict';

/**
 * better-sqlite3, filled beforehand from the same files. Quick, but it knows nothing of a file written since.
 */

const fs = require('node:fs');
const path = require('node:path');

const { capsulesPathOf, isCapsuleName, memoryOf } = require('./memories');

/** @param {{ root: string }} vault */
function databasePathOf({ root }) {
  return `${root}.db`;
}

/**
 * Makes the database anew from the vault's files.
 * @param {{ root: string, userId: string }} vault
 */
function fill(vault) {
  const Database = require('better-sqlite3');
  const databasePath = databasePathOf(vault);
  for (const suffix of ['', '-wal', '-shm']) {
    fs.rmSync(databasePath + suffix, { force: true });
  }
  const begin = performance.now();
  const database = new Database(databasePath);
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = NORMAL');
  database.exec(`
    CREATE TABLE memories (
      user_id TEXT NOT NULL, filename TEXT NOT NULL, moment INTEGER NOT NULL, timestamp TEXT NOT NULL,
      content TEXT NOT NULL, role TEXT NOT NULL, tags TEXT NOT NULL, consent TEXT NOT NULL, embed_model TEXT, hash TEXT,
      PRIMARY KEY (user_id, filename)
    );
    CREATE INDEX memories_by_moment ON memories (user_id, moment DESC);
  `);
  const insert = database.prepare('INSERT INTO memories VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
  const capsulesPath = capsulesPathOf(vault);
  database.transaction(() => {
    for (const filename of fs.readdirSync(capsulesPath).filter(isCapsuleName)) {
      const memory = memoryOf(JSON.parse(fs.readFileSync(path.join(capsulesPath, filename), 'utf8')), filename);
      const { tags, consent, embedModel, hash } = memory.metadata;
      insert.run(
        vault.userId,
        filename,
        Date.parse(memory.timestamp),
        memory.timestamp,
        memory.content,
        memory.role,
        JSON.stringify(tags),
        consent,
        embedModel,
        hash,
      );
    }
  })();
  database.close();
  return performance.now() - begin;
}

/** @param {{ root: string, userId: string }} vault */
function create(vault) {
  const Database = require('better-sqlite3');
  let database;
  let newest;
  return {
    async call({ limit }) {
      if (!database) {
        database = new Database(databasePathOf(vault), { readonly: true, fileMustExist: true });
        newest = database.prepare('SELECT * FROM memories WHERE user_id = ? ORDER BY moment DESC LIMIT ?');
      }
      return newest.all(vault.userId, limit > 0 ? limit : -1).map((row) =>
        memoryOf(
          {
            created_ts: row.timestamp,
            raw: row.content,
            role: row.role,
            tags: JSON.parse(row.tags),
            consent: row.consent,
            embed_model: row.embed_model,
            raw_sha256: row.hash,
          },
          row.filename,
        ),
      );
    },
    async close() {
      database?.close();
    },
  };
}

module.exports = { create, fill };
