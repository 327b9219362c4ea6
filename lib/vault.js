'use strict';

const { EventEmitter } = require('node:events');
const fs = require('node:fs/promises');
const path = require('node:path');
const { clearInterval, setImmediate, setInterval } = require('node:timers');
const { isDate } = require('node:util/types');
const native = require('./native');
const { absoluteAs, isWithin } = require('./absolute');
const { checkSignal, exact, jsonOf, named, optionalFunction, optionalText, reasonOf, text } = require('./arguments');
const { attachOrchestrator } = require('./attach-orchestrator');
const { cacheFolder } = require('./cache-folder');
const { complain, refused, toVaultError, withCode } = require('./errors');
const { escapeLine } = require('./harmless');
const {
  Turns,
  freshnessOf,
  invalid,
  memoriesOf,
  requestOf,
  room,
  rows,
  turn,
  unchangedOf,
  warn,
} = require('./reading');
const { createRuntimeConfig } = require('./runtime-config');
const { Assembly } = require('./watch-events');

/** @typedef {import('../index').VaultOptions} VaultOptions */
/** @typedef {import('../index').VaultReadOptions} VaultReadOptions */
/** @typedef {import('../index').CapsuleEvent} CapsuleEvent */
/** @typedef {import('../index').CapsuleMetadata} CapsuleMetadata */
/** @typedef {import('../index').Memory} Memory */

/** What `Vault.open` can be told. */
const OPEN_OPTIONS = [
  'create',
  'directories',
  'integrity',
  'expectedTetherSignature',
  'maxCapsuleBytes',
  'watch',
  'pollInterval',
  'since',
  'cacheDir',
  'onProgress',
  'signal',
];
/** What `readMemories` can be asked. */
const READ_OPTIONS = ['limit', 'sessionId', 'role', 'since', 'until', 'tags', 'constructId', 'before', 'signal'];
const DIRECTORIES = { users: 'users', capsules: 'capsules', transcripts: 'transcripts' };

/** A folder among the users that is one of users, as Chatty shards them. */
const SHARD = /^shard_[0-9]+$/;

/** What is told also of a vault that is closed. @type {Set<string | symbol>} */
const TOLD_AFTER_CLOSE = new Set(['close', 'error', EventEmitter.errorMonitor]);

/** Only `Vault.open` makes vaults. */
const OPENING = Symbol('opening');

/** Of a storm so many milliseconds are told, then it is others' turn. */
const TELLING_MS = 1;

/**
 * What other parts of this package know of a vault, and nobody else.
 *
 * @typedef {object} Inside
 * @property {typeof DIRECTORIES} directories
 * @property {string} realRoot The vault's folder, behind all links.
 * @property {() => boolean} isClosed
 * @property {(file: string) => Promise<import('../binding').LoadedCapsule>} load Reads and judges a construct's capsule.
 * @property {(file: string) => Promise<import('../binding').CapsuleAnswer | null>} answerWith The same, for an answer over HTTP.
 * @property {(name: string) => Promise<string>} fileOf The file that `restoreConstruct` would restore a construct from.
 */

/** @type {(vault: import('../index').Vault) => Inside} */
let insideOf;

/** The watched vaults that keep the process alive, and go on telling their listeners though nobody holds them. @type {Set<Vault>} */
const held = new Set();
/** What keeps it alive: a watch itself does not. @type {NodeJS.Timeout | undefined} */
let alive;

/** One open vault: see `index.d.ts`. */
class Vault extends EventEmitter {
  static {
    insideOf = (/** @type {any} */ vault) => {
      if (!(vault instanceof Vault)) throw refused('this is no open vault: await Vault.open(root)');
      return {
        directories: vault.#directories,
        realRoot: vault.#engine?.realRoot() ?? vault.#root,
        isClosed: () => vault.#closed !== undefined,
        load: async (file) => settled(vault.#open().loadCapsule(file)),
        answerWith: async (file) => settled(vault.#open().answerWithCapsule(file)),
        fileOf: async (name) => (await vault.#restored(name, {})).path,
      };
    };
  }

  /** @type {import('../binding').NativeVault | null} */
  #engine;
  /** @type {string} */
  #root;
  /** @type {typeof DIRECTORIES} */
  #directories;
  #isWatched = false;
  /** @type {Promise<void> | undefined} */
  #delivering;
  /** How many notices of the watch were told. */
  #taken = 0;
  /**
   * Who waits until so many were.
   *
   * @type {{ count: number, resolve: () => void }[]}
   */
  #awaited = [];
  /**
   * The cursor of the last event that was told: who opens the vault again with it misses nothing.
   *
   * @type {string | null}
   */
  #cursor = null;
  /** @type {Promise<void> | undefined} */
  #closed;

  /**
   * @param {symbol} opening
   * @param {string} root
   * @param {typeof DIRECTORIES} directories
   */
  constructor(opening, root, directories) {
    if (opening !== OPENING) throw refused('a vault is opened by `await Vault.open(root)`');
    super();
    this.#root = root;
    this.#directories = directories;
    this.#engine = null;
  }

  /**
   * @param {string} root
   * @param {VaultOptions} [options]
   * @returns {Promise<Vault>}
   */
  static async open(root, options = {}) {
    named(options, OPEN_OPTIONS);
    const { create = false, integrity = 'enforce', expectedTetherSignature, maxCapsuleBytes, signal } = options;
    const { watch = false, pollInterval = 1000, since, cacheDir = cacheFolder(), onProgress } = options;
    text(root, 'root');
    if (/^~(?:[\\/]|$)/.test(root)) throw refused(`${root}: only a shell knows what ~ means; give the whole path`);
    if (integrity !== 'enforce' && integrity !== 'report') throw refused("integrity must be 'enforce' or 'report'");
    if (maxCapsuleBytes !== undefined && !(Number.isSafeInteger(maxCapsuleBytes) && maxCapsuleBytes > 0)) {
      throw refused('maxCapsuleBytes must be a whole number above 0');
    }
    if (typeof watch !== 'boolean' && watch !== 'poll') throw refused("watch must be true, false or 'poll'");
    if (!(Number.isSafeInteger(pollInterval) && pollInterval >= 10)) {
      throw refused('pollInterval must be a whole number of milliseconds, at least 10');
    }
    if (!isDate(since)) optionalText(since, 'since');
    else if (Number.isNaN(since.getTime())) throw refused('since must be a valid date, or a cursor');
    if (since && !watch) throw refused('since is for a vault that is watched: add watch: true');
    if (cacheDir !== null) text(cacheDir, 'cacheDir');
    optionalFunction(onProgress, 'onProgress');
    optionalText(expectedTetherSignature, 'expectedTetherSignature');
    if (options.directories !== undefined) named(options.directories, Object.keys(DIRECTORIES));
    const directories = { ...DIRECTORIES, ...options.directories };
    for (const name of /** @type {(keyof typeof directories)[]} */ (Object.keys(directories))) {
      text(directories[name], `directories.${name}`);
      directories[name] = path.normalize(directories[name]);
    }
    const resolved = absoluteAs(root)(root);
    const vault = new Vault(OPENING, resolved, directories);
    const request = {
      create: Boolean(create),
      report: integrity === 'report',
      expectedTether: expectedTetherSignature ?? undefined,
      maxCapsuleBytes,
      users: directories.users,
      capsules: directories.capsules,
      transcripts: directories.transcripts,
      pollMilliseconds: watch === 'poll' ? pollInterval : undefined,
      since: isDate(since) ? since.getTime() : (since ?? undefined),
      cache: cacheDir === null ? undefined : path.resolve(cacheDir),
    };
    checkSignal(signal);
    const progress = new native.ReadingProgress();
    const opening = native.openVault(resolved, request, watch ? Vault.#waking(vault) : undefined, progress);
    try {
      vault.#engine = await followed(opening, progress, signal, onProgress);
    } catch (thrown) {
      // Aborted: what is opened all the same is closed again.
      opening.then((engine) => engine.close()).catch(() => {});
      const error = /** @type {any} */ (thrown);
      if (error?.code === 'VVAULT_NO_VAULT')
        error.message = error.message.replace(/; make it$/, '$&, or open it with { create: true }');
      throw error;
    }
    if (watch) {
      vault.#cursor = isDate(since) ? null : (since ?? vault.cursor);
      vault.#isWatched = true;
      vault.ref();
      // Not before the caller has had the vault to listen to.
      setImmediate(() => vault.#deliverAnyhow());
    }
    return vault;
  }

  /**
   * What the watch calls. Weak, so that a vault that was forgotten can be collected with its watch; and made here, as functions
   * made in one place hold what any of them uses.
   *
   * @param {Vault} vault
   */
  static #waking(vault) {
    const reference = new WeakRef(vault);
    return () => {
      const watched = reference.deref();
      if (watched) watched.#deliverAnyhow();
    };
  }

  /** The vault's folder. */
  get root() {
    return this.#root;
  }

  /** The cursor behind everything that the watch has found so far; of a closed vault, behind the last event that was told. */
  get cursor() {
    return this.#engine === null ? this.#cursor : this.#engine.cursor();
  }

  /** @returns {Promise<void>} */
  close() {
    const engine = this.#engine;
    this.#engine = null;
    this.unref();
    if (this.#closed === undefined) {
      this.#closed = engine === null ? Promise.resolve() : settled(engine.close());
      this.#release(Number.POSITIVE_INFINITY);
      this.#call('close');
    }
    return this.#closed;
  }

  unref() {
    held.delete(this);
    if (held.size === 0) {
      clearInterval(alive);
      alive = undefined;
    }
    return this;
  }

  ref() {
    if (!this.#isWatched || this.#engine === null) return this;
    held.add(this);
    alive ??= setInterval(() => {}, 0x7fffffff);
    return this;
  }

  /** @returns {Promise<void>} */
  [Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]() {
    return this.close();
  }

  #open() {
    if (this.#engine === null) {
      throw withCode(new Error(`the vault at ${this.#root} is closed`), 'VVAULT_CLOSED', this.#root);
    }
    return this.#engine;
  }

  /**
   * @param {string} userId
   * @param {VaultReadOptions} [options]
   * @returns {Promise<Memory[]>}
   */
  async readMemories(userId, options = {}) {
    const engine = this.#open();
    named(options, READ_OPTIONS);
    const problems = invalid(userId, options);
    const { tags, constructId, before, signal } = options;
    if (
      tags !== undefined &&
      tags !== null &&
      !(Array.isArray(tags) && Array.from(tags).every((tag) => typeof tag === 'string'))
    ) {
      problems.push('tags must be an array of strings');
    }
    if (constructId !== undefined && constructId !== null && typeof constructId !== 'string') {
      problems.push('constructId must be a string');
    }
    if (before !== undefined && before !== null && typeof before !== 'string') {
      problems.push('before must be the cursor that a page of memories carried');
    }
    if (problems.length > 0) throw refused(`Invalid read parameters: ${problems.join(', ')}`);
    checkSignal(signal);
    const request = requestOf(this.#root, this.#directories, userId, { limit: 10, ...options });
    request.tags = tags?.map((tag) => JSON.stringify(tag));
    request.construct = constructId || undefined;
    request.before = before ?? undefined;
    const reading = engine.reading(request);
    const later = room();
    if (later) {
      await later;
      checkSignal(signal);
    }
    const unchanged = unchangedOf(reading);
    if (unchanged) return pageOf(unchanged);
    const isFollowed = this.listenerCount('progress') > 0;
    const follow = isFollowed
      ? (/** @type {object} */ progress) => this.#call('progress', { userId, ...progress })
      : undefined;
    const answer = async () => {
      const found = await reading.run();
      this.#tellOfReading(found);
      return pageOf(await memoriesOf(reading, found, (outcome) => this.#tellOfReading(outcome)));
    };
    return followed(answer(), reading.progress(), signal, follow);
  }

  /** @param {string} userId */
  async freshness(userId) {
    const engine = this.#open();
    const [problem] = invalid(userId, {});
    if (problem) throw refused(problem);
    const request = requestOf(this.#root, this.#directories, userId, { limit: 1 });
    return freshnessOf(
      () => engine.reading(request),
      (outcome) => this.#tellOfReading(outcome),
    );
  }

  /**
   * @param {string | Buffer | Uint8Array | object} capsule
   * @param {{ refingerprint?: boolean }} [options]
   * @returns {Promise<string>}
   */
  async storeCapsule(capsule, options = {}) {
    const engine = this.#open();
    named(options, ['refingerprint']);
    const { refingerprint = false } = options;
    const isObject = typeof capsule === 'object' && capsule !== null && !ArrayBuffer.isView(capsule);
    const content = contentOf(capsule);
    const storing = engine.store(content, Boolean(refingerprint), isObject);
    const stored = await storing.catch((thrown) => {
      const error = /** @type {import('./errors').VaultError} */ (toVaultError(thrown));
      if (error.code === 'VVAULT_INVALID_CAPSULE' && typeof capsule === 'string' && !capsule.includes('{')) {
        error.message += '. What is stored is the text of a capsule, not the path of its file';
      }
      if (!isObject || error.code !== 'VVAULT_UNSOUND') throw error;
      const message =
        `${error.message}. An object that went through JSON.parse may have lost what the hash covers (1.0 becomes 1, big ` +
        'integers are rounded): store the text or Buffer that it was parsed from, or have it hashed anew with { refingerprint: true }';
      throw withCode(new Error(message), error.code);
    });
    await this.#tellOfStored(stored);
    return stored.path;
  }

  /**
   * @param {string} file
   * @returns {Promise<string>}
   */
  async adoptCapsule(file) {
    text(file, 'path');
    const whole = path.resolve(file);
    const stored = await settled(this.#open().adopt(whole)).catch((error) => {
      error.path ??= whole;
      throw error;
    });
    await this.#tellOfStored(stored);
    return stored.path;
  }

  /**
   * @param {string} name
   * @param {{ version?: string | null, tag?: string | null, uuid?: string | null }} [options]
   * @returns {Promise<import('../index').RetrievedCapsule>}
   */
  async retrieveCapsule(name, options = {}) {
    const engine = this.#open();
    named(options, ['version', 'tag', 'uuid']);
    const { version = 'latest', tag, uuid } = options;
    text(name, 'name');
    for (const [key, value] of Object.entries({ version, tag, uuid })) optionalText(value, key);
    const found = await settled(engine.retrieve(name, versionOf({ version, tag, uuid })));
    const capsuleJson = found.text();
    let errorMessage = found.problem ?? null;
    let capsuleData = null;
    if (capsuleJson !== null) {
      try {
        capsuleData = JSON.parse(capsuleJson);
      } catch (error) {
        // Python writes NaN and Infinity.
        errorMessage = `the capsule can't be parsed in JavaScript: ${/** @type {Error} */ (error).message}`;
      }
    }
    const { valid = null, recipe = null, tether = null } = found;
    return {
      success: capsuleJson !== null,
      capsuleData,
      capsuleJson,
      metadata: found.metadata ? JSON.parse(found.metadata) : null,
      errorMessage,
      integrityValid: tether === false || capsuleJson === null ? false : valid,
      integrity: { valid, recipe, tether },
    };
  }

  /**
   * @param {string} name
   * @param {{ tag?: string | null }} [options]
   * @returns {Promise<CapsuleMetadata[]>}
   */
  async listCapsules(name, options = {}) {
    const engine = this.#open();
    named(options, ['tag']);
    const { tag } = options;
    text(name, 'name');
    optionalText(tag, 'tag');
    return rows(await settled(engine.list(name, tag || undefined)));
  }

  /** @returns {Promise<string[]>} */
  async listInstances() {
    return settled(this.#open().instances());
  }

  /**
   * @param {string} name
   * @returns {Promise<import('../index').InstanceInfo | null>}
   */
  async getInstanceInfo(name) {
    const engine = this.#open();
    text(name, 'name');
    return JSON.parse((await settled(engine.info(name))) ?? 'null');
  }

  /**
   * @param {string} name
   * @param {string} uuid
   * @param {string} tag
   * @returns {Promise<boolean>}
   */
  async addTag(name, uuid, tag) {
    const engine = this.#open();
    for (const [key, value] of Object.entries({ name, uuid, tag })) text(value, key);
    return settled(engine.addTag(name, uuid, tag));
  }

  /**
   * @param {string} name
   * @param {string} uuid
   * @param {string} tag
   * @returns {Promise<boolean>}
   */
  async removeTag(name, uuid, tag) {
    const engine = this.#open();
    for (const [key, value] of Object.entries({ name, uuid, tag })) text(value, key);
    return settled(engine.removeTag(name, uuid, tag));
  }

  /**
   * @param {string} name
   * @param {string} uuid
   * @returns {Promise<boolean>}
   */
  async deleteCapsule(name, uuid) {
    const engine = this.#open();
    for (const [key, value] of Object.entries({ name, uuid })) text(value, key);
    return settled(engine.delete(name, uuid));
  }

  /** @returns {Promise<import('../index').DiscoveredCapsule[]>} */
  async discoverCapsules() {
    /** @type {any[]} */
    const found = await rows(await settled(this.#open().discover()));
    const capsules = [];
    for (const row of found) {
      if (row.closed === undefined) capsules.push(row);
      else console.warn('⚠️ Failed to look for capsules:', escapeLine(row.closed));
    }
    return capsules.map(({ path: file, size, modified, title, description, version, tags, ...header }) => ({
      name: path.basename(file),
      path: file,
      size,
      modified: new Date(modified).toISOString(),
      type: 'capsule',
      title: title ?? path.basename(file),
      description: description ?? '',
      version: version ?? '1.0.0',
      tags: tags ?? [],
      ...header,
    }));
  }

  /** @returns {Promise<string[]>} */
  async listUsers() {
    this.#open();
    const users = path.resolve(this.#root, this.#directories.users);
    if (await leadsOut(this.#root, users)) return [];
    const folders = await foldersIn(users);
    const shards = folders.filter((name) => SHARD.test(name));
    const sharded = await Promise.all(shards.map((name) => foldersIn(path.join(users, name))));
    return [...new Set([...folders.filter((name) => !SHARD.test(name)), ...sharded.flat()])].sort();
  }

  /**
   * @param {{ instances?: string[], onProgress?: (progress: import('../index').ReadProgress) => void, signal?: AbortSignal }} [options]
   * @returns {Promise<import('../index').VerifiedCapsule[]>}
   */
  async verifyCapsules(options = {}) {
    const engine = this.#open();
    named(options, ['instances', 'onProgress', 'signal']);
    const { instances, onProgress, signal } = options;
    if (instances && !(Array.isArray(instances) && Array.from(instances).every((name) => typeof name === 'string'))) {
      throw refused('instances must be an array of strings');
    }
    optionalFunction(onProgress, 'onProgress');
    checkSignal(signal);
    const progress = new native.ReadingProgress();
    return rows(await followed(engine.verify(instances ?? undefined, progress), progress, signal, onProgress));
  }

  /**
   * @param {string} name
   * @param {{ uuid?: string | null, tag?: string | null, userId?: string | null }} [options]
   * @returns {Promise<import('../index').ConstructState>}
   */
  async restoreConstruct(name, options = {}) {
    const restored = await this.#restored(name, options);
    const state = JSON.parse(restored.state() ?? '{}');
    state.memories = await rows(restored);
    state.memoryLog = state.memories.map((/** @type {any} */ { content }) => content);
    return state;
  }

  /**
   * @param {string} name
   * @param {{ uuid?: string | null, tag?: string | null, userId?: string | null }} options
   */
  async #restored(name, options) {
    const engine = this.#open();
    text(name, 'name');
    exact(options, ['uuid', 'tag', 'userId']);
    const { uuid, tag, userId } = options;
    for (const [key, value] of Object.entries({ uuid, tag })) optionalText(value, key);
    // An empty one must not mean all users.
    if (userId !== undefined && userId !== null) text(userId, 'userId');
    const user = userId ? requestOf(this.#root, this.#directories, userId, {}).user : undefined;
    const restored = await settled(engine.restore(name, versionOf({ uuid, tag }), user));
    this.#tellOf(restored.rejected);
    if (restored.problem) throw toVaultError(new Error(restored.problem));
    return restored;
  }

  /**
   * @param {string} constructId
   * @param {string} userId
   * @param {{ instructions?: string | null, write?: boolean, maxLength?: number | null }} [options]
   * @returns {Promise<import('../index').RuntimeConfig>}
   */
  async createRuntimeConfig(constructId, userId, options = {}) {
    const engine = this.#open();
    named(options, ['instructions', 'write', 'maxLength']);
    const vault = {
      root: this.#root,
      restoreConstruct: this.restoreConstruct.bind(this),
      readText: (/** @type {string} */ file) => settled(engine.readText(file)),
      writeText: (/** @type {string} */ file, /** @type {string} */ content) =>
        settled(engine.writeText(file, content)),
    };
    return createRuntimeConfig(vault, constructId, userId, options);
  }

  /**
   * @param {any} orchestrator
   * @param {{ userId: string, constructId: string }} options
   * @returns {Promise<{ detach(): void }>}
   */
  async attachOrchestrator(orchestrator, options) {
    this.#open();
    const users = path.join(this.#root, this.#directories.users);
    return attachOrchestrator(this, orchestrator, options, {
      nameOf: (userId) => path.relative(users, path.join(users, userId)).replaceAll(path.sep, '/'),
      tell: (error) => this.#call('error', error),
    });
  }

  /**
   * When this resolves, the import has been told of.
   *
   * @param {import('../binding').StoredCapsule} stored
   */
  async #tellOfStored({ event }) {
    if (event) {
      const assembly = new Assembly();
      for (const text of event) {
        // A listener may have closed the vault. Nobody waits for the parsing of what nobody listens to.
        if (this.#engine === null || !this.#isHeard()) return;
        const whole = assembly.add(JSON.parse(text));
        if (whole) this.#tell(Object.assign(whole, { cursor: this.#cursor }));
        else await turn();
      }
      return;
    }
    const count = this.#engine?.told() ?? 0;
    if (count <= this.#taken) return;
    const told = new Promise((/** @type {(value?: void) => void} */ resolve) => {
      this.#awaited.push({ count, resolve });
    });
    this.#deliverAnyhow();
    // Not what comes meanwhile, which may have no end.
    await told;
  }

  /**
   * Tells what the watch has found, a slice in each turn of the event loop.
   *
   * @returns {Promise<void>}
   */
  #deliver() {
    // One at a time, so that the order is kept; whoever is at it finds what has come meanwhile.
    this.#delivering ??= this.#deliverAll().finally(() => {
      this.#delivering = undefined;
    });
    return this.#delivering;
  }

  /** Where nobody waits for it. */
  #deliverAnyhow() {
    this.#deliver().catch((error) => {
      this.#release(Number.POSITIVE_INFINITY);
      this.#report('the watch', error);
    });
  }

  /**
   * Who waits for one of so many notices need not any more.
   *
   * @param {number} count
   */
  #release(count) {
    while (this.#awaited.length > 0 && this.#awaited[0].count <= count) this.#awaited.shift()?.resolve();
  }

  async #deliverAll() {
    const turns = new Turns(TELLING_MS);
    const assembly = new Assembly();
    for (let text = this.#engine?.take() ?? null; text !== null; text = this.#engine?.take() ?? null) {
      for (const item of JSON.parse(text)) {
        if (this.#engine === null) return;
        const event = assembly.add(item);
        if (event) {
          this.#tell(event);
          this.#taken += 1;
          this.#release(this.#taken);
        }
        const next = turns.next();
        if (next) await next;
      }
      await turns.rest();
    }
  }

  /** @param {import('../binding').ReadingOutcome} outcome */
  #tellOfReading(outcome) {
    warn(outcome);
    this.#tellOf(outcome.rejected);
  }

  /** @param {string[]} events */
  #tellOf(events) {
    for (const event of events) {
      // A listener may have closed the vault. Nobody waits for the parsing of what nobody listens to.
      if (this.#engine === null || !this.#isHeard()) return;
      this.#tell({ ...JSON.parse(event), cursor: this.#cursor });
    }
  }

  #isHeard() {
    return this.eventNames().some((name) => String(name).startsWith('capsule:'));
  }

  /**
   * Calls each listener, whatever the others do.
   *
   * @param {CapsuleEvent | { kind: 'error', code: string, message: string, path: string }} event
   */
  #tell(event) {
    if (event.kind === 'error') {
      const error = withCode(new Error(event.message), event.code, event.path);
      this.#call(EventEmitter.errorMonitor, error);
      if (this.listenerCount('error') > 0) this.#call('error', error);
      else complain('The watch of a vault is in trouble:', error);
    } else {
      this.#cursor = event.cursor;
      this.#call(`capsule:${event.kind}`, event);
    }
  }

  /**
   * @param {string | symbol} name
   * @param {unknown} [argument]
   */
  #call(name, argument) {
    for (const listener of this.rawListeners(name)) {
      // The one before may have closed the vault.
      if (this.#closed !== undefined && !TOLD_AFTER_CLOSE.has(name)) return;
      guarded(
        () => listener.call(this, argument),
        (error) => this.#report(name, error),
      );
    }
  }

  /**
   * @param {string | symbol} name
   * @param {unknown} error
   */
  #report(name, error) {
    complain(`A listener of ${String(name)} failed:`, error);
  }
}

/**
 * What a version request means: a UUID before a tag, both before the latest. VVAULT itself passes over a tag unless
 * `version` is something else than `latest`; here it counts, as VVAULT documents.
 *
 * @param {{ version?: string | null, tag?: string | null, uuid?: string | null }} options
 */
function versionOf({ version, tag, uuid }) {
  if (uuid) return { uuid };
  if (tag) return { tag };
  return version && version !== 'latest' ? { uuid: version } : {};
}

/**
 * @param {unknown} capsule
 * @returns {string | Buffer}
 */
function contentOf(capsule) {
  if (typeof capsule === 'string') {
    // UTF-8 has no such text: another one would be stored.
    if (!(/** @type {any} */ (capsule).isWellFormed()))
      throw refused(`a capsule's text must have no half of a surrogate pair`);
    return capsule;
  }
  if (Buffer.isBuffer(capsule)) return capsule;
  if (ArrayBuffer.isView(capsule)) return Buffer.from(capsule.buffer, capsule.byteOffset, capsule.byteLength);
  if (typeof capsule !== 'object' || capsule === null || Array.isArray(capsule)) {
    throw refused('a capsule is JSON text, a Buffer or an object');
  }
  if (typeof (/** @type {any} */ (capsule).then) === 'function')
    throw refused('this is a promise of a capsule: await it');
  return jsonOf(capsule, 2);
}

/**
 * Whether a link leads a folder of the vault out of it.
 *
 * @param {string} root
 * @param {string} folder
 */
async function leadsOut(root, folder) {
  if (!isWithin(root, folder)) return false;
  const reals = await Promise.all([fs.realpath(root), fs.realpath(folder)]).catch(() => null);
  return reals !== null && !isWithin(...reals);
}

/**
 * The names of the folders in a folder, but for hidden ones and links; none if it is not there.
 *
 * @param {string} folder
 * @returns {Promise<string[]>}
 */
async function foldersIn(folder) {
  try {
    const found = await fs.readdir(folder, { withFileTypes: true });
    return found.filter((item) => item.isDirectory() && !item.name.startsWith('.')).map(({ name }) => name);
  } catch (thrown) {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (thrown);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    const known = code === 'EACCES' || code === 'EPERM' ? 'VVAULT_PERMISSION' : 'VVAULT_SYSTEM';
    throw withCode(new Error(message, { cause: thrown }), known, folder);
  }
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
function settled(promise) {
  return promise.catch((thrown) => {
    throw toVaultError(thrown);
  });
}

/**
 * Calls what a caller has given; its failure, also as a promise, is only reported.
 *
 * @param {() => any} call
 * @param {(error: unknown) => void} report
 */
function guarded(call, report) {
  try {
    const result = call();
    if (typeof result?.catch === 'function') result.catch(report);
  } catch (error) {
    report(error);
  }
}

/** @param {import('./reading').Answer} answer */
function pageOf({ memories, before }) {
  // Not to be seen by who compares, copies or prints the memories.
  Object.defineProperty(memories, 'before', { value: before });
  return /** @type {import('../index').MemoryPage} */ (memories);
}

/** How often it is told how far a long work has come, in milliseconds. */
const PROGRESS_INTERVAL = 100;

/**
 * The promise, or the signal's reason as soon as it is aborted: then the work behind it is ended too.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {import('../binding').ReadingProgress} work
 * @param {AbortSignal} [signal]
 * @param {(progress: { done: number, total: number }) => void} [tell]
 * @returns {Promise<T>}
 */
async function followed(promise, work, signal, tell) {
  let told = -1;
  const tellNews = () => {
    const [done, total] = work.counts();
    if (done === told) return;
    told = done;
    guarded(
      () => tell?.({ done, total }),
      (error) => complain('❌ A listener to progress failed:', error),
    );
  };
  const timer = tell && setInterval(tellNews, PROGRESS_INTERVAL);
  let abort = () => {};
  const aborted = new Promise((_, reject) => {
    abort = () => {
      work.abort();
      if (signal) reject(reasonOf(signal));
    };
  });
  const forget = signal && onAbort(signal, abort);
  try {
    const result = await Promise.race([settled(promise), aborted]);
    if (told !== -1) tellNews();
    return result;
  } finally {
    clearInterval(timer);
    forget?.();
  }
}

/** What is to be done as each signal is aborted. @type {WeakMap<AbortSignal, { acts: Set<() => void>, tell: () => void }>} */
const followedSignals = new WeakMap();

/**
 * One listener for all calls with a signal: Node.js warns of a leak where there are more than ten.
 *
 * @param {AbortSignal} signal
 * @param {() => void} act
 * @returns {() => void} To be called when it is of no account any more.
 */
function onAbort(signal, act) {
  let own = followedSignals.get(signal);
  if (own === undefined) {
    /** @type {Set<() => void>} */
    const acts = new Set();
    const tell = () => {
      for (const each of [...acts]) each();
    };
    own = { acts, tell };
    followedSignals.set(signal, own);
    signal.addEventListener('abort', own.tell, { once: true });
  }
  const { acts, tell } = own;
  acts.add(act);
  return () => {
    acts.delete(act);
    if (acts.size > 0) return;
    // Node.js keeps a signal with a time limit as long as somebody listens.
    signal.removeEventListener('abort', tell);
    followedSignals.delete(signal);
  };
}

module.exports = { SHARD, Vault, insideOf };
