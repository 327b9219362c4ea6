'use strict';

/**
 * The process that `vault-crash.test.js` kills: stores, tags and deletes capsules in several lanes at once, and says on
 * standard output what it is about to do and what was acknowledged, one line of JSON each, written before it goes on.
 *
 *     node crash-writer.js ROOT MAKER SEED
 *
 * The UUIDs that it makes tell MAKER. It also changes capsules of earlier makers that are even (or odd) like itself, so
 * that two of them work side by side and nobody has to guess whose change came last.
 *
 * @typedef {'store' | 'again' | 'tag' | 'untag' | 'delete'} Operation
 *
 * @typedef {object} Line
 * @property {'open' | 'begin' | 'done' | 'failed'} phase
 * @property {Operation} [operation] `again`: the same UUID and timestamp with another content.
 * @property {string} [instance]
 * @property {string} [uuid]
 * @property {string} [tag]
 * @property {string} [text] What is stored.
 * @property {string} [message] Of an error.
 *
 * @typedef {object} Capsule
 * @property {string} instance
 * @property {string} uuid
 * @property {string} timestamp
 * @property {Set<string>} tags
 * @property {Set<string>} changingTags
 * @property {boolean} taken It is stored or deleted at the moment.
 */

const fs = require('node:fs');

const { Vault } = require('../..');
const { makeCapsule, timestampOf, uuidOf } = require('./construct-capsules');
const { Dice } = require('./dice');

const INSTANCES = ['Nova', 'katana-001', 'a b'];
const TAGS = ['gold', 'reviewed', 'adopted', 'two words', '\u00fcn\u00ef \ud83d\udda4'];
const LANES = 5;
const ENOUGH_CAPSULES = 40;
const MOMENTS_OF_A_MAKER = 1_000_000;

/** @param {Line} line */
function say(line) {
  fs.writeSync(1, `${JSON.stringify(line)}\n`);
}

/**
 * @param {Line} line
 * @param {() => Promise<unknown>} work
 */
async function told(line, work) {
  say({ ...line, phase: 'begin' });
  let result;
  try {
    result = await work();
  } catch (error) {
    say({ ...line, phase: 'failed', message: String(error) });
    throw error;
  }
  if (result === false) {
    say({ ...line, phase: 'failed', message: 'it resolved to false' });
    throw new Error(`${line.operation} of ${line.uuid} resolved to false`);
  }
  say({ ...line, phase: 'done' });
}

/** @param {string} uuid */
function makerOf(uuid) {
  return Number.parseInt(uuid.slice(0, 8), 16);
}

async function main() {
  const [root, maker, seed] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
  const dice = new Dice(seed);
  const vault = await Vault.open(root, { create: true });
  /** @type {Capsule[]} */
  let capsules = [];
  for (const instance of await vault.listInstances()) {
    for (const { uuid, timestamp, tags } of await vault.listCapsules(instance)) {
      if (makerOf(uuid) % 2 === maker % 2) {
        capsules.push({ instance, uuid, timestamp, tags: new Set(tags), changingTags: new Set(), taken: false });
      }
    }
  }
  say({ phase: 'open' });
  let made = 0;
  let stored = 0;

  /** @param {Capsule} capsule */
  const textOf = ({ instance, uuid, timestamp }) => {
    stored += 1;
    const memories = Array.from({ length: dice.between(1, 40) }, (_, place) => `memory ${maker}.${stored}.${place}`);
    return makeCapsule({ instanceName: instance, uuid, timestamp, memories });
  };
  const storeNew = async () => {
    const [instance, uuid] = [dice.pick(INSTANCES), uuidOf(maker, made)];
    const timestamp = timestampOf(maker * MOMENTS_OF_A_MAKER + made);
    made += 1;
    /** @type {Capsule} */
    const capsule = { instance, uuid, timestamp, tags: new Set(), changingTags: new Set(), taken: false };
    const text = textOf(capsule);
    await told({ phase: 'begin', operation: 'store', instance, uuid, text }, () => vault.storeCapsule(text));
    capsules.push(capsule);
  };
  /**
   * @param {Capsule} capsule
   * @param {'again' | 'delete'} operation
   */
  const takeWhole = async (capsule, operation) => {
    capsule.taken = true;
    const { instance, uuid } = capsule;
    if (operation === 'delete') {
      capsules = capsules.filter((other) => other !== capsule);
      await told({ phase: 'begin', operation, instance, uuid }, () => vault.deleteCapsule(instance, uuid));
    } else {
      const text = textOf(capsule);
      await told({ phase: 'begin', operation, instance, uuid, text }, () => vault.storeCapsule(text));
    }
    capsule.taken = false;
  };
  /**
   * @param {Capsule} capsule
   * @param {string} tag
   */
  const changeTag = async ({ instance, uuid, tags, changingTags }, tag) => {
    changingTags.add(tag);
    if (tags.has(tag)) {
      await told({ phase: 'begin', operation: 'untag', instance, uuid, tag }, () =>
        vault.removeTag(instance, uuid, tag),
      );
      tags.delete(tag);
    } else {
      await told({ phase: 'begin', operation: 'tag', instance, uuid, tag }, () => vault.addTag(instance, uuid, tag));
      tags.add(tag);
    }
    changingTags.delete(tag);
  };
  const anything = () => {
    const choice = dice.fraction();
    const capsule = capsules.length > 0 ? dice.pick(capsules) : undefined;
    if (capsule && !capsule.taken) {
      const isQuiet = capsule.changingTags.size === 0;
      if (isQuiet && choice < (capsules.length > ENOUGH_CAPSULES ? 0.3 : 0.1)) return takeWhole(capsule, 'delete');
      // What becomes of tags when a UUID is stored again is not this test's business.
      if (isQuiet && capsule.tags.size === 0 && choice < 0.4) return takeWhole(capsule, 'again');
      const tag = dice.pick(TAGS);
      if (choice > 0.55 && !capsule.changingTags.has(tag)) return changeTag(capsule, tag);
    }
    return storeNew();
  };
  const lane = async () => {
    for (;;) await anything();
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

main().catch((error) => {
  process.stderr.write(`${error?.stack ?? error}\n`);
  process.exit(1);
});
