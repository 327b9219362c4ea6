'use strict';

/**
 * Records what Chatty's own `readMemories` gives over the odd and the random vaults, in several time zones.
 *
 *     node scripts/record-read-memories.js <path of the original readMemories.js>
 *
 * Writes `__test__/recorded/read-memories/<zone>.json`. A recording names its vaults (`odd-vaults.js` makes them again;
 * a digest tells whether it still makes the same ones) and holds the results: each distinct memory once, as text or
 * (brief) as id and digest, and for each call the places of its memories in that list.
 * `node scripts/compare-read-memories.js --show <vault>` prints a vault.
 */

const { fork } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const {
  digestOf,
  loadReadMemories,
  oddVaults,
  randomVault,
  runVault,
  summariseOutcome,
  writeVault,
} = require('../__test__/support/odd-vaults');

const FOLDER = path.join(__dirname, '../__test__/recorded/read-memories');

/** Every vault is recorded in UTC; elsewhere those whose results depend on the time zone. */
// biome-ignore format: a packed list is easier to read
const ZONES = [
  'UTC', 'America/New_York', 'Asia/Kolkata', 'Pacific/Apia', 'Europe/London', 'Australia/Lord_Howe', 'Africa/Monrovia',
];
const SEEDS_IN_UTC = 350;
const SEEDS_ELSEWHERE = 140;

/**
 * @param {string} zone
 * @returns {{source: string, description: import('../__test__/support/odd-vaults').VaultDescription}[]}
 */
function vaultsFor(zone) {
  const place = ZONES.indexOf(zone);
  const count = place === 0 ? SEEDS_IN_UTC : SEEDS_ELSEWHERE;
  const seeds = Array.from({ length: count }, (_, index) => place * 1000 + index + 1);
  const vaults = [
    ...oddVaults().map((description) => ({ source: 'odd', description })),
    ...seeds.map((seed) => ({ source: 'random', seed, description: randomVault(seed) })),
  ];
  const recorded = vaults.filter(({ description }) => description.unprivileged !== true);
  return recorded.filter(({ description }) => place === 0 || description.zoned === true);
}

/**
 * @param {Function} readMemories
 * @param {{source: string, seed?: number, description: import('../__test__/support/odd-vaults').VaultDescription}} vault
 * @returns {Promise<object>}
 */
async function recordVault(readMemories, { source, seed, description }) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'record-read-memories-'));
  try {
    const run = await runVault(readMemories, description, writeVault(description, root));
    const brief = seed !== undefined || process.env.TZ !== 'UTC' || /^(date|order)/.test(description.name);
    const places = new Map();
    const outcomes = run.outcomes.map((outcome) => {
      const { memories, ...rest } = summariseOutcome(outcome, brief);
      if (memories === undefined) return rest;
      for (const text of memories) if (!places.has(text)) places.set(text, places.size);
      return { memories: memories.map((text) => places.get(text)), ...rest };
    });
    const name = source === 'odd' ? { odd: description.name } : { seed };
    return {
      ...name,
      digest: digestOf(JSON.stringify(description)),
      brief,
      memories: [...places.keys()],
      outcomes,
      warned: [...run.warnings.keys()].sort(),
    };
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
}

/**
 * @param {string} zone
 * @param {string} original
 */
async function recordZone(zone, original) {
  const readMemories = loadReadMemories(original);
  const lines = [];
  for (const vault of vaultsFor(zone)) lines.push(JSON.stringify(await recordVault(readMemories, vault)));
  const head = JSON.stringify({ zone, node: process.version });
  const file = path.join(FOLDER, `${zone.replaceAll('/', '-')}.json`);
  fs.writeFileSync(file, `${head.slice(0, -1)},"vaults":[\n${lines.join(',\n')}\n]}\n`);
  console.log(`${zone}: ${lines.length} vaults, ${Math.round(fs.statSync(file).size / 1024)} KiB`);
}

/**
 * @param {string} zone
 * @param {string} original
 * @returns {Promise<void>}
 */
function recordInChild(zone, original) {
  return new Promise((resolve, reject) => {
    const child = fork(__filename, [original, '--zone', zone], { env: { ...process.env, TZ: zone } });
    child.on('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`recording ${zone} ended with code ${code}`)),
    );
  });
}

async function main() {
  const [original, , zone] = process.argv.slice(2);
  if (original === undefined) {
    console.error('usage: node scripts/record-read-memories.js <path of the original readMemories.js>');
    process.exit(2);
  }
  if (zone !== undefined) {
    await recordZone(zone, original);
    process.disconnect();
    return;
  }
  fs.mkdirSync(FOLDER, { recursive: true });
  for (const each of ZONES) await recordInChild(each, original);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
