'use strict';

// `npm run demo`: reads the example vault as Chatty would, then drops a construct's capsule into a copy of it while an
// orchestrator listens; prints what came, and how long it took.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { performance } = require('node:perf_hooks');

const { Vault, readMemories } = require('..');

/** @typedef {import('..').Memory} Memory */
/** @typedef {import('..').ReadMemoriesOptions} Options */

const vvaultPath = path.join(__dirname, 'vault');
const config = {
  vvaultPath,
  directories: { users: 'users', transcripts: 'transcripts', capsules: 'capsules' },
  logging: {},
};
const MIRA = 'mira_lindqvist_1741035327000';
const TOMAS = 'tomas_berg_1761427149000';

const { NO_COLOR } = process.env;
const isColourful = process.stdout.isTTY && (NO_COLOR === undefined || NO_COLOR === '');
const WIDTH = Math.min(Math.max(process.stdout.columns ?? 100, 60), 100);

/** @param {string} text */
const bold = (text) => (isColourful ? `\u001b[1m${text}\u001b[22m` : text);
/** @param {string} text */
const faint = (text) => (isColourful ? `\u001b[2m${text}\u001b[22m` : text);

/**
 * @param {string} text
 * @param {number} width
 * @returns {string[]} The text in lines of at most `width` characters, where its words are short enough for that.
 */
function wrap(text, width) {
  return text.split('\n').flatMap((paragraph) => {
    const lines = [''];
    for (const word of paragraph.split(' ')) {
      const line = lines[lines.length - 1];
      if (line === '') lines[lines.length - 1] = word;
      else if (line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`;
      else lines.push(word);
    }
    return lines;
  });
}

/**
 * @param {Memory} memory
 * @param {string} name The user's name.
 */
function print(memory, name) {
  const speaker = memory.role === 'user' ? name : memory.role === 'assistant' ? 'Nova' : 'Note';
  const when = new Date(memory.timestamp).toISOString().slice(0, 16).replace('T', ' ');
  const indent = 2 + when.length + 2 + 7;
  const [first, ...rest] = wrap(memory.content, WIDTH - indent);
  console.log(`  ${faint(when)}  ${bold(speaker.padEnd(7))}${first}`);
  for (const line of rest) console.log(line === '' ? '' : `${' '.repeat(indent)}${line}`);
}

/**
 * @param {string} title
 * @param {string} name
 * @param {string} userId
 * @param {Options} options
 */
async function show(title, name, userId, options) {
  console.log(`\n${bold(title)}`);
  for (const memory of await readMemories(config, userId, options)) print(memory, name);
}

/**
 * @param {() => Promise<unknown>} call
 * @returns {Promise<number>} How many milliseconds it took.
 */
async function time(call) {
  const start = performance.now();
  await call();
  return performance.now() - start;
}

/**
 * Drops a capsule into a vault as anybody could, and shows what an orchestrator remembers then. This one is a stand-in, with
 * the two methods of Chatty's that count.
 *
 * @param {string} root
 */
async function dropCapsule(root) {
  const vault = await Vault.open(root, { watch: true, cacheDir: path.join(root, '.cache') });
  /** @type {(memories: Memory[]) => void} */
  let received;
  /** @type {Promise<Memory[]>} */
  const arrival = new Promise((resolve) => {
    received = resolve;
  });
  const orchestrator = {
    maxLtmEntries: 32,
    prepareMemoryContext: async () => ({ ltmEntries: /** @type {any[]} */ ([]) }),
    receiveRestoredMemories: (/** @type {Memory[]} */ memories) => received(memories),
  };
  await vault.attachOrchestrator(orchestrator, { userId: MIRA, constructId: 'nova-001' });
  const before = (await orchestrator.prepareMemoryContext()).ltmEntries.length;

  const folder = path.join(root, 'users', MIRA, 'instances', 'nova-001', 'identity');
  fs.mkdirSync(folder, { recursive: true });
  const dropped = path.join(folder, 'nova-001.capsule');
  fs.copyFileSync(path.join(__dirname, 'nova-001.capsule'), `${dropped}.part`);
  const start = performance.now();
  fs.renameSync(`${dropped}.part`, dropped);
  const memories = await arrival;
  const took = performance.now() - start;
  const after = (await orchestrator.prepareMemoryContext()).ltmEntries;
  await vault.close();

  console.log(`\n${bold('A capsule of Nova is dropped into the vault: what the orchestrator was handed')}`);
  for (const memory of memories) print(memory, 'Mira');
  console.log(
    `\nIt came ${took.toFixed(2)} ms after the file had its name, parsed and checked. The next context holds ${after.length}` +
      `\nmemories instead of ${before}; its newest: "${after[0].content}"`,
  );
}

async function main() {
  const all = () => readMemories(config, MIRA, { limit: 0 });
  const first = await time(all);
  const repeated = await time(all);
  const count = fs.readdirSync(path.join(vvaultPath, 'users', MIRA, 'capsules')).length;

  await show("Mira's five newest memories (memory capsules; limit: 5)", 'Mira', MIRA, { limit: 5 });
  await show("What Nova said to her (role: 'assistant')", 'Mira', MIRA, { role: 'assistant' });
  const since = new Date('2025-08-01T00:00:00Z');
  await show('Since 1 August 2025 (since)', 'Mira', MIRA, { since });
  await show("Tomas's evening about bread (transcripts; sessionId)", 'Tomas', TOMAS, { sessionId: 'bread-and-clocks' });

  console.log(
    `\nMira has ${count} files. The first call read them all in ${first.toFixed(2)} ms; the same call again found` +
      `\nnothing new in ${repeated.toFixed(2)} ms. Change a file in example/vault and run it again: it shows at once.`,
  );

  const copy = fs.mkdtempSync(path.join(os.tmpdir(), 'vvault-demo-'));
  try {
    fs.cpSync(vvaultPath, copy, { recursive: true });
    await dropCapsule(copy);
  } finally {
    fs.rmSync(copy, { recursive: true });
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
