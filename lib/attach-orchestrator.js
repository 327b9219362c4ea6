'use strict';

const { Audience } = require('./audience');
const native = require('./native');
const { refused, toldOf, withCode } = require('./errors');

/** @typedef {import('../index').Memory | import('../index').RestoredMemory} Memory */
/**
 * The part of a vault that is used here.
 *
 * @typedef {import('node:events').EventEmitter & {
 *   readMemories(userId: string, options: { limit: number, constructId: string, since?: Date }): Promise<Memory[]>,
 * }} MemoryVault
 */
/**
 * The part of an orchestrator that is used here.
 *
 * @typedef {object} Orchestrator
 * @property {(...callArguments: any[]) => Promise<any>} prepareMemoryContext
 * @property {(memories: Memory[], event: CapsuleEvent) => unknown} [receiveRestoredMemories]
 */
/**
 * The part of a capsule's event that is used here.
 *
 * @typedef {object} CapsuleEvent
 * @property {'memory' | 'construct'} format
 * @property {string | null} userId
 * @property {string[]} [userIds] By what names `vault.readMemories` would give it to the user.
 * @property {string[]} [constructIds] The names of the constructs that `vault.readMemories` would give it to.
 * @property {Memory[] | null} memories
 */
/**
 * What only the vault itself can do.
 *
 * @typedef {object} Means
 * @property {(userId: string) => string} nameOf The name of a user's folder among the users, in one form.
 * @property {(error: Error) => void} tell Calls the listeners of `error`, whatever they do.
 */
/** @typedef {Record<string, any>} Metadata */
/** @typedef {{ id: string, kind: 'CAPSULE', content: string, timestamp: number, metadata: Metadata }} Restored */
/** @typedef {{ entries: Restored[], hasMore: boolean }} Reading Newest first. */
/** @typedef {{ wrapper: Function, previous: PropertyDescriptor | undefined, attachments: Set<Attachment> }} Hook */

const METHOD = 'prepareMemoryContext';
const KIND = 'CAPSULE';
/** What Chatty's orchestrators take where nobody says another. */
const DEFAULT_LIMIT = 32;
/** The earliest that a date can be: whatever has a date at all is not before it. */
const EARLIEST = new Date(-8.64e15);
const ARRIVALS = ['capsule:imported', 'capsule:updated'];

/**
 * An orchestrator has one hook, however many attachments: so they share the limit, and end in any order.
 *
 * @type {WeakMap<object, Hook>}
 */
const hooks = new WeakMap();

const ofImports = new Audience((/** @type {Attachment[]} */ attachments, event) => {
  // Once for each orchestrator: two constructs of one user share that user's memory capsules.
  const receivers = new Set();
  for (const each of attachments) {
    // Who received it before may have detached this one, or closed the vault.
    if (receivers.has(each.orchestrator) || !each.isAttached || !each.concerns(event)) continue;
    receivers.add(each.orchestrator);
    each.deliver(event);
  }
});
const ofTheEnd = new Audience((/** @type {Attachment[]} */ attachments) => {
  for (const each of attachments) each.leave();
});

/** What one user and construct have in a vault, for one orchestrator. */
class Attachment {
  /** @type {Set<string>} */
  #warned = new Set();

  /** @type {Means} */
  #means;
  /** @type {Hook} */
  #hook;

  /**
   * @param {MemoryVault} vault
   * @param {Orchestrator} orchestrator
   * @param {{ userId: string, constructId: string }} options
   * @param {Means} means
   */
  constructor(vault, orchestrator, { userId, constructId }, means) {
    this.#hook = hookOf(orchestrator);
    this.vault = vault;
    this.orchestrator = orchestrator;
    this.userId = userId;
    this.userName = means.nameOf(userId);
    this.constructId = constructId;
    this.#means = means;
  }

  /**
   * The newest memories. Never throws: a vault in trouble must not take the orchestrator's own context away.
   *
   * @param {number} limit
   * @returns {Promise<Reading>}
   */
  async read(limit) {
    try {
      const { userId, constructId } = this;
      // Among memories whose date can't be read, Chatty's order of all is not newest first.
      let memories = await this.vault.readMemories(userId, { limit, constructId, since: EARLIEST });
      if (memories.length < limit) {
        const all = await this.vault.readMemories(userId, { limit, constructId });
        memories = [...memories, ...all.filter(({ timestamp }) => timeOf(timestamp) === 0)];
      }
      return {
        entries: memories.map(toEntry).filter(({ content }) => /\S/.test(content)),
        hasMore: memories.length >= limit,
      };
    } catch (error) {
      if (/** @type {any} */ (error)?.code !== 'VVAULT_CLOSED') this.#report('the memories could not be read', error);
      return { entries: [], hasMore: false };
    }
  }

  /** @param {CapsuleEvent} event */
  concerns({ format, userId, userIds, constructIds }) {
    // What lies outside of every user's folder is everybody's, if it is a construct's capsule.
    const isOfUser = userId === null ? format !== 'memory' : userIds?.includes(this.userName);
    if (format === 'memory' || !isOfUser) return isOfUser ?? false;
    return constructIds?.some((name) => native.isSameConstruct(name, this.constructId)) ?? false;
  }

  get isAttached() {
    return this.#hook.attachments.has(this);
  }

  /** Until `leave`, or until the vault is closed: then nothing comes, and neither may hold the other. */
  join() {
    this.#hook.attachments.add(this);
    for (const name of ARRIVALS) ofImports.join(this.vault, name, this);
    ofTheEnd.join(this.vault, 'close', this);
  }

  leave() {
    const { attachments } = this.#hook;
    if (!attachments.delete(this)) return;
    for (const name of ARRIVALS) ofImports.leave(this.vault, name, this);
    ofTheEnd.leave(this.vault, 'close', this);
    if (attachments.size === 0) unhook(this.orchestrator, this.#hook);
  }

  /**
   * Hands an import over. Never throws.
   *
   * @param {CapsuleEvent} event
   */
  async deliver(event) {
    try {
      // A list of its own: others are handed the same event.
      await this.orchestrator.receiveRestoredMemories?.([...(event.memories ?? [])], event);
    } catch (error) {
      this.#report('receiveRestoredMemories failed', error);
    }
  }

  /**
   * @param {string} what
   * @param {unknown} cause
   */
  #report(what, cause) {
    const { message: why, code = 'VVAULT_ATTACHMENT', path } = toldOf(cause);
    const message = `attachOrchestrator: ${what}: ${why}`;
    const error = withCode(new Error(message, { cause }), code, path);
    if (this.vault.listenerCount('error') > 0) {
      this.#means.tell(error);
      return;
    }
    if (!this.#warned.has(message)) console.warn(message);
    this.#warned.add(message);
  }
}

/**
 * Adds the memories of a user and construct to what an orchestrator's `prepareMemoryContext()` gives, and hands imports
 * to its `receiveRestoredMemories(memories, event)` if it has one: see `index.d.ts`.
 *
 * @param {MemoryVault} vault
 * @param {Orchestrator} orchestrator
 * @param {{ userId: string, constructId: string }} options
 * @param {Means} means
 * @returns {Promise<{ detach(): void }>}
 */
async function attachOrchestrator(vault, orchestrator, options, means) {
  if (typeof orchestrator?.[METHOD] !== 'function') {
    throw refused(
      `this orchestrator has no ${METHOD}(): give a SynthMemoryOrchestrator, ZenMemoryOrchestrator, or the like`,
    );
  }
  const { userId, constructId } = options ?? {};
  for (const [name, value] of Object.entries({ userId, constructId })) {
    if (typeof value !== 'string' || value === '') {
      throw refused(
        `${name} must be a non-empty string: call attachOrchestrator(orchestrator, { userId, constructId })`,
      );
    }
  }
  const attachment = new Attachment(vault, orchestrator, { userId, constructId }, means);
  attachment.join();
  return handleOf(attachment);
}

/** @param {Attachment} attachment */
function handleOf(attachment) {
  // The vault and the orchestrator hold it for as long as there is something to detach. A handle that is kept keeps neither.
  const reference = new WeakRef(attachment);
  return { detach: () => reference.deref()?.leave() };
}

/**
 * @param {Orchestrator} orchestrator
 * @returns {Hook}
 */
function hookOf(orchestrator) {
  const existing = hooks.get(orchestrator);
  // Where another wrapper lies over ours, or in its place, a new one goes on top: ours may never be called again.
  if (existing !== undefined && existing.wrapper === orchestrator[METHOD]) return existing;

  const original = orchestrator[METHOD];
  /** @type {Hook['attachments']} */
  const attachments = new Set();
  /** @this {any} @param {any[]} callArguments */
  const wrapper = async function prepareMemoryContext(...callArguments) {
    const limit = limitOf(callArguments[0], this);
    if (!(limit > 0)) return original.apply(this, callArguments);
    const attached = [...attachments];
    const { asked, newest, restored } = await readFor(attached, { room: shareOf(limit), own: [], asked: limit });
    const reserved = Math.min(shareOf(limit), restored.length);
    if (reserved > 0 && limit < Number.POSITIVE_INFINITY) {
      callArguments[0] = { ...callArguments[0], maxLtmEntries: limit - reserved };
    }
    return withRestored(await original.apply(this, callArguments), limit, { asked, newest, attached });
  };
  const previous = Object.getOwnPropertyDescriptor(orchestrator, METHOD);
  const descriptor = { value: wrapper, writable: true, configurable: true, enumerable: previous?.enumerable ?? false };
  if (!Reflect.defineProperty(orchestrator, METHOD, descriptor)) {
    throw refused(`this orchestrator is frozen: attach before its ${METHOD} is made read-only`);
  }
  const hook = { wrapper, previous, attachments };
  hooks.set(orchestrator, hook);
  return hook;
}

/**
 * Puts back what was there. A wrapper that somebody laid over ours stays; ours below it, with no attachment, only
 * passes calls on.
 *
 * @param {Orchestrator} orchestrator
 * @param {Hook} hook
 */
function unhook(orchestrator, { wrapper, previous }) {
  if (Object.getOwnPropertyDescriptor(orchestrator, METHOD)?.value !== wrapper) return;
  if (previous === undefined) Reflect.deleteProperty(orchestrator, METHOD);
  else Reflect.defineProperty(orchestrator, METHOD, previous);
}

/**
 * The part of a limit that is for restored memories in any case. Of a single entry it is none: Chatty's orchestrators would
 * take what is left, a limit of 0, for none.
 *
 * @param {number} limit
 */
function shareOf(limit) {
  return Math.min(Math.ceil(limit / 4), limit - 1);
}

/**
 * The context with restored memories among its long-term entries. They fill what the orchestrator's own entries leave
 * of the limit, and have their share of it in any case: it was asked for so many fewer of its own. Where it gives more
 * all the same, they stay, and the whole exceeds the limit: they were chosen by relevance.
 *
 * @param {any} context Not changed: it may be frozen, or kept by the orchestrator.
 * @param {number} limit
 * @param {{ asked: number, newest: Reading[], attached: Attachment[] }} read What was read already.
 */
async function withRestored(context, limit, { asked, newest, attached }) {
  if (context === null || typeof context !== 'object') return context;
  const own = Array.isArray(context.ltmEntries) ? context.ltmEntries : [];
  const room = Math.max(limit - own.length, shareOf(limit));
  const { restored } = await readFor(attached, { room, own, asked, newest });
  restored.length = Math.min(restored.length, room);
  return restored.length === 0 ? context : { ...context, ltmEntries: merge(own, restored) };
}

/**
 * The newest restored memories for a room. What turns out to be there already leaves room: more is asked for, until the room
 * is filled with what is newer than all that was not asked for, or nothing is left.
 *
 * @param {Attachment[]} attached
 * @param {{ room: number, own: any[], asked: number, newest?: Reading[] }} need `newest`: what was read already.
 */
async function readFor(attached, { room, own, asked, newest }) {
  newest ??= await readAll(attached, asked);
  if (room <= 0) return { asked, newest, restored: [] };
  let restored = newestOnce(newest, own);
  for (
    let last = restored[room - 1];
    newest.some((reading) => mayHaveNewer(reading, last));
    last = restored[room - 1]
  ) {
    asked *= 2;
    newest = await readAll(attached, asked);
    restored = newestOnce(newest, own);
  }
  return { asked, newest, restored };
}

/**
 * Whether behind a reading there may be something newer than an entry, if there is one.
 *
 * @param {Reading} reading
 * @param {Restored | undefined} entry
 */
function mayHaveNewer({ entries, hasMore }, entry) {
  return hasMore && (entry === undefined || (entries.at(-1)?.timestamp ?? Number.POSITIVE_INFINITY) > entry.timestamp);
}

/**
 * @param {Attachment[]} attachments
 * @param {number} limit Of each.
 * @returns {Promise<Reading[]>}
 */
function readAll(attachments, limit) {
  return Promise.all(attachments.map((attachment) => attachment.read(limit)));
}

/**
 * The limit of a call: no number is none at all (NaN), as in the orchestrators.
 *
 * @param {any} overrides
 * @param {any} orchestrator
 * @returns {number}
 */
function limitOf(overrides, orchestrator) {
  const stated = [overrides?.maxLtmEntries, orchestrator?.maxLtmEntries];
  return Math.trunc(stated.find((limit) => typeof limit === 'number') ?? DEFAULT_LIMIT);
}

/**
 * @param {Memory} memory
 * @returns {Restored}
 */
function toEntry({ id, content, timestamp, role, metadata }) {
  return {
    id,
    kind: KIND,
    content: textOf(content),
    timestamp: timeOf(timestamp),
    metadata: { ...metadata, source: 'vvault', role, memoryId: id },
  };
}

/**
 * Chatty's consumers call string methods on it. A memory capsule may hold any JSON value.
 *
 * @param {unknown} content
 * @returns {string} `''` for what has no text.
 */
function textOf(content) {
  if (typeof content === 'string') return content;
  if (content === null || content === undefined) return '';
  try {
    return JSON.stringify(content);
  } catch {
    // `JSON.parse` reads nesting of any depth; `JSON.stringify` has a limit.
    return '';
  }
}

/**
 * A memory of unknown time counts as the oldest, as `new Date(null)` does: NaN would neither sort nor survive JSON.
 *
 * @param {any} timestamp
 */
function timeOf(timestamp) {
  // Of the rest, some can't be converted: `new Date({ toString: 0, valueOf: 0 })` throws.
  if (typeof timestamp !== 'string' && typeof timestamp !== 'number') return 0;
  return new Date(timestamp).getTime() || 0;
}

/**
 * Newest first, none twice, and none that the orchestrator has found itself.
 *
 * @param {Reading[]} readings
 * @param {any[]} own
 */
function newestOnce(readings, own) {
  const seen = new Set();
  const add = (/** @type {any} */ entry) => {
    for (const name of identities(entry)) for (const role of [roleOf(entry), 'anybody']) seen.add(`${role} ${name}`);
  };
  const isKnown = (/** @type {any} */ entry) => {
    const role = roleOf(entry);
    const roles = role === 'somebody' ? ['anybody'] : [role, 'somebody'];
    return identities(entry).some((name) => roles.some((each) => seen.has(`${each} ${name}`)));
  };
  own.forEach(add);
  return readings
    .flatMap(({ entries }) => entries)
    .sort((a, b) => b.timestamp - a.timestamp)
    .filter((entry) => {
      const isNew = !isKnown(entry);
      // Of one that is there already, too: it may have another name.
      add(entry);
      return isNew;
    });
}

/**
 * Who said it, where that tells two memories of one text and time from each other: the lists of a construct's capsule, as many
 * entries of orchestrators, don't say.
 *
 * @param {any} entry
 */
function roleOf(entry) {
  const role = entry?.metadata?.role;
  return role === 'user' || role === 'assistant' ? role : 'somebody';
}

/**
 * What only the same memory has, if the same one said it: its text at its time; its text under its id, for a capsule without a
 * date has the time of the reading; its text from its file, where orchestrators made it of `readMemories`' answers. None of
 * these alone: transcripts without a header share an id, and what a file holds now may be another text than what it held.
 *
 * @param {any} entry
 * @returns {string[]}
 */
function identities(entry) {
  const content = textOf(entry?.content);
  const names = [`${timeOf(entry?.timestamp)} ${content}`];
  const { memoryId, capsuleId, filename } = entry?.metadata ?? {};
  for (const [kind, name] of Object.entries({ id: memoryId, capsule: capsuleId, file: filename })) {
    if (typeof name === 'string') names.push(`${kind} ${JSON.stringify(name)} ${content}`);
  }
  return names;
}

/**
 * The orchestrator's entries keep their order, which may be by relevance. Each restored one stands before the first
 * that is older: newest first throughout, if the orchestrator's are.
 *
 * @param {any[]} own
 * @param {Restored[]} restored
 */
function merge(own, restored) {
  const merged = [];
  let next = 0;
  for (const entry of own) {
    while (next < restored.length && restored[next].timestamp > timeOf(entry?.timestamp)) merged.push(restored[next++]);
    merged.push(entry);
  }
  return merged.concat(restored.slice(next));
}

module.exports = { attachOrchestrator };
