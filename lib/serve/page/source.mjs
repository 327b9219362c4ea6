// What the page asks the server.

const TOKEN = 'vvault-token';
/** Whoever looks elsewhere for so long needs no events: browsers have few connections for all tabs. */
const UNSEEN = 60_000;
const LONGEST_WAIT = 30_000;
const LONGEST_LINE = 1_000_000;

/**
 * @typedef {object} VaultEvent
 * @property {'imported' | 'updated' | 'removed' | 'rejected'} kind
 * @property {string} path
 * @property {'construct' | 'memory'} format
 * @property {string | null} [userId]
 * @property {string | null} [constructId]
 * @property {unknown} [instanceName]
 * @property {string | null} [reason]
 * @property {number} [memoryCount]
 */

/** The server wants a token, or another one. */
export class Unauthorized extends Error {}

/**
 * Kept for as long as the tab is open, and for this origin alone: a cookie would be sent by other pages too, and to other
 * servers of this host.
 *
 * @param {string} token
 */
export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

export function forgetToken() {
  sessionStorage.removeItem(TOKEN);
}

/** @returns {Record<string, string>} */
function authorization() {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/**
 * @param {string} path
 * @param {Record<string, string | number | string[] | null | undefined>} [query] What is empty is left out.
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function ask(path, query = {}, signal) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of [value].flat())
      if (each !== null && each !== undefined && each !== '') search.append(name, `${each}`);
  }
  // Below the page's own address, wherever a proxy has put it.
  const response = await fetch(`.${path}?${search}`, { headers: authorization(), signal });
  if (response.status === 401) throw new Unauthorized();
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  throw new Error(answer.error ?? `The server answers with status ${response.status}`);
}

/**
 * Follows the vault's events for as long as the page is open, and goes on where it left off.
 *
 * @param {object} listener
 * @param {(event: VaultEvent) => void} listener.onEvent
 * @param {() => void} listener.onReset Events have been missed, and are not to be had any more.
 * @param {(state: 'live' | 'away') => void} listener.onState
 * @param {() => void} listener.onUnauthorized
 */
export async function follow({ onEvent, onReset, onState, onUnauthorized }) {
  /** @type {string | undefined} */
  let last;
  let wait = 1000;
  for (;;) {
    await seen();
    const unseen = whenUnseen();
    try {
      // Not an EventSource, which can't send the token.
      const headers = { ...authorization(), ...(last === undefined ? {} : { 'Last-Event-ID': last }) };
      const response = await fetch('./api/events', { headers, signal: unseen.signal, cache: 'no-store' });
      if (response.status === 401) {
        onUnauthorized();
        return;
      }
      if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
      onState('live');
      wait = 1000;
      for await (const { name, id, data } of messages(response.body)) {
        if (id !== '') last = id;
        if (name === 'reset') onReset();
        else if (name !== '') onEvent(JSON.parse(data));
      }
    } catch {
      // The connection broke, the server is gone, or nobody looked: it is tried again.
    } finally {
      unseen.forget();
    }
    if (document.visibilityState === 'hidden') continue;
    onState('away');
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }
}

/** @returns {Promise<void>} */
async function seen() {
  while (document.visibilityState === 'hidden') {
    await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }));
  }
}

/** A signal for when nobody has looked at the page for some time. */
function whenUnseen() {
  const controller = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const look = () => {
    clearTimeout(timer);
    if (document.visibilityState === 'hidden') timer = setTimeout(() => controller.abort(), UNSEEN);
  };
  document.addEventListener('visibilitychange', look);
  const forget = () => {
    clearTimeout(timer);
    controller.abort();
    document.removeEventListener('visibilitychange', look);
  };
  return { signal: controller.signal, forget };
}

/**
 * The messages of a stream of server-sent events.
 *
 * @param {ReadableStream<BufferSource>} body
 */
async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let message = { name: '', id: '', data: '' };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LONGEST_LINE) throw new Error('a line without end');
    for (const line of lines) {
      if (line === '') {
        yield message;
        message = { name: '', id: '', data: '' };
      } else if (line.startsWith('event: ')) message.name = line.slice(7);
      else if (line.startsWith('id: ')) message.id = line.slice(4);
      else if (line.startsWith('data: ')) message.data = line.slice(6);
    }
  }
}
