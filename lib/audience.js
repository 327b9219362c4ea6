'use strict';

/** @typedef {import('node:events').EventEmitter} Vault */

/**
 * Those who want to hear of a vault's events. However many they are, the vault has one listener of a name: Node.js takes more
 * than ten for a leak.
 *
 * @template Member
 */
class Audience {
  /** @type {WeakMap<Vault, Map<string, { members: Set<Member>, listener: (event: any) => void }>>} */
  #of = new WeakMap();
  #tell;

  /** @param {(members: Member[], event: any) => void} tell What is done with an event. */
  constructor(tell) {
    this.#tell = tell;
  }

  /**
   * @param {Vault} vault
   * @param {string} name
   * @param {Member} member
   */
  join(vault, name, member) {
    const named = this.#of.get(vault) ?? new Map();
    this.#of.set(vault, named);
    let joined = named.get(name);
    if (joined === undefined) {
      /** @type {Set<Member>} */
      const members = new Set();
      joined = { members, listener: (/** @type {any} */ event) => this.#tell([...members], event) };
      named.set(name, joined);
      vault.on(name, joined.listener);
    }
    joined.members.add(member);
  }

  /**
   * @param {Vault} vault
   * @param {string} name
   * @param {Member} member
   */
  leave(vault, name, member) {
    const named = this.#of.get(vault);
    const joined = named?.get(name);
    joined?.members.delete(member);
    if (joined === undefined || joined.members.size > 0) return;
    vault.off(name, joined.listener);
    named?.delete(name);
  }
}

module.exports = { Audience };
