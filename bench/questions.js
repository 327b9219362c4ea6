'use strict';

/**
 * The questions of the suite `index`, always for the newest ten, and the rows that they are asked of: a capsule's fields
 * without its embedding, as a table would hold them. Every contestant is asked the same ones.
 */

const fs = require('node:fs');
const path = require('node:path');

const { capsulesPathOf, isCapsuleName, memoryOf } = require('./contestants/memories');
const { seededRandom } = require('./vaults');

const NEWEST = 10;
const KINDS = ['newest', 'role', 'session', 'tag', 'time', 'role and tag'];
const ROLES = ['user', 'assistant', 'system'];
const TAGS = ['family', 'health', 'home', 'music', 'plans', 'rule', 'story', 'travel', 'work'];
const SESSION_PREFIX = 'chatty_';
/** The part of a vault's time that a question for a time covers. */
const TIME_SHARE = 0.01;

/**
 * @typedef {object} Row
 * @property {string} filename
 * @property {number} moment
 * @property {string} session
 * @property {string} created_ts
 * @property {string} raw
 * @property {string} role
 * @property {string[]} tags
 * @property {string} consent
 * @property {string} [embed_model]
 * @property {string} raw_sha256
 *
 * @typedef {object} Question options of `readMemories`, and whose memories
 * @property {string} userId
 * @property {number} limit
 * @property {string} [role]
 * @property {string} [sessionId]
 * @property {string[]} [tags] one
 * @property {Date} [since]
 * @property {Date} [until]
 *
 * @typedef {object} Shape what must be known of a vault to ask sensibly
 * @property {string[]} users
 * @property {number} sessions of each
 * @property {number} oldest
 * @property {number} newest
 */

/**
 * @param {object} capsule the parsed file
 * @param {string} filename
 * @returns {Row}
 */
function rowOf(capsule, filename) {
  const { created_ts, raw, role, tags, consent, embed_model, raw_sha256, source_id } = capsule;
  const session = source_id.slice(SESSION_PREFIX.length);
  const moment = Date.parse(created_ts);
  return { filename, moment, session, created_ts, raw, role, tags, consent, embed_model, raw_sha256 };
}

/**
 * @param {string} root
 * @param {string} userId
 * @returns {Row[]} newest first
 */
function readRows(root, userId) {
  const capsulesPath = capsulesPathOf({ root, userId });
  return fs
    .readdirSync(capsulesPath)
    .filter(isCapsuleName)
    .map((filename) => rowOf(JSON.parse(fs.readFileSync(path.join(capsulesPath, filename), 'utf8')), filename))
    .sort((left, right) => right.moment - left.moment);
}

/**
 * The shape of a vault whose file names are in the order of time, as those of `vaults.js` are.
 * @param {{ root: string, users: string[], perUser: number, memoriesPerSession: number }} vault
 * @returns {Shape}
 */
function shapeOf({ root, users, perUser, memoriesPerSession }) {
  const capsulesPath = capsulesPathOf({ root, userId: users[0] });
  const filenames = fs.readdirSync(capsulesPath).filter(isCapsuleName).sort();
  const momentOf = (filename) =>
    rowOf(JSON.parse(fs.readFileSync(path.join(capsulesPath, filename), 'utf8')), filename).moment;
  return {
    users,
    sessions: Math.ceil(perUser / memoriesPerSession),
    oldest: momentOf(filenames[0]),
    newest: momentOf(filenames.at(-1)),
  };
}

/**
 * Questions of one kind without end, each with another role, session, tag or time, so that no contestant is asked only
 * what it has just answered.
 * @param {string} kind
 * @param {Shape} shape
 * @returns {Generator<Question, never>}
 */
function* questionsOf(kind, { users, sessions, oldest, newest }) {
  const random = seededRandom(0xa5c + KINDS.indexOf(kind));
  const pick = (list) => list[Math.floor(random() * list.length)];
  for (;;) {
    const question = { userId: pick(users), limit: NEWEST };
    if (kind.includes('role')) {
      question.role = pick(ROLES);
    }
    if (kind.includes('tag')) {
      question.tags = [pick(TAGS)];
    }
    if (kind === 'session') {
      question.sessionId = `session${String(1 + Math.floor(random() * sessions)).padStart(4, '0')}`;
    }
    if (kind === 'time') {
      const length = (newest - oldest) * TIME_SHARE;
      const begin = Math.floor(oldest + random() * (newest - oldest - length));
      question.since = new Date(begin);
      question.until = new Date(Math.floor(begin + length));
    }
    yield question;
  }
}

/**
 * @param {Row} row
 * @param {Question} question
 */
function matches(row, { role, sessionId, tags, since, until }) {
  return (
    (role === undefined || row.role === role) &&
    (sessionId === undefined || row.session === sessionId) &&
    (tags === undefined || tags.every((tag) => row.tags.includes(tag))) &&
    (since === undefined || row.moment >= since.getTime()) &&
    (until === undefined || row.moment <= until.getTime())
  );
}

/**
 * The plain answer: from the newest on, until there are enough.
 * @param {Row[]} rows newest first
 * @param {Question} question
 */
function answer(rows, question) {
  const memories = [];
  for (const row of rows) {
    if (matches(row, question)) {
      memories.push(memoryOf(row, row.filename));
      if (memories.length === question.limit) {
        break;
      }
    }
  }
  return memories;
}

module.exports = { KINDS, SESSION_PREFIX, answer, matches, questionsOf, readRows, rowOf, shapeOf };
