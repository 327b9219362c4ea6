'use strict';

/**
 * What a store of construct capsules looks like to somebody who only knows the files, such as Python's VVAULTCore.
 *
 * @typedef {object} Entry One capsule in an index, as VVAULT keeps it.
 * @property {string} instance_name
 * @property {string} uuid
 * @property {string} timestamp
 * @property {string} filename
 * @property {string[]} tags
 *
 * @typedef {object} Index
 * @property {string} instance_name
 * @property {Record<string, Entry>} capsules
 * @property {Record<string, string[]>} tags
 * @property {string | null} latest_uuid
 */

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');

const { ENTRY_KEYS, INDEX_KEYS } = require('./construct-capsules');

/**
 * The index of an instance; fails if Python's VVAULTCore would refuse it, or find it at odds with itself.
 *
 * @param {string} root
 * @param {string} instance
 * @returns {Index}
 */
function readIndex(root, instance) {
  const file = path.join(root, 'indexes', `${instance}_index.json`);
  const text = fs.readFileSync(file, 'utf8');
  /** @type {Index} */
  let index;
  try {
    index = JSON.parse(text);
  } catch (error) {
    assert.fail(`${file} is no JSON (${error}); ${text.length} characters, ending ${JSON.stringify(text.slice(-80))}`);
  }
  assert.deepStrictEqual(Object.keys(index), INDEX_KEYS, `members of ${file}`);
  assert.strictEqual(index.instance_name, instance, file);
  for (const [uuid, entry] of Object.entries(index.capsules)) {
    assert.deepStrictEqual(Object.keys(entry), ENTRY_KEYS, `members of the entry ${uuid} in ${file}`);
    assert.strictEqual(entry.uuid, uuid, `an entry of ${file} under another's UUID`);
    for (const tag of entry.tags) {
      assert.ok(index.tags[tag]?.includes(uuid), `the entry ${uuid} has the tag ${tag}, the tags of ${file} don't`);
    }
  }
  for (const [tag, uuids] of Object.entries(index.tags)) {
    assert.ok(uuids.length > 0, `an empty tag ${tag} in ${file}`);
    for (const uuid of uuids) {
      assert.ok(
        index.capsules[uuid]?.tags.includes(tag),
        `the tags of ${file} give ${tag} to ${uuid}, its entry does not`,
      );
    }
  }
  return index;
}

/**
 * The capsule files of an instance, sorted; fails if one of them is not whole.
 *
 * @param {string} root
 * @param {string} instance
 * @returns {string[]}
 */
function wholeCapsuleFiles(root, instance) {
  const folder = path.join(root, 'capsules', instance);
  const names = fs
    .readdirSync(folder)
    .filter((name) => name.endsWith('.capsule'))
    .sort();
  for (const name of names) {
    const text = fs.readFileSync(path.join(folder, name), 'utf8');
    try {
      JSON.parse(text);
    } catch (error) {
      assert.fail(`${path.join(folder, name)} is not whole: ${error}; ${text.length} characters`);
    }
  }
  return names;
}

/**
 * What there is besides capsules in the folders of capsules: what was left behind by somebody who was killed.
 *
 * @param {string} root
 * @returns {string[]} paths below `root/capsules`, sorted
 */
function leftBehind(root) {
  const folder = path.join(root, 'capsules');
  return fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8', withFileTypes: true })
    .filter((found) => found.isFile() && !found.name.endsWith('.capsule'))
    .map((found) => path.join(path.relative(folder, found.parentPath), found.name))
    .sort();
}

module.exports = { leftBehind, readIndex, wholeCapsuleFiles };
