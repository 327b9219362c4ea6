'use strict';

// What the watch tells, on its way from the engine: see `with_memories` and `told_in_brief` in src/node/vault.rs.

const { basename } = require('node:path');

/** Puts events together whose memories are so many that they come in parts. */
class Assembly {
  #missing = 0;
  /** @type {any} */
  #event = null;
  /** @type {import('../index').RestoredMemory[][]} */
  #parts = [];

  /**
   * @param {any} item How many parts the next event's memories have, an event, a part, or an event in brief.
   * @returns {any} The event, if it is whole now.
   */
  add(item) {
    if (Array.isArray(item)) {
      if (this.#missing === 0) return eventOf(item);
      this.#parts.push(item);
    } else if (typeof item === 'number') this.#missing = item;
    else this.#event = withReaders(item);
    if (this.#event === null || this.#parts.length < this.#missing) return null;
    const event = this.#event;
    if (this.#parts.length > 0) event.memories = /** @type {any[]} */ ([]).concat(...this.#parts);
    [this.#missing, this.#event, this.#parts] = [0, null, []];
    return event;
  }
}

/** Where in a brief event the names of its readers begin. */
const READERS = 13;

/**
 * The event of one told in brief: a usual memory. Kind, path, user, recipe, cursor, whether it is valid, then what
 * `Memory::write_values` writes (timestamp, content, role, tags, consent, embed model, hash), then its readers.
 *
 * @param {any[]} brief
 */
function eventOf(brief) {
  const path = brief[1];
  const filename = basename(path);
  const id = filename.slice(0, -'.json'.length);
  const event = {
    kind: brief[0],
    path,
    format: 'memory',
    userId: brief[2],
    constructId: null,
    instanceName: null,
    uuid: null,
    timestamp: null,
    integrity: { valid: brief[5], recipe: brief[3], tether: null },
    memories: [
      {
        id,
        type: 'capsule',
        timestamp: brief[6],
        content: brief[7],
        role: brief[8],
        metadata: {
          source: 'capsule',
          filename,
          capsuleId: id,
          tags: brief[9],
          consent: brief[10],
          embedModel: brief[11],
          hash: brief[12],
        },
      },
    ],
    reason: null,
    cursor: brief[4],
  };
  return Object.defineProperty(event, 'userIds', { value: brief.slice(READERS) });
}

/**
 * Who would read it is for attached orchestrators, not to be seen by who compares, copies or prints the event.
 *
 * @param {any} event
 */
function withReaders(event) {
  for (const name of ['constructIds', 'userIds']) {
    if (name in event) Object.defineProperty(event, name, { enumerable: false });
  }
  return event;
}

module.exports = { Assembly };
