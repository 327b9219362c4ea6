'use strict';

/** @typedef {import('node:events').EventEmitter} Emitter */

/**
 * Those who want to hear of events of one sort, as of a vault. However many they are, an emitter has one listener of a name:
 * Node.js takes more than ten for a leak.
 *
 * @template Member
 */
class Audience {
  /** @type {WeakMap<Emitter, Map<string, { members: Set<Member>, listener: (event: any) => void }>>} */
  #of = new WeakMap();
  #tell;

  /** @param {(members: Member[], event: any) => void} [tell] What is done with an event. Members are functions if it is not given. */
  constructor(tell = callAll) {
    this.#tell = tell;
  }

  /**
   * @param {Emitter} emitter
   * @param {string} name
   * @param {Member} member
   */
  join(emitter, name, member) {
    const named = this.#of.get(emitter) ?? new Map();
    this.#of.set(emitter, named);
    let joined = named.get(name);
    if (joined === undefined) {
      /** @type {Set<Member>} */
      const members = new Set();
      joined = { members, listener: (/** @type {any} */ event) => this.#tell([...members], event) };
      named.set(name, joined);
      emitter.on(name, joined.listener);
    }
    joined.members.add(member);
  }

  /**
   * @param {Emitter} emitter
   * @param {string} name
   * @param {Member} member
   */
  leave(emitter, name, member) {
    const named = this.#of.get(emitter);
    const joined = named?.get(name);
    joined?.members.delete(member);
    if (joined === undefined || joined.members.size > 0) return;
    emitter.off(name, joined.listener);
    named?.delete(name);
  }
}

/**
 * @param {any[]} listeners
 * @param {any} event
 */
function callAll(listeners, event) {
  for (const listener of listeners) listener(event);
}

module.exports = { Audience };
