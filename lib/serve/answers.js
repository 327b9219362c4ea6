'use strict';

// What the page is told of a vault. Everything is bounded, and nothing that a capsule calls something becomes a member's name.

const native = require('../native');
const { Refusal, listedFile, relative, shared, withoutPlace } = require('../answering');
const { placeOf } = require('../capsule-handler');
const { timeOfCapsule } = require('../capsule-time');
const { jsonText } = require('../json-text');
const { insideOf } = require('../vault');

/** @typedef {import('../../index').Vault} Vault */
/** @typedef {import('../../index').Memory} Memory */
/** @typedef {import('../../index').VerifiedCapsule} VerifiedCapsule */

const MOST_USERS = 5000;
const MOST_CONSTRUCTS = 1000;
const MOST_VERSIONS = 200;
const MOST_PROBLEMS = 500;
const MOST_ENTRIES = 60;
const MOST_TAGS = 20;
/** A page of memories at most. */
const MOST_MEMORIES = 200;
/** How far back pages go: each costs what those before it cost. A narrower time goes further. */
const FURTHEST = 100_000;
/** Characters of one memory that are shown. */
const LONGEST_CONTENT = 8000;
const LONGEST_TEXT = 500;
const LONGEST_NAME = 200;

/**
 * The answers to the page's questions, by path.
 *
 * @param {Vault} vault
 */
function createAnswers(vault) {
  const { load } = insideOf(vault);
  const reasonOf = reasonsOf(vault);
  const discovered = shared(() => vault.discoverCapsules());
  const verified = shared(async () => verdictsOf(vault.root, await vault.verifyCapsules(), reasonOf));

  /** @type {Map<string, (query: URLSearchParams) => Promise<object>>} */
  const routes = new Map();

  routes.set('/api/overview', async () => {
    const [users, capsules] = await Promise.all([vault.listUsers(), discovered()]);
    const groups = constructsOf(vault, capsules);
    return {
      vault: clipped(vault.root.split(/[\\/]/).pop(), LONGEST_NAME),
      isWatched: vault.cursor !== null,
      users: users.slice(0, MOST_USERS).map((user) => clipped(user, LONGEST_NAME)),
      userCount: users.length,
      constructs: groups.slice(0, MOST_CONSTRUCTS),
      constructCount: groups.length,
      capsuleCount: capsules.length,
    };
  });

  // Never kept: the watch tells nothing of the end of a file that was unsound, nor of copies in places that it does not cover.
  routes.set('/api/verdicts', () => verified());

  routes.set('/api/memories', async (query) => {
    const offset = wholeNumber(query, 'offset', 0, FURTHEST);
    const limit = wholeNumber(query, 'limit', 50, MOST_MEMORIES);
    const found = await memoriesOf(vault, query, offset + limit + 1);
    const memories = found.slice(offset, offset + limit).map((memory) => memoryRow(memory));
    const isMore = found.length > offset + limit;
    return { memories, next: isMore && offset + limit <= FURTHEST ? offset + limit : null, isMore };
  });

  routes.set('/api/capsule', async (query) => {
    const place = query.get('path') ?? '';
    const file = await listedFile(vault.root, place);
    const loaded = file === null ? null : await load(file);
    const text = loaded?.text() ?? null;
    if (!loaded || text === null) throw new Refusal(404, 'Capsule not found');
    const { fingerprintValid: valid = null, tetherValid: tether = null, recipe = null, errorMessage } = loaded;
    const verdict = { integrity: { valid, recipe, tether }, reason: reasonOf(errorMessage) };
    return { path: place, ...verdict, ...contentOf(text) };
  });

  routes.set('/api/versions', async (query) => {
    const found = await vault.listCapsules(demanded(query, 'instance'));
    const versions = found.slice(0, MOST_VERSIONS).map(({ uuid, filename, tags, generator, created_at }) => ({
      uuid: clipped(uuid, LONGEST_NAME),
      filename: clipped(filename, LONGEST_NAME),
      tags: tagsOf(tags),
      generator: clipped(generator, LONGEST_NAME),
      stored: clipped(created_at, LONGEST_NAME),
    }));
    return { versions, count: found.length };
  });

  return routes;
}

/**
 * The constructs that capsules are of, each with its versions, the newest first.
 *
 * @param {Vault} vault
 * @param {import('../../index').DiscoveredCapsule[]} capsules
 */
function constructsOf(vault, capsules) {
  /** @type {Map<string, { owner: string | null, name: string, instances: Set<string>, versions: any[] }>} */
  const groups = new Map();
  for (const capsule of capsules) {
    const { owner, within } = placeOf(vault, capsule.path);
    const steps = within.split('/');
    const isStore = owner === null && steps[0] === 'capsules' && steps.length > 2;
    const folder = (isStore || steps[0] === 'instances') && steps.length > 2 ? steps[1] : null;
    const time = timeOfCapsule(capsule.timestamp);
    const called =
      typeof capsule.instanceName === 'string' && capsule.instanceName !== '' ? capsule.instanceName : null;
    const name = folder ?? called ?? capsule.name.replace(/\.capsule$/, '');
    const key = `${owner ?? ''}/${sameName(name)}`;
    const group = groups.get(key) ?? { owner, name: clipped(name, LONGEST_NAME), instances: new Set(), versions: [] };
    groups.set(key, group);
    if (isStore && folder !== null) group.instances.add(folder);
    group.versions.push({
      path: relative(vault.root, capsule.path),
      instanceName: clipped(capsule.instanceName, LONGEST_NAME),
      uuid: clipped(capsule.uuid, LONGEST_NAME),
      timestamp: clipped(capsule.timestamp, LONGEST_NAME),
      time: Number.isNaN(time) ? Date.parse(capsule.modified) : time,
      size: capsule.size,
    });
  }
  return [...groups.values()]
    .sort((a, b) => a.name.localeCompare(b.name, 'en') || (a.owner ?? '').localeCompare(b.owner ?? '', 'en'))
    .map(({ instances, versions, ...group }) => ({
      ...group,
      instances: [...instances],
      count: versions.length,
      versions: versions.sort((a, b) => b.time - a.time).slice(0, MOST_VERSIONS),
    }));
}

/**
 * One spelling for the names of a construct: `Nova`, `nova-001` and `gpt-nova-001` are the same.
 *
 * @param {string} name
 */
function sameName(name) {
  return name.toLowerCase().replace(/^gpt-/, '').replace(/-001$/, '');
}

/**
 * @param {string} root
 * @param {VerifiedCapsule[]} verified
 * @param {ReturnType<typeof reasonsOf>} reasonOf
 */
function verdictsOf(root, verified, reasonOf) {
  const tell = (/** @type {VerifiedCapsule} */ { path, format, integrity, reason }) => ({
    path: relative(root, path),
    format,
    integrity,
    reason: reasonOf(reason),
  });
  const problems = verified.filter(({ reason }) => reason !== null);
  const unstated = verified.filter(({ integrity, reason }) => reason === null && integrity.valid === null);
  const constructs = verified.filter(({ format }) => format === 'construct');
  return {
    checked: new Date().toISOString(),
    count: verified.length,
    unsound: problems.length,
    unstated: unstated.length,
    problems: problems.slice(0, MOST_PROBLEMS).map(tell),
    constructs: constructs.slice(0, MOST_CONSTRUCTS * 5).map(tell),
  };
}

/**
 * The memories that a query asks for, the newest first.
 *
 * @param {Vault} vault
 * @param {URLSearchParams} query
 * @param {number} limit
 * @returns {Promise<Memory[]>}
 */
async function memoriesOf(vault, query, limit) {
  const [since, until] = [date(query, 'since'), date(query, 'until')];
  const role = query.get('role') || null;
  const tags = query.getAll('tag').filter(Boolean);
  const constructId = query.get('construct') || null;
  const userId = query.get('user');
  if (userId) {
    const options = { limit, role, since, until, constructId, tags: tags.length > 0 ? tags : null };
    return vault.readMemories(userId, options).catch((error) => {
      if (error.code === 'VVAULT_OUTSIDE') throw new Refusal(404, 'No such user');
      if (error.code !== 'VVAULT_TIMESTAMP') throw error;
      throw new Refusal(422, 'A memory of this user has a timestamp that is no date, and cannot be');
    });
  }
  if (!constructId) throw new Refusal(400, 'Whose memories? Give user, or construct');
  const { memories } = await vault.restoreConstruct(constructId).catch((error) => {
    if (error.code === 'VVAULT_UNSOUND') throw new Refusal(422, 'The construct has no sound capsule');
    if (error.code === 'VVAULT_NO_CONSTRUCT' || error.code === 'VVAULT_INVALID_NAME') {
      throw new Refusal(404, 'There is no such construct, or several users have one: choose a user');
    }
    throw error;
  });
  // Restored memories have no tags.
  const wanted = memories.filter((memory) => {
    const time = timeOf(memory.timestamp);
    const isInTime = (since === null && until === null) || time !== null;
    const isLate = since === null || Number(time) >= since.getTime();
    const isEarly = until === null || Number(time) <= until.getTime();
    return isInTime && isLate && isEarly && (role === null || memory.role === role) && tags.length === 0;
  });
  return wanted.sort((a, b) => (timeOf(b.timestamp) ?? 0) - (timeOf(a.timestamp) ?? 0)).slice(0, limit);
}

/** @param {Memory} memory */
function memoryRow(memory) {
  const { metadata } = /** @type {{ metadata: any }} */ (memory);
  const content = textOf(memory.content);
  return {
    id: clipped(memory.id, LONGEST_NAME),
    type: memory.type,
    time: timeOf(memory.timestamp),
    timestamp: clipped(memory.timestamp, LONGEST_NAME),
    role: clipped(memory.role, LONGEST_NAME),
    content: content.slice(0, LONGEST_CONTENT),
    length: content.length,
    tags: tagsOf(metadata.tags),
    session: clipped(metadata.sessionId, LONGEST_NAME),
    kind: clipped(metadata.kind, LONGEST_NAME),
    from: clipped(metadata.filename ?? metadata.instanceName, LONGEST_NAME),
    isUnsound: metadata.integrity?.valid === false,
  };
}

/**
 * What a capsule's text holds, as far as it is shown.
 *
 * @param {string} text
 */
function contentOf(text) {
  /** @type {import('../../index').ConstructState} */
  let state;
  try {
    state = JSON.parse(native.restoreConstruct(text));
  } catch {
    return { isReadable: false };
  }
  /** @type {Map<string, number>} */
  const kinds = new Map();
  for (const { metadata } of state.memories) kinds.set(metadata.kind, (kinds.get(metadata.kind) ?? 0) + 1);
  return {
    isReadable: true,
    instanceName: clipped(state.instanceName, LONGEST_NAME),
    uuid: clipped(state.uuid, LONGEST_NAME),
    timestamp: clipped(state.timestamp, LONGEST_NAME),
    traits: entriesOf(state.traits),
    personality: entriesOf(state.personality),
    memoryCount: state.memories.length,
    memoryKinds: [...kinds],
  };
}

/**
 * The plain values in an object, each with its place: objects in it are gone into, lists of plain values are one text.
 *
 * @param {Record<string, unknown>} object
 * @returns {{ entries: { group: string, name: string, value: number | string }[], isMore: boolean }}
 */
function entriesOf(object) {
  /** @type {{ group: string, name: string, value: number | string }[]} */
  const entries = [];
  let isMore = false;
  /** @param {object} within @param {string[]} way */
  const enter = (within, way) => {
    for (const [name, value] of Object.entries(within)) {
      if (entries.length >= MOST_ENTRIES) {
        isMore = true;
        return;
      }
      const isPlain = typeof value !== 'object' || value === null || Array.isArray(value) || way.length >= 3;
      if (!isPlain) {
        enter(value, [...way, name]);
        continue;
      }
      const told = Array.isArray(value) && value.every((item) => typeof item !== 'object') ? value.join(', ') : value;
      entries.push({
        group: clipped(way.join(' · '), LONGEST_NAME),
        name: clipped(name, LONGEST_NAME),
        value: typeof told === 'number' ? told : clipped(told, LONGEST_TEXT),
      });
    }
  };
  enter(object, []);
  return { entries, isMore };
}

/**
 * Why files are not sound, as it is told.
 *
 * @param {Vault} vault
 */
function reasonsOf(vault) {
  const told = withoutPlace(vault);
  return (/** @type {string | null | undefined} */ reason) => (reason ? clipped(told(reason), LONGEST_TEXT) : null);
}

/** @param {unknown} tags */
function tagsOf(tags) {
  return Array.isArray(tags) ? tags.slice(0, MOST_TAGS).map((tag) => clipped(tag, LONGEST_NAME)) : [];
}

/** @param {unknown} value */
function textOf(value) {
  if (typeof value === 'string') return value;
  return value === undefined || value === null ? '' : jsonText(value);
}

/**
 * @param {unknown} value
 * @param {number} longest
 */
function clipped(value, longest) {
  const text = textOf(value);
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}

/**
 * A memory's time, as `readMemories` has it.
 *
 * @param {unknown} timestamp
 * @returns {number | null}
 */
function timeOf(timestamp) {
  if (typeof timestamp !== 'string' && typeof timestamp !== 'number') return null;
  const time = new Date(timestamp).getTime();
  return Number.isNaN(time) ? null : time;
}

/**
 * @param {URLSearchParams} query
 * @param {string} name
 */
function demanded(query, name) {
  const value = query.get(name);
  if (!value) throw new Refusal(400, `${name} is missing`);
  return value;
}

/**
 * @param {URLSearchParams} query
 * @param {string} name
 * @returns {Date | null}
 */
function date(query, name) {
  const value = query.get(name);
  if (!value) return null;
  const parsed = new Date(value);
  if (Number.isNaN(parsed.getTime())) throw new Refusal(400, `${name} must be a date`);
  return parsed;
}

/**
 * @param {URLSearchParams} query
 * @param {string} name
 * @param {number} otherwise
 * @param {number} most
 */
function wholeNumber(query, name, otherwise, most) {
  const value = query.get(name);
  if (value === null) return otherwise;
  if (!/^\d{1,9}$/.test(value) || Number(value) > most) {
    throw new Refusal(400, `${name} must be a whole number up to ${most}`);
  }
  return Number(value);
}

module.exports = { createAnswers };
