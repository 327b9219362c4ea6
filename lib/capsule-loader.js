'use strict';

const path = require('node:path');
const native = require('./native');
const { jsonOf, named, optionalText } = require('./arguments');
const { refused, toVaultError, withCode } = require('./errors');

/** @typedef {import('../index').ConstructState} ConstructState */
/** @typedef {import('../index').CapsuleLoadResult} CapsuleLoadResult */
/** @typedef {import('../index').MemoryRuntime} MemoryRuntime */
/** @typedef {import('../index').Memory} Memory */

/** Loads a construct's capsule, restores it, and hands its memories to a runtime: see `index.d.ts`. */
class CapsuleLoader {
  /** @type {MemoryRuntime | undefined} */
  #runtime;

  /** @param {{ runtime?: MemoryRuntime }} [options] */
  constructor(options = {}) {
    named(options, ['runtime']);
    this.#runtime = options.runtime;
  }

  /**
   * @param {string} file
   * @param {string | null} [expectedTetherSignature]
   * @returns {Promise<CapsuleLoadResult>}
   */
  async loadCapsule(file, expectedTetherSignature) {
    if (typeof file !== 'string' || file === '') {
      throw refused('path must be a non-empty string');
    }
    optionalText(expectedTetherSignature, 'expectedTetherSignature');
    const loaded = await native.loadCapsule(path.resolve(file), expectedTetherSignature ?? undefined).catch(fail);
    const { fingerprintValid = null, tetherValid = null, recipe = null } = loaded;
    let errorMessage = loaded.errorMessage ?? null;
    let capsuleData = null;
    const text = loaded.text();
    if (text !== null) {
      try {
        capsuleData = JSON.parse(text);
        if (capsuleData === null || typeof capsuleData !== 'object' || Array.isArray(capsuleData)) {
          errorMessage ??= 'not a capsule: a capsule is a JSON object';
        }
      } catch (error) {
        // Python writes NaN and Infinity, which are hashed but can't be parsed here.
        errorMessage ??= /** @type {Error} */ (error).message;
      }
    }
    return { isValid: errorMessage === null, capsuleData, errorMessage, fingerprintValid, tetherValid, recipe };
  }

  /**
   * @param {object} capsuleData
   * @returns {ConstructState}
   */
  restoreConstruct(capsuleData) {
    if (typeof capsuleData === 'object' && capsuleData && 'isValid' in capsuleData && 'capsuleData' in capsuleData) {
      throw refused('this is what loadCapsule gave: restore its capsuleData');
    }
    try {
      return JSON.parse(native.restoreConstruct(jsonOf(capsuleData)));
    } catch (thrown) {
      throw toVaultError(thrown);
    }
  }

  /**
   * @param {Iterable<Memory | string>} memories
   * @returns {Promise<number>}
   */
  async dropMemIntoRuntime(memories) {
    const runtime = this.#runtime;
    if (typeof runtime?.addMemory !== 'function') {
      const message =
        'no runtime takes memories: give new CapsuleLoader({ runtime }) one with addMemory(content, metadata)';
      throw withCode(new Error(message), 'VVAULT_NO_RUNTIME');
    }
    // A text is a list of its characters.
    if (typeof memories === 'string' || typeof memories?.[Symbol.iterator] !== 'function') {
      throw refused('memories must be a list, such as the memories that restoreConstruct gives');
    }
    let taken = 0;
    // All are looked at before the runtime has any.
    for (const { content, metadata } of Array.from(memories, described)) {
      if ((await runtime.addMemory(content, metadata)) !== false) taken += 1;
    }
    return taken;
  }
}

/**
 * @param {Memory | string} memory
 * @param {number} place
 * @returns {{ content: string, metadata: Record<string, unknown> }}
 */
function described(memory, place) {
  if (typeof memory === 'string') return { content: memory, metadata: {} };
  const { content, metadata, id, timestamp, role } = memory ?? {};
  if (content === undefined) {
    throw refused(`no memory is at place ${place} of the list: one is a string, or an object with content`);
  }
  return { content, metadata: { ...metadata, id, timestamp, role } };
}

/**
 * @param {unknown} thrown
 * @returns {never}
 */
function fail(thrown) {
  throw toVaultError(thrown);
}

module.exports = { CapsuleLoader };
