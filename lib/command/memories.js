'use strict';

const fs = require('node:fs/promises');
const path = require('node:path');
const { date, examples, several, wholeNumber } = require('./arguments');
const { bold, cell, dim, time } = require('./output');
const { withToldProgress } = require('./progress');

/** @typedef {import('../../index').Memory} Memory */
/** @typedef {InstanceType<typeof import('./output').Output>} Output */

/**
 * @param {import('commander').Command} program
 * @param {import('.').OnVault} onVault
 */
function addMemories(program, onVault) {
  program
    .command('memories')
    .description("A user's memories, newest first. Broken and unsound ones are left out and told.")
    .argument('<user>', "the user's id")
    .option('-n, --limit <number>', 'at most so many; 0: all', wholeNumber(0), 10)
    .option('--session <id>', 'of this session only')
    .option('--role <role>', 'of this role only, such as user or assistant')
    .option('--since <date>', 'of this time or later', date)
    .option('--until <date>', 'of this time or earlier', date)
    .option('--construct <id>', 'also those of this construct')
    .option('--tag <tag>', 'only those that have this tag; can be given several times', several)
    .option('--full', 'whole texts, instead of a table')
    .addHelpText(
      'after',
      examples(
        'one memory a line, as vault.readMemories gives it.',
        'memories mira_lindqvist_1741035327000 --limit 20 --role user',
        'memories mira_lindqvist_1741035327000 --construct nova-001 --since 2026-01-01 --full',
        "memories mira_lindqvist_1741035327000 --limit 0 --json | jq -r '.content'",
      ),
    )
    .action(
      onVault(async ({ vault, output, options }, user) => {
        vault.on('capsule:rejected', ({ path: file, reason }) => output.problem`${file}: ${cell(reason)}`);
        const memories = await withToldProgress(output, 'files', (tell) => {
          vault.on('progress', tell);
          return vault.readMemories(user, {
            limit: options.limit,
            sessionId: options.session,
            role: options.role,
            since: options.since,
            until: options.until,
            constructId: options.construct,
            tags: options.tag,
          });
        });
        if (memories.length === 0) {
          if (await isUser(vault.root, user)) output.note`no memories of ${user} are like that`;
          else output.problem`${vault.root} has no user ${user}`;
        }
        if (output.isJson) for (const memory of memories) output.json(memory);
        else if (options.full) for (const memory of memories) printWhole(output, memory);
        else if (memories.length > 0) printTable(output, memories);
      }),
    );
}

/**
 * @param {string} root
 * @param {string} user Known to lead nowhere else than below `users`.
 */
async function isUser(root, user) {
  const users = path.join(root, 'users');
  const shards = (await fs.readdir(users).catch(() => [])).filter((name) => name.startsWith('shard_'));
  const places = ['', ...shards].map((shard) => fs.stat(path.join(users, shard, user)).catch(() => null));
  return (await Promise.all(places)).some((found) => found?.isDirectory());
}

/**
 * @param {Output} output
 * @param {Memory[]} memories
 */
function printTable(output, memories) {
  const columns = [{ title: 'TIME (UTC)', isWhole: true }, { title: 'ROLE' }, { title: 'FROM' }, { title: 'CONTENT' }];
  const rows = memories.map((memory) => [
    { text: time(memory.timestamp), style: /** @type {const} */ ('dim') },
    cell(memory.role),
    memory.type,
    cell(memory.content),
  ]);
  output.table(columns, rows);
}

/**
 * @param {Output} output
 * @param {Memory} memory
 */
function printWhole(output, memory) {
  output.line`${bold(time(memory.timestamp))}  ${cell(memory.role)}  ${dim(`${memory.type} ${cell(memory.id)}`)}`;
  for (const line of cell(memory.content).split(/\r\n?|\n/)) output.line`  ${line}`;
  output.line``;
}

module.exports = addMemories;
