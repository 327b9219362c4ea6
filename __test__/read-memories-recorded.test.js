'use strict';

/**
 * Replays the recordings of Chatty's own `readMemories` (`scripts/record-read-memories.js`), one process for each time
 * zone. `READ_MEMORIES_SUBJECT=<path of a module>` tests another implementation.
 */

const { fork } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const {
  digestOf,
  differencesOfRuns,
  loadReadMemories,
  oddVaults,
  randomVault,
  runVault,
  summariseOutcome,
  writeVault,
} = require('./support/odd-vaults');

const FOLDER = path.join(__dirname, 'recorded/read-memories');
const TIME_TO_END = 15_000;

/**
 * @param {object} recorded  One vault of a recording.
 * @param {Map<string, import('./support/odd-vaults').VaultDescription>} odd
 * @param {Function} readMemories
 * @param {boolean} warnedOnce
 * @returns {Promise<string[]>} differences
 */
async function replayVault(recorded, odd, readMemories, warnedOnce) {
  const description = recorded.odd === undefined ? randomVault(recorded.seed) : odd.get(recorded.odd);
  if (description === undefined || digestOf(JSON.stringify(description)) !== recorded.digest) {
    return [`${recorded.odd ?? recorded.seed}: odd-vaults.js makes another vault than the recorded one: record again`];
  }
  if (description.linuxOnly === true && process.platform !== 'linux') return [];
  const expected = {
    outcomes: recorded.outcomes.map((outcome) =>
      outcome.memories === undefined
        ? outcome
        : { ...outcome, memories: outcome.memories.map((place) => recorded.memories[place]) },
    ),
    warnings: new Map(recorded.warned.map((name) => [name, 1])),
  };
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'replay-read-memories-'));
  try {
    const run = await runVault(readMemories, description, writeVault(description, root));
    const outcomes = run.outcomes.map((outcome) => summariseOutcome(outcome, recorded.brief));
    const differences = differencesOfRuns(description, expected, { ...run, outcomes }, { warnedOnce });
    return differences
      .filter((text) => !isEnginesOwn(text))
      .map((text) => `${recorded.odd ?? `random ${recorded.seed}`}: ${text}`);
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
}

/**
 * Whether a difference is that of V8 from Node.js 23 on, whose `JSON.parse` takes an escaped name for another that it has
 * seen (nodejs/node#63785): the same memory with other content.
 *
 * @param {string} difference
 */
function isEnginesOwn(difference) {
  JSON.parse('{"h":[],"\\\\":0}');
  const isMixingNames = !('"' in JSON.parse('{"h":1,"\\"":2}'));
  return isMixingNames && /expected ("[^"]*") #\w+\s+got +\1 #\w+/.test(difference);
}

/**
 * Runs in the child: sends the differences of one recording to the parent.
 *
 * @param {string} file
 */
async function replay(file) {
  const subject = process.env.READ_MEMORIES_SUBJECT;
  const readMemories = subject === undefined ? require('..').readMemories : loadReadMemories(subject);
  const odd = new Map(oddVaults().map((description) => [description.name, description]));
  const differences = [];
  for (const recorded of JSON.parse(fs.readFileSync(file, 'utf8')).vaults) {
    differences.push(...(await replayVault(recorded, odd, readMemories, subject === undefined)));
  }
  process.send(differences, () => process.disconnect());
}

/**
 * @param {string} file
 * @param {string} zone
 * @returns {Promise<string[]>} the differences that a child process found
 */
function replayInChild(file, zone) {
  return new Promise((resolve, reject) => {
    const child = fork(__filename, ['--replay', file], { env: { ...process.env, TZ: zone } });
    let differences;
    child.on('message', (message) => {
      differences = message;
      setTimeout(() => {
        if (!child.kill('SIGKILL')) return;
        reject(new Error('the process did not end by itself after its last call'));
      }, TIME_TO_END).unref();
    });
    child.on('exit', (code, signal) => {
      if (code === 0 && differences !== undefined) resolve(differences);
      else reject(new Error(`the replaying process ended with ${signal ?? `code ${code}`}`));
    });
  });
}

if (process.argv[2] === '--replay') {
  replay(process.argv[3]).catch((error) => {
    console.error(error);
    process.exit(1);
  });
} else {
  const assert = require('node:assert');
  const { test } = require('node:test');
  for (const name of fs.readdirSync(FOLDER).filter((each) => each.endsWith('.json'))) {
    const file = path.join(FOLDER, name);
    const { zone, vaults } = JSON.parse(fs.readFileSync(file, 'utf8'));
    test(`readMemories gives what Chatty's gave in ${zone} (${vaults.length} vaults)`, async () => {
      const differences = await replayInChild(file, zone);
      const shown = differences.slice(0, 8).map((text) => `\n- ${text}`);
      assert.strictEqual(differences.length, 0, `${differences.length} differences, the first:${shown.join('')}`);
    });
  }
}
