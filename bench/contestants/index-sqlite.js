'use strict';

/**
 * better-sqlite3 with an index for every question, filled beforehand. It looks at no file.
 */

const fs = require('node:fs');
const Database = require('better-sqlite3');

const { memoryOf } = require('./memories');

/** @param {{ root: string }} vault */
function databasePathOf({ root }) {
  return `${root}-index.db`;
}

/** @param {import('better-sqlite3').Database} database */
function insertOf(database) {
  const insert = database.prepare('INSERT INTO memories VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
  const insertTag = database.prepare('INSERT INTO tags VALUES (?, ?, ?, ?)');
  return (userId, row) => {
    const { filename, moment, session, created_ts, raw, role, tags, consent, embed_model, raw_sha256 } = row;
    const words = JSON.stringify(tags);
    const { lastInsertRowid } = insert.run(
      userId,
      moment,
      filename,
      created_ts,
      raw,
      role,
      session,
      words,
      consent,
      embed_model,
      raw_sha256,
    );
    for (const tag of tags) {
      insertTag.run(userId, tag, moment, lastInsertRowid);
    }
  };
}

/** @param {{ root: string }} vault */
function fill(vault) {
  const databasePath = databasePathOf(vault);
  for (const suffix of ['', '-wal', '-shm']) {
    fs.rmSync(databasePath + suffix, { force: true });
  }
  const database = new Database(databasePath);
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = NORMAL');
  database.exec(`
    CREATE TABLE memories (
      number INTEGER PRIMARY KEY, user_id TEXT NOT NULL, moment INTEGER NOT NULL, filename TEXT NOT NULL,
      timestamp TEXT NOT NULL, content TEXT NOT NULL, role TEXT NOT NULL, session TEXT NOT NULL, tags TEXT NOT NULL,
      consent TEXT NOT NULL, embed_model TEXT, hash TEXT
    );
    CREATE TABLE tags (
      user_id TEXT NOT NULL, tag TEXT NOT NULL, moment INTEGER NOT NULL, number INTEGER NOT NULL,
      PRIMARY KEY (user_id, tag, moment, number)
    ) WITHOUT ROWID;
    CREATE INDEX memories_by_moment ON memories (user_id, moment);
    CREATE INDEX memories_by_role ON memories (user_id, role, moment);
    CREATE INDEX memories_by_session ON memories (user_id, session, moment);
  `);
  const insert = insertOf(database);
  return {
    /** @param {string} userId @param {import('../questions').Row[]} rows newest first */
    add(userId, rows) {
      database.transaction(() => {
        for (const row of rows.toReversed()) {
          insert(userId, row);
        }
      })();
    },
    done() {
      database.exec('ANALYZE');
      database.pragma('wal_checkpoint(TRUNCATE)');
      database.close();
      return fs.statSync(databasePath).size;
    },
  };
}

/** @param {import('../questions').Question} question */
function queryOf({ role, sessionId, tags, since, until }) {
  const [listed, joined] = tags
    ? ['tags.', 'tags CROSS JOIN memories ON memories.number = tags.number']
    : ['memories.', 'memories'];
  const conditions = [
    `${listed}user_id = @userId`,
    tags && 'tags.tag = @tag',
    role && 'memories.role = @role',
    sessionId && 'memories.session = @sessionId',
    since && `${listed}moment >= @since`,
    until && `${listed}moment <= @until`,
  ];
  return `SELECT memories.* FROM ${joined} WHERE ${conditions.filter(Boolean).join(' AND ')}
    ORDER BY ${listed}moment DESC LIMIT @limit`;
}

/** @param {{ root: string }} vault */
function create(vault) {
  const database = new Database(databasePathOf(vault), { readonly: true, fileMustExist: true });
  /** @type {Map<string, import('better-sqlite3').Statement>} */
  const statements = new Map();
  const statementOf = (text) => {
    let statement = statements.get(text);
    if (!statement) {
      statement = database.prepare(text);
      statements.set(text, statement);
    }
    return statement;
  };
  return {
    /** @param {import('../questions').Question} question */
    async call(question) {
      const rows = statementOf(queryOf(question)).all({
        userId: question.userId,
        limit: question.limit || -1,
        role: question.role,
        sessionId: question.sessionId,
        tag: question.tags?.[0],
        since: question.since?.getTime(),
        until: question.until?.getTime(),
      });
      await Promise.resolve();
      return rows.map(({ timestamp, content, role, tags, consent, embed_model, hash, filename }) =>
        memoryOf(
          {
            created_ts: timestamp,
            raw: content,
            role,
            tags: JSON.parse(tags),
            consent,
            embed_model: embed_model ?? undefined,
            raw_sha256: hash,
          },
          filename,
        ),
      );
    },
    async close() {
      database.close();
    },
  };
}

/**
 * What another process adds rows with.
 * @param {{ root: string }} vault
 */
function openForWriting(vault) {
  const database = new Database(databasePathOf(vault), { fileMustExist: true });
  database.pragma('synchronous = NORMAL');
  const insert = database.transaction(insertOf(database));
  const remove = database.transaction((userId, { filename, moment }) => {
    database
      .prepare('DELETE FROM memories WHERE user_id = ? AND moment = ? AND filename = ?')
      .run(userId, moment, filename);
    database.prepare('DELETE FROM tags WHERE user_id = ? AND moment = ?').run(userId, moment);
  });
  return {
    add: async (userId, row) => insert(userId, row),
    remove: async (userId, row) => remove(userId, row),
    close: async () => database.close(),
  };
}

module.exports = { create, fill, openForWriting };
