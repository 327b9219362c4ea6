'use strict';

const path = require('node:path');
const { examples, wholeNumber } = require('./arguments');
const { interrupted } = require('./interrupted');
const { cell, dim, green, red, time, yellow } = require('./output');

/** @typedef {import('../../index').CapsuleEvent} CapsuleEvent */
/** @typedef {InstanceType<typeof import('./output').Output>} Output */

const SHOWN = { imported: green, updated: yellow, removed: dim, rejected: red };

/**
 * @param {import('commander').Command} program
 * @param {import('.').OnVault} onVault
 */
function addWatch(program, onVault) {
  program
    .command('watch')
    .description(
      'Tells of each capsule that arrives, changes, goes, or is not sound, until it is interrupted (Ctrl-C).',
    )
    .option('--since <cursor>', 'first what happened since: the cursor of an event, or a date')
    .option('--poll', 'look at every file instead of using the notifications of the system, as network drives need it')
    .option('--interval <ms>', 'how often with --poll; 1000 if not given', wholeNumber(10))
    .addHelpText(
      'after',
      examples(
        'one event a line, with its memories and its cursor.',
        'watch',
        'watch --since 2026-01-31',
        'watch --poll --interval 5000 --json >> events.jsonl',
      ),
    )
    .action(
      onVault(
        async ({ vault, output, options }) => {
          /** @type {string | null} */
          let written = null;
          let isAnyTold = false;
          for (const kind of /** @type {(keyof typeof SHOWN)[]} */ (Object.keys(SHOWN))) {
            vault.on(`capsule:${kind}`, async (event) => {
              isAnyTold = true;
              if (await tell(output, vault.root, event)) written = event.cursor;
            });
          }
          vault.on('error', (error) => output.note`${yellow('vvault:')} ${error.message}`);
          output.note`watching ${vault.root}; Ctrl-C ends it`;
          await interrupted(output.signal);
          await vault.close();
          // The closed vault's is behind all that was told, also what could not be written.
          const cursor = written ?? options.since ?? (isAnyTold ? null : vault.cursor);
          if (cursor === null) output.note`the end`;
          else output.note`the end; to go on from here: --since ${cursor}`;
        },
        ({ poll, interval, since }) => ({ watch: poll ? 'poll' : true, pollInterval: interval, since: sinceOf(since) }),
      ),
    );
}

/** @param {string | undefined} since */
function sinceOf(since) {
  // No cursor begins as a date does.
  return since !== undefined && /^\d{4}-\d\d-\d\d/.test(since) ? new Date(since) : since;
}

/**
 * @param {Output} output
 * @param {string} root
 * @param {CapsuleEvent} event
 * @returns {Promise<boolean>} Whether it was written.
 */
function tell(output, root, event) {
  if (output.isJson) return output.json(event);
  const now = dim(time(Date.now()));
  const what = SHOWN[event.kind](event.kind.padEnd(8));
  const count = event.memories ? ` (${event.memories.length} memories)` : '';
  return output.line`${now}  ${what}  ${path.relative(root, event.path)}${count}${event.reason ? `: ${cell(event.reason)}` : ''}`;
}

module.exports = addWatch;
