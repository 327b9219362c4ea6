'use strict';

const { Refusal, isOver, onceOver, relative, withoutPlace } = require('./answering');
const { Audience } = require('./audience');
const { jsonText } = require('./json-text');

/** @typedef {import('../index').Vault} Vault */
/** @typedef {import('../index').CapsuleEvent} CapsuleEvent */
/** @typedef {import('./answering').Request} Request */
/** @typedef {import('./answering').Response} Response */
/** @typedef {{ id: string, text: string }} Told An event as it is sent. */

const HEARTBEAT = 15_000;
/** Whoever has something waiting for so many heartbeats, and takes nothing of it, is let go. */
const STALLED_BEATS = 4;
/** Whoever takes events up so slowly that more is waiting is let go, and can resume. */
const MOST_WAITING = 1024 * 1024;
/** So many listen at once. What may wait for them is the most memory that they can cost. */
const MOST_CLIENTS = 128;
/** For those who resume: so many events and characters are kept. All must fit into what may wait for a client. */
const KEPT_EVENTS = 1000;
const KEPT_LENGTH = 256 * 1024;
const LONGEST_EVENT = 16 * 1024;

const HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
  'X-Content-Type-Options': 'nosniff',
};

/** @type {InstanceType<typeof Audience<(event: any) => void>>} */
const audience = new Audience();

/** Events of a vault as server-sent events, and whoever listens to them over HTTP. */
class EventStream {
  /** How long each client has taken nothing of what waits for it, in heartbeats. @type {Map<Response, number>} */
  #clients = new Map();
  /** @type {Told[]} The newest events, the oldest first. */
  #kept = [];
  #keptLength = 0;
  /** The id of the event before those that are kept. */
  #before;
  /** What tells the ids of this process from those of one before. */
  #run = require('node:crypto').randomUUID();
  #count = 0;
  /** Of the newest event. @type {string | null | undefined} */
  #cursor;
  #closed = false;
  /** @type {NodeJS.Timeout | undefined} */
  #heart;
  #vault;
  #withoutPlace;
  #kinds;
  /** One for all clients, so that it does not matter how many there are, and those who come back have missed nothing. */
  #listener = (/** @type {CapsuleEvent} */ event) => this.#tell(event);
  #ender = () => this.close();

  /**
   * @param {Vault} vault
   * @param {CapsuleEvent['kind'][]} kinds Which events are sent.
   */
  constructor(vault, kinds) {
    this.#vault = vault;
    this.#withoutPlace = withoutPlace(vault);
    this.#kinds = kinds;
    this.#before = this.#localId();
    for (const kind of kinds) audience.join(vault, `capsule:${kind}`, this.#listener);
    // Nothing comes any more: whoever listens is to know.
    audience.join(vault, 'close', this.#ender);
  }

  /**
   * Sends a client what is told from now on, and before that what came after the event that it had last.
   *
   * @param {Request} req
   * @param {Response} res
   * @throws {Refusal} If too many listen already.
   */
  send(req, res) {
    if (req.method === 'HEAD' || this.#closed) {
      res.writeHead(200, HEADERS).end();
      return;
    }
    if (this.#clients.size >= MOST_CLIENTS) {
      throw new Refusal(503, 'Too many listen to the events already', { 'Retry-After': '30' });
    }
    res.writeHead(200, HEADERS);
    const last = req.headers['last-event-id'] || undefined;
    const newest = this.#kept.at(-1)?.id ?? this.#before;
    const place = last === this.#before ? 0 : this.#kept.findLastIndex(({ id }) => id === last) + 1;
    let text = 'retry: 3000\n';
    if (last === undefined) text += `id: ${newest}\n\n`;
    else if (place === 0 && last !== this.#before) text += `event: reset\nid: ${newest}\ndata: {}\n\n`;
    else
      text += `\n${this.#kept
        .slice(place)
        .map((told) => told.text)
        .join('')}`;
    // It comes also when the connection breaks, which is nobody's error.
    res.on('error', () => {});
    if (isOver(req, res)) return;
    onceOver(req, res, () => this.#forget(res));
    this.#clients.set(res, 0);
    this.#heart ??= setInterval(() => this.#beat(), HEARTBEAT).unref();
    write(res, text);
  }

  /** Ends all streams, and listens no more. */
  close() {
    this.#closed = true;
    for (const kind of this.#kinds) audience.leave(this.#vault, `capsule:${kind}`, this.#listener);
    audience.leave(this.#vault, 'close', this.#ender);
    for (const res of this.#clients.keys()) res.end();
  }

  /** @param {Response} res */
  #forget(res) {
    this.#clients.delete(res);
    if (this.#clients.size > 0) return;
    clearInterval(this.#heart);
    this.#heart = undefined;
  }

  #beat() {
    for (const [res, beats] of this.#clients) {
      if (res.writableLength === 0) this.#clients.set(res, 0);
      else if (beats < STALLED_BEATS) this.#clients.set(res, beats + 1);
      else res.destroy();
    }
    this.#write(': heartbeat\n\n');
  }

  /** @param {CapsuleEvent} event */
  #tell(event) {
    this.#count += 1;
    const { memories, path: file, cursor, reason, ...rest } = event;
    // What a call has met has the cursor of the event before it.
    const isOwn = typeof cursor === 'string' && cursor !== this.#cursor && /^[\x20-\x7e]+$/.test(cursor);
    const id = isOwn ? cursor : this.#localId();
    this.#cursor = cursor;
    const place = { path: relative(this.#vault.root, file), cursor };
    const why = reason ? this.#withoutPlace(reason) : null;
    let data = jsonText({ ...rest, reason: why, ...place, memoryCount: memories?.length ?? 0 });
    // The capsule's own members can have any size.
    if (data.length > LONGEST_EVENT) data = JSON.stringify({ kind: event.kind, format: event.format, ...place });
    const told = { id, text: `event: ${event.kind}\nid: ${id}\ndata: ${data}\n\n` };
    this.#kept.push(told);
    this.#keptLength += told.text.length;
    while (this.#kept.length > KEPT_EVENTS || this.#keptLength > KEPT_LENGTH) {
      const oldest = /** @type {Told} */ (this.#kept.shift());
      this.#keptLength -= oldest.text.length;
      this.#before = oldest.id;
    }
    this.#write(told.text);
  }

  /** Of an event that has no cursor of its own. */
  #localId() {
    return `${this.#run}.${this.#count}`;
  }

  /** @param {string} text */
  #write(text) {
    for (const res of this.#clients.keys()) write(res, text);
  }
}

/**
 * @param {Response} res
 * @param {string} text
 */
function write(res, text) {
  res.write(text);
  // Where Express compresses, it also collects.
  /** @type {any} */ (res).flush?.();
  if (res.writableLength > MOST_WAITING) res.destroy();
}

module.exports = { EventStream };
