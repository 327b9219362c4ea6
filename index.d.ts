import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';

/**
 * Where a vault lies and what is logged: the part of Chatty's connector configuration that reading uses. Other members
 * are allowed and ignored.
 */
export interface ReadMemoriesConfig {
  /** The vault's root folder. */
  vvaultPath: string;
  /** Names of folders: `users` below the root, `capsules` and `transcripts` below a user's folder. */
  directories: { users: string; capsules: string; transcripts: string };
  /** What is told on the console: nothing, if nothing is set. */
  logging: {
    /** Tell on the console where nothing was found. */
    debug?: boolean;
    /** Tell on the console how many memories each call gave. */
    logFileOps?: boolean;
  };
}

/** Which memories are asked for. */
export interface ReadMemoriesOptions {
  /** At most so many, the newest first. 10 if it is not given; 0, or an explicit `undefined`, means all. */
  limit?: number | undefined;
  /**
   * Transcripts of this session only. Of memory capsules, those that name their session must name this one (as
   * `session_id`, `sessionId`, or `source_id` = `chatty_<session>`); one that names none passes.
   */
  sessionId?: string | null;
  /** Memories of exactly this role only. */
  role?: string | null;
  /** Memories of this time or later only. */
  since?: Date | null;
  /** Memories of this time or earlier only. */
  until?: Date | null;
}

/** A memory from a memory capsule, `{user}/capsules/{id}.json`. */
export interface CapsuleMemory {
  /** The file's name without `.json`. */
  id: string;
  type: 'capsule';
  /** `created_ts`, else `timestamp`, else the time of the call as an ISO date. Whatever JSON value stands in the file. */
  timestamp: any;
  /** `raw`, else `content`, else `''`. Whatever JSON value stands in the file. */
  content: any;
  /** `role`, else `'system'`. Whatever JSON value stands in the file. */
  role: any;
  /** What else is known of it. */
  metadata: {
    source: 'capsule';
    /** The file's name. */
    filename: string;
    /** The same as `id`. */
    capsuleId: string;
    /** `tags`, else `[]`. */
    tags: any;
    /** `consent`, else `'unknown'`. */
    consent: any;
    /** `embed_model`. */
    embedModel?: any;
    /** `raw_sha256`, else `hash`. */
    hash?: any;
    /** Only in a vault that is opened with `integrity: 'report'`, of a memory whose `raw_sha256` is wrong. */
    integrity?: Integrity;
  };
}

/** A memory from a transcript, `{user}/transcripts/{session}/*.txt`. */
export interface TranscriptMemory {
  /** `{session folder}_{timestamp}_{role}`. */
  id: string;
  type: 'transcript';
  /** The header's timestamp, else the one in the file's name. */
  timestamp: string | null;
  /** What follows the header, trimmed. */
  content: string;
  /** The header's role, else the one in the file's name. */
  role: string | null;
  /** The header's session, else the name of the session's folder. */
  sessionId: string;
  /** The header's user. */
  userId: string | null;
  /** What else is known of it. */
  metadata: {
    source: 'transcript';
    /** The same as outside. */
    sessionId: string;
    /** The header's emotions, whatever JSON value they are. */
    emotions: any;
    /** Length of `content` in UTF-16 code units. */
    contentLength: number;
  };
}

/** A memory, told apart by `type`. */
export type Memory = CapsuleMemory | TranscriptMemory | RestoredMemory;

/**
 * Reads a user's memories: the drop-in for Chatty's `vvaultConnector/readMemories.js`, with the same results and errors.
 *
 * Memory capsules are read from `{vvaultPath}/{users}/{userId}/{capsules}`, or where that folder is not there, transcripts
 * from `{transcripts}`. A user who is not in `{users}` is looked for in `{users}/shard_*`. An unknown user has no
 * memories, and neither has anybody where there is no vault.
 *
 * The answer is never stale: it holds every write that ended before the call, by any process (README, "Limits", names what
 * no system tells of). Reading, parsing, filtering and sorting happen on other threads.
 *
 * A file that can't be read is left out and told by `console.warn`, once for each state of the file; a folder at every
 * call. A link that leads out of the vault is not followed.
 *
 * @param config Where the vault is, and what is logged.
 * @param userId Whose memories.
 * @param options Which of them.
 * @returns The memories, newest first.
 * @throws `Invalid read parameters: …` (`code: 'VVAULT_INVALID_ARGUMENT'`) for arguments of a wrong type;
 *   `Failed to read memories: …` for anything else, with `code: 'VVAULT_OUTSIDE'` and the `path` for a `userId` that
 *   leads out of `{users}`, `'VVAULT_TIMESTAMP'` for a timestamp that JavaScript throws on, `'VVAULT_READ_FAILED'` for a
 *   faulty `config`, `'VVAULT_INTERNAL'` for a defect of the engine.
 */
export function readMemories(
  config: ReadMemoriesConfig,
  userId: string,
  options?: ReadMemoriesOptions,
): Promise<Memory[]>;

export namespace readMemories {
  /**
   * How the next {@link readMemories} of this user will know that its answer is as it is on disk; `null` if there is no such
   * user. It reads what such a call would read, and warns of what can't be read as one would: the next call will not.
   *
   * @throws as `readMemories`, without its `Failed to read memories: `.
   */
  function freshness(config: ReadMemoriesConfig, userId: string): Promise<Freshness | null>;
}

/**
 * How it is known that what was read once is still so:
 *
 * - `'watched'`: the vault is watched, and everything that has changed was applied (Linux);
 * - `'notified'`: the kernel told of every change since (Linux, a file system of this machine);
 * - `'swept'`: the state of every file was looked at.
 */
export type Freshness = 'watched' | 'notified' | 'swept';

/** What a runtime must have to take memories. */
export interface MemoryRuntime {
  /**
   * Takes one memory. It may return a promise, which is awaited; `false` says that the memory was not taken.
   *
   * @param content The memory's text.
   * @param metadata What else is known of it: its id, timestamp, role, and where in the capsule it stood.
   */
  addMemory(content: string, metadata: Record<string, unknown>): unknown;
}

/** The verdict on a capsule file, and what it holds. */
export interface CapsuleLoadResult {
  /** Nothing speaks against the capsule: it could be read, and no stated hash and no expected tether is wrong. */
  isValid: boolean;
  /** The parsed capsule, also of one that is not valid; `null` if it can't be parsed. */
  capsuleData: any;
  /** Why the capsule is not valid, else `null`. */
  errorMessage: string | null;
  /** Whether `metadata.fingerprint_hash` (of one memory: `raw_sha256`) is right; `null` if none is stated. */
  fingerprintValid: boolean | null;
  /** Whether the tether signature is the expected one; `null` if none is expected. */
  tetherValid: boolean | null;
  /**
   * Which program's recipe matched: `F1` CapsuleForge, `F2` VVAULTCore, `F3` Chatty's validator, `F4` simForge. `F3` covers
   * only the capsule's top-level keys: what it alone vouches for may have been changed nearly everywhere.
   */
  recipe: 'F1' | 'F2' | 'F3' | 'F4' | 'raw_sha256' | null;
}

/** A memory that was restored from a construct's capsule. */
export interface RestoredMemory {
  /** Its own id if it has one; else made of construct, kind and text, and so the same in the capsule's next version. */
  id: string;
  type: 'construct';
  /** Its own time if it has one; else the memory section's `last_memory_timestamp`, else the capsule's. */
  timestamp: any;
  /** Its text. */
  content: string;
  /** Its own role; of a line "user: …" or "assistant: …" in a log, that; else `'system'`. */
  role: string;
  /** Where it comes from. */
  metadata: {
    source: 'construct';
    /** The list that it stood in. */
    kind: 'short-term' | 'long-term' | 'emotional' | 'procedural' | 'episodic' | 'log' | 'session';
    /** The capsule's `instance_name`, else its `construct_id`; `null` if that is longer than 256 bytes. */
    instanceName: any;
    /** The capsule's UUID; `null` if that is longer than 256 bytes. */
    uuid: any;
    /** The place in the capsule, such as `memory.short_term_memories`. */
    section: string;
    /** The place in the section, from 0. */
    index: number;
    /** Only in a vault that is opened with `integrity: 'report'`, of a capsule that is not sound. */
    integrity?: Integrity;
  };
}

/** What a construct's capsule restores to. A section that is missing is empty. */
export interface ConstructState {
  /** The capsule's `instance_name`, else its `construct_id`. */
  instanceName: any;
  /** The capsule's UUID. */
  uuid: any;
  /** The capsule's own time. */
  timestamp: any;
  /** `traits`, else `personality_traits`. */
  traits: Record<string, any>;
  /** The section as it stands in the capsule. */
  personality: Record<string, any>;
  /**
   * The texts of all memories: short-term, long-term, emotional, procedural, episodic (VVAULT's order), then logs, the older
   * top-level list, and the exchanges of sessions.
   */
  memoryLog: string[];
  /** The same memories with what is known of each. */
  memories: RestoredMemory[];
  /** The section as it stands in the capsule. */
  environment: Record<string, any>;
  /** The section `additional_data` as it stands in the capsule. */
  additionalData: Record<string, any>;
}

/** Loads a construct's capsule, restores it, and hands its memories to a runtime. Nothing in a capsule is ever run. */
export class CapsuleLoader {
  /** @param options `runtime`: where `dropMemIntoRuntime` hands memories. */
  constructor(options?: { runtime?: MemoryRuntime });

  /**
   * Reads and judges a capsule file. A file that is missing, broken or unsound is told in the result.
   *
   * @param path The file.
   * @param expectedTetherSignature Compared with `metadata.tether_signature`, or where that is empty with
   *   `additional_data.tether.signature`.
   * @throws `VVAULT_INVALID_ARGUMENT` if `path` is not a non-empty string.
   */
  loadCapsule(path: string, expectedTetherSignature?: string | null): Promise<CapsuleLoadResult>;

  /**
   * Restores a construct from its parsed capsule, of whatever program's shape.
   *
   * @throws `VVAULT_NOT_A_CAPSULE` if it is not an object; `VVAULT_INVALID_ARGUMENT` if it is what `loadCapsule` gave.
   */
  restoreConstruct(capsuleData: object): ConstructState;

  /**
   * Hands each memory to the runtime's `addMemory(content, metadata)`, one after the other.
   *
   * @param memories Restored memories, or a memory log. All are looked at before the first is handed over.
   * @returns How many the runtime took.
   * @throws `VVAULT_NO_RUNTIME` if there is no runtime; `VVAULT_INVALID_ARGUMENT` if `memories` is no list, or something in it is
   *   neither a string nor an object with `content`; what the runtime itself throws.
   */
  dropMemIntoRuntime(memories: Iterable<Memory | string>): Promise<number>;
}

/** What is known of a capsule's integrity. */
export interface Integrity {
  /** Whether the stated hash is right; `null` if none is stated, `false` also of what can't be read. */
  valid: boolean | null;
  /** Which recipe matched; see {@link CapsuleLoadResult.recipe}. */
  recipe: 'F1' | 'F2' | 'F3' | 'F4' | 'raw_sha256' | null;
  /** Whether the tether signature is the expected one; `null` if none is expected. */
  tether: boolean | null;
}

/** How a vault is opened. */
export interface VaultOptions {
  /** Make the vault's folders if they are not there. */
  create?: boolean;
  /**
   * Names of folders that are called otherwise: `users` below the root, `capsules` and `transcripts` below a user's folder.
   */
  directories?: { users?: string; capsules?: string; transcripts?: string };
  /**
   * What is done with a capsule whose stated hash or expected tether does not match: `'enforce'` (the default) leaves it out
   * and raises `capsule:rejected`; `'report'` lets it pass, marked.
   */
  integrity?: 'enforce' | 'report';
  /** The tether signature that constructs' capsules must have. */
  expectedTetherSignature?: string | null;
  /** The largest construct's capsule that is stored or read, in bytes. 64 MiB if it is not given. */
  maxCapsuleBytes?: number;
  /**
   * Tell of capsules that arrive, by the system's notifications; where there are none, no more, or (on network drives) not
   * of all writers, by looking at every file, which is told as an `error`. `'poll'` does that from the beginning.
   */
  watch?: boolean | 'poll';
  /** How often every file is looked at with `watch: 'poll'`, in milliseconds. 1,000 if it is not given. */
  pollInterval?: number;
  /**
   * Tell first what happened since: the `cursor` of the last event that was taken care of, or a date. Only with `watch`.
   */
  since?: string | Date | null;
  /**
   * Where is kept, for its owner alone, what need not be read again after a restart, and what a watch has told. It is derived,
   * and may be deleted. In `VVAULT_CACHE_DIR` or the system's cache folder if it is not given; `null`: nowhere.
   */
  cacheDir?: string | null;
  /** Is told how far an opening with `watch` has come, which reads the whole vault. If it fails, that goes to `console.error`. */
  onProgress?: (progress: ReadProgress) => void;
  /**
   * Ends the opening early: it rejects with the signal's `reason`. What has been read until then is kept, and not read again
   * by the next opening.
   */
  signal?: AbortSignal;
}

/** Which memories are asked for. */
export interface VaultReadOptions extends ReadMemoriesOptions {
  /** Only memories that have all of these tags. */
  tags?: string[] | null;
  /**
   * Also the memories of this construct: of its newest sound capsule in the user's folders or in the vault's own store. Any of
   * its names will do (`nova-001`, `gpt-nova-001`, `nova`).
   */
  constructId?: string | null;
  /**
   * Only memories that come after this place, newest first: the `before` of an earlier page. It stays good while memories come
   * and go, so that a long history can be walked page by page. Only where some dates are invalid and others are not is there no
   * order that lasts: if memories come or go meanwhile, one may be missed or come twice. And memories of a construct that have no
   * time but their capsule's are new once that is saved again: pages that have come beyond that time do not have them.
   */
  before?: string | null;
  /**
   * Ends the call early: it rejects with the signal's `reason`. What has been read of the vault until then is kept, and not
   * read again by the next call.
   */
  signal?: AbortSignal;
}

/** Memories, newest first, and where they go on. */
export interface MemoryPage extends Array<Memory> {
  /** The cursor for the next page; `null` if this is the last. It is no enumerable property: the page compares as an array. */
  readonly before: string | null;
}

/** How far a reading or an opening has come: it is told every tenth of a second. */
export interface ReadProgress {
  /** So many files have been looked at. */
  done: number;
  /** Of so many that are known of so far. */
  total: number;
}

/** One version in an instance's index: the fields, names and values of Python's `VVAULTCore`. */
export interface CapsuleMetadata {
  /** Whose version it is. */
  instance_name: string;
  /** The capsule's UUID. */
  uuid: string;
  /** The capsule's own time. */
  timestamp: string;
  /** The name of its file in `capsules/{instance_name}/`. */
  filename: string;
  /** The hash that the capsule states. */
  fingerprint_hash: string | null;
  /** Its tags, as `addTag` gives them. */
  tags: string[];
  /** The version of the capsule's format; `1.0.0` if it states none. */
  capsule_version: string;
  /** The program that made it; `CapsuleForge` if it states none. */
  generator: string;
  /** Which vault it comes from; `VVAULT` if it states none. */
  vault_source: string;
  /** Bytes. */
  file_size: number;
  /** When it was first stored. */
  created_at: string;
  /** When its entry was last changed. */
  updated_at: string;
}

/** What an instance's index tells, as Python's `get_instance_info` has it. */
export interface InstanceInfo {
  /** Which instance. */
  instance_name: string;
  /** How many versions it has. */
  total_capsules: number;
  /** The version stored last. */
  latest_uuid: string | null;
  /** How many versions have each tag. */
  tags: Record<string, number>;
  /** When its index was made. */
  created_at: string;
  /** When its index was last changed. */
  updated_at: string;
}

/** What `retrieveCapsule` found. */
export interface RetrievedCapsule {
  /** Whether the version is there. */
  success: boolean;
  /** The parsed capsule; `null` if it is not there, or has `NaN` or `Infinity`, which Python writes. */
  capsuleData: any;
  /** The file's own text. */
  capsuleJson: string | null;
  /** Its entry in the index. */
  metadata: CapsuleMetadata | null;
  /** Why it is not there, in VVAULT's words, or why it is not sound. */
  errorMessage: string | null;
  /** Whether its hash (and the expected tether) is right; `null` if it states none. */
  integrityValid: boolean | null;
  /** The whole verdict. */
  integrity: Integrity;
}

/** A construct's capsule file and what its header tells. */
export interface DiscoveredCapsule {
  /** The file's name. */
  name: string;
  /** Absolute. */
  path: string;
  /** Bytes. */
  size: number;
  /** When the file was last changed, as an ISO date. */
  modified: string;
  type: 'capsule';
  /** The capsule's `title`, else the file's name. */
  title: any;
  /** The capsule's `description`, else `''`. */
  description: any;
  /** The capsule's `version`, else its `metadata.capsule_version`, else `1.0.0`. */
  version: any;
  /** The file's own top-level `tags`, else `[]`; not those of `addTag`. */
  tags: any;
  /** The capsule's `metadata.instance_name`. */
  instanceName?: any;
  /** The capsule's `metadata.uuid`. */
  uuid?: any;
  /** The capsule's `metadata.timestamp`. */
  timestamp?: any;
}

/** The verdict on a file. */
export interface VerifiedCapsule {
  /** Absolute. */
  path: string;
  /** A construct's capsule, or one memory. */
  format: 'construct' | 'memory';
  /** What its hash and its tether say. */
  integrity: Integrity;
  /** Why it is not sound, else `null`. */
  reason: string | null;
}

/** What is told of a capsule, whatever happened to it. What does not apply is `null`. */
export interface CapsuleNotice {
  /** Absolute. */
  path: string;
  /** A construct's capsule, or one memory. */
  format: 'construct' | 'memory';
  /** Whose it is; `null` for one of the vault's own. */
  userId: string | null;
  /** The construct by its folder (in one without a number by the file's name), else what the capsule calls its construct. */
  constructId: string | null;
  /** What a construct's capsule calls it. */
  instanceName: any;
  /** Of a construct's capsule: its UUID. */
  uuid: any;
  /** Of a construct's capsule: its own time. */
  timestamp: any;
  /** What its hash and its tether say. */
  integrity: Integrity;
  /**
   * The place in the order of all events; of what a call has met, that of the event before it. `null` without a watch, and where
   * there is no event before: the vault was opened with a date as `since`. Don't keep `null` in place of a cursor.
   */
  cursor: string | null;
}

/** A capsule has come, or has other content. */
export interface CapsuleArrival extends CapsuleNotice {
  /** The event's name behind `capsule:`. */
  kind: 'imported' | 'updated';
  /** The restored memories; a construct may have none. */
  memories: Memory[];
  /** Not for one that is accepted. */
  reason: null;
}

/** A capsule is gone. */
export interface CapsuleRemoval extends CapsuleNotice {
  /** The event's name behind `capsule:`. */
  kind: 'removed';
  /** Not of one that is gone. */
  memories: null;
  /** Nobody tells why. */
  reason: null;
}

/** A capsule is not accepted. */
export interface CapsuleRejection extends CapsuleNotice {
  /** The event's name behind `capsule:`. */
  kind: 'rejected';
  /** Not of one that is not accepted. */
  memories: null;
  /** Why, and what to do about it. */
  reason: string;
}

/** What happened to a capsule; its `kind` tells which of the three it is. */
export type CapsuleEvent = CapsuleArrival | CapsuleRemoval | CapsuleRejection;

/**
 * With what Chatty runs a construct: the fields of VVAULT's continuity bridge, and what is known beyond them (`gpt_name`,
 * `key_memories`).
 */
export interface RuntimeConfig {
  /** `{construct_id}_{user id}` */
  id: string;
  /** The capsule's `instance_name`, else the construct's id. */
  name: string;
  /** One line that names the construct. */
  description: string;
  /** The caller's, or made of name, traits, personality, key memories and the name in ChatGPT. */
  instructions: string;
  /** The construct's id, as it was given. */
  construct_id: string;
  /** The vault's folder, absolute. */
  vvault_path: string;
  /** Always `true`. */
  has_persistent_memory: boolean;
  memory_source: 'vvault';
  /** Whether a ChatGPT GPT is registered as this construct, in `{vault}/constructs/{construct_id}_chatgpt.json`. */
  chatgpt_continuity: boolean;
  /** UTC with microseconds and without a zone, as Python's `utcnow().isoformat()`. */
  created_at: string;
  /** The registered GPT's name. */
  gpt_name: string | null;
  /**
   * At most five memories of the capsule, long-term ones first, each with `id` and `content`. Generated instructions quote
   * each, in one line; one that `maxLength` leaves no room for is not here either.
   */
  key_memories: { id: string; content: string }[];
}

/**
 * What an orchestrator must have. It is not changed otherwise. Its `maxLtmEntries` is the limit of calls that state none; it is
 * not declared here, as Chatty's orchestrators have it as a private member.
 */
export interface Orchestrator {
  /** What restored memories are added to, in `ltmEntries` of what it returns. */
  prepareMemoryContext(overrides?: any): Promise<any>;
  /** Is handed each import as it happens. */
  receiveRestoredMemories?(memories: Memory[], event: CapsuleArrival): unknown;
}

/** The events of a vault, and what their listeners are called with. */
export interface VaultEvents {
  /** A capsule has arrived, or one that was rejected is mended. Without a watch: only what this vault stores or adopts. */
  'capsule:imported': [event: CapsuleArrival];
  /** An accepted capsule has other content. Only on a watched vault. */
  'capsule:updated': [event: CapsuleArrival];
  /** An accepted capsule is gone. Only on a watched vault. */
  'capsule:removed': [event: CapsuleRemoval];
  /**
   * A capsule is broken, or its hash or tether is wrong. Without a watch, and of what was there when a watched vault was opened:
   * when a call meets it. Without a watch a broken memory is told by `console.warn`.
   */
  'capsule:rejected': [event: CapsuleRejection];
  /** A reading takes longer than a tenth of a second, as the first of many memories does; `userId` is whose. */
  progress: [progress: ReadProgress & { userId: string }];
  /**
   * The watch, or an attached orchestrator, is in trouble: what `code` says, at `path`. Without a listener the watch's goes to
   * `console.error`, an orchestrator's to `console.warn`.
   */
  error: [error: Error & { code: string; path?: string }];
  /** `close()` was called: no other event comes, but for an `error` of what is still under way. */
  close: [];
}

/**
 * One open vault. What it keeps stays readable and writable by Python's `VVAULTCore` beside it, and by other processes.
 *
 * Errors have a `code`, and the `path` concerned where there is one: `VVAULT_INVALID_ARGUMENT`; `VVAULT_CLOSED` after
 * `close()`; `VVAULT_INVALID_NAME` for a name that can't be an instance's; `VVAULT_OUTSIDE` for what leads out of the vault;
 * `VVAULT_DISK_FULL`, `VVAULT_READ_ONLY`, `VVAULT_PERMISSION`, `VVAULT_NOT_FOUND` and `VVAULT_SYSTEM` for what the system
 * refused; `VVAULT_BUSY` if another process kept an instance locked for 30 s; and those that the methods name. After an error
 * nothing has changed, but for a disk that fails while names are brought to it. The event `error` brings `VVAULT_WATCH` when the
 * system's notifications are not to be had (the vault is polled then), and `VVAULT_ATTACHMENT` from an attached orchestrator.
 */
export class Vault extends EventEmitter {
  private constructor();

  /**
   * Opens the vault at `root`. A relative path is resolved; `~` is refused, as only shells know it.
   *
   * @throws `VVAULT_NO_VAULT` if there is none, and `create` is not set; `VVAULT_PERMISSION` if it may not be entered;
   *   `VVAULT_INVALID_CURSOR` for a `since` that is none.
   */
  static open(root: string, options?: VaultOptions): Promise<Vault>;

  /** The vault's folder, absolute. */
  readonly root: string;

  /**
   * The cursor behind everything that the watch has found so far, of which some may not have been told yet; once the vault is
   * closed, that of the last event that was told. `null` if the vault is not watched.
   */
  readonly cursor: string | null;

  /**
   * Closes the vault. Calls that are under way end as they would; later ones are refused, and no event comes any more. Attached
   * orchestrators are detached.
   */
  close(): Promise<void>;

  /**
   * Lets the process end while the vault is watched. From then on the vault lasts, and tells its listeners, as long as the program
   * holds it.
   */
  unref(): this;

  /** Keeps the process alive while the vault is watched, as it does at first. */
  ref(): this;

  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;

  /**
   * Reads a user's memories as {@link readMemories} does, with the memories of a construct if `constructId` is given. Unsound
   * ones are left out, or marked with `metadata.integrity` if the vault was opened with `integrity: 'report'`.
   *
   * @throws `VVAULT_INVALID_CURSOR` for a `before` that is none.
   */
  readMemories(userId: string, options?: VaultReadOptions): Promise<MemoryPage>;

  /** How the next reading of this user's memories will know that they are as they are on disk; `null` for no such user. */
  freshness(userId: string): Promise<Freshness | null>;

  /**
   * Stores a construct's capsule as a new version: when the promise resolves, it is on the disk, whole, and in the index.
   * Raises `capsule:imported`. Text and buffers are stored byte for byte.
   *
   * @param capsule JSON text, or an object. An object that went through `JSON.parse` may have lost what its hash covers.
   * @param options `refingerprint`: state a new hash, by CapsuleForge's recipe.
   * @returns The path of its file.
   * @throws `VVAULT_INVALID_CAPSULE` if VVAULT's structure is missing; `VVAULT_UNSOUND` if its hash or tether is wrong and
   *   integrity is enforced; `VVAULT_TOO_LARGE`; `VVAULT_INVALID_ARGUMENT` also for a text with half a surrogate pair, which UTF-8 does
   *   not have.
   */
  storeCapsule(capsule: string | Uint8Array | object, options?: { refingerprint?: boolean }): Promise<string>;

  /**
   * Stores what an unsound capsule file holds as a version of its own, with a right hash and the tag `adopted`: for a person who
   * has looked at it. The file stays as it is. The version is of the instance that the capsule names; of the construct in whose
   * place the file lies, if readers would else take it for another's: Chatty's own code has a capsule of `nova-002` show `Nova`.
   *
   * @returns The path of the new version.
   * @throws `VVAULT_INVALID_CAPSULE` and `VVAULT_TOO_LARGE` as `storeCapsule`; `VVAULT_UNSOUND` if its tether is wrong and
   *   integrity is enforced.
   */
  adoptCapsule(path: string): Promise<string>;

  /**
   * A version of an instance: by `uuid`, else the newest with `tag`, else by `version`, if that is a UUID and not `'latest'`,
   * else the one stored last. One that is not there is told in the result.
   */
  retrieveCapsule(
    name: string,
    options?: { version?: string | null; tag?: string | null; uuid?: string | null },
  ): Promise<RetrievedCapsule>;

  /** The versions of an instance, newest first; with `tag` only those that have it. */
  listCapsules(name: string, options?: { tag?: string | null }): Promise<CapsuleMetadata[]>;

  /** The names of all instances, sorted. */
  listInstances(): Promise<string[]>;

  /** What is known of an instance; `null` if there is none. */
  getInstanceInfo(name: string): Promise<InstanceInfo | null>;

  /** Gives a version a tag. `false` if there is no such version. */
  addTag(name: string, uuid: string, tag: string): Promise<boolean>;

  /** Takes a tag from a version. `false` if there is no such version. */
  removeTag(name: string, uuid: string, tag: string): Promise<boolean>;

  /**
   * Deletes a version, its tags, and its file with all others in the instance's folder that state its UUID: earlier states, and
   * copies of any name. `false` if there is no such version.
   *
   * @throws `VVAULT_TOO_LARGE`, `VVAULT_PERMISSION` or `VVAULT_SYSTEM` if a capsule file in that folder can't be read, which may be
   *   such a one, and would be the version again.
   */
  deleteCapsule(name: string, uuid: string): Promise<boolean>;

  /**
   * Every construct's capsule file under the vault, with what its header tells. A folder that may not be looked into is told by
   * `console.warn`.
   *
   * @throws `VVAULT_SYSTEM` if the system refuses to tell what there is, as for want of file handles.
   */
  discoverCapsules(): Promise<DiscoveredCapsule[]>;

  /** The ids of all users, sorted: the folders in `users` and in its `shard_NNNN`, but for hidden ones and links. */
  listUsers(): Promise<string[]>;

  /**
   * The verdict on every capsule and memory file under the vault, or only on the stored versions of `instances`. A folder that
   * this process may not look into is among them, with the reason: what is in it is not known. `onProgress` is told how far it has
   * come; `signal` ends it, and the promise is rejected with its reason.
   */
  verifyCapsules(options?: {
    instances?: string[];
    onProgress?: (progress: ReadProgress) => void;
    signal?: AbortSignal;
  }): Promise<VerifiedCapsule[]>;

  /**
   * Restores a construct from its newest sound capsule, wherever in the vault that lies, or from the version with a `uuid` or
   * `tag`. Any of its names will do. `userId` looks only into that user's folders and the vault's own store.
   *
   * @throws `VVAULT_NO_CONSTRUCT` if there is no capsule, or several users have such a construct; `VVAULT_UNSOUND` if there is
   *   only an unsound one.
   */
  restoreConstruct(
    name: string,
    options?: { uuid?: string | null; tag?: string | null; userId?: string | null },
  ): Promise<ConstructState>;

  /**
   * Makes the configuration with which Chatty runs a construct, from the construct's newest sound capsule in this user's folders
   * or the vault's own; another user's capsule is never looked at. Without a capsule it has the construct's id for a name, and no
   * memories. The wording depends on the capsule and the registration alone.
   *
   * @param constructId Any of the construct's names; `construct_id`, and the folder that is written to, are as given.
   * @param userId Whose configuration it is.
   * @param options `instructions`: used in place of generated ones. `maxLength`: how many UTF-16 code units the instructions may
   *   have; memories are left out whole before any text is cut. 8,000 for generated ones if it is not given. `write`: save it as
   *   `{vault}/{constructId}/chatty_runtime.json`, where there is one file for all users.
   * @throws `VVAULT_UNSOUND` if there is only an unsound capsule; `VVAULT_INVALID_NAME` for a name that can't be a folder's;
   *   `VVAULT_OUTSIDE` if that folder leads out of the vault.
   */
  createRuntimeConfig(
    constructId: string,
    userId: string,
    options?: { instructions?: string | null; write?: boolean; maxLength?: number | null },
  ): Promise<RuntimeConfig>;

  /**
   * Lets an orchestrator remember: after it, what its `prepareMemoryContext()` returns also holds, in `ltmEntries`, the memories
   * of user `userId` and construct `constructId`. At least a quarter of the limit is kept for them: the orchestrator is asked for
   * so many fewer of its own, and what it finds stays.
   *
   * @returns `detach()` undoes it.
   * @throws `VVAULT_INVALID_ARGUMENT` if it has no `prepareMemoryContext`.
   */
  attachOrchestrator<T extends Orchestrator>(
    orchestrator: T,
    options: { userId: string; constructId: string },
  ): Promise<{ detach(): void }>;

  // Not by `EventEmitter<VaultEvents>`, which @types/node has only since 20.11.1.
  /** Has a listener called at each such event, as every `EventEmitter`. */
  on<K extends keyof VaultEvents>(event: K, listener: (...args: VaultEvents[K]) => void): this;
  /** Has a listener called at the next such event. */
  once<K extends keyof VaultEvents>(event: K, listener: (...args: VaultEvents[K]) => void): this;
  /** Has a listener called no longer. */
  off<K extends keyof VaultEvents>(event: K, listener: (...args: VaultEvents[K]) => void): this;
}

/** How a client is made. */
export interface VVAULTClientOptions {
  /** Where capsules come from: a vault's folder (the default), or a server that speaks VVAULT's web API. */
  mode?: 'filesystem' | 'http';
  /** The vault's folder. `VVAULT_ROOT_PATH`, else `VVAULT_PATH` of the environment if it is not given. */
  vaultPath?: string;
  /**
   * Whose constructs are meant, where several users have one of a name, as Chatty names the user; for a vault's folder only. As for
   * `restoreConstruct`, it is this user's capsule, else one outside of every user's folder.
   */
  userId?: string | null;
  /** The server's URL, what comes before `/api/capsules/{id}`; what follows `?` is sent with each request. */
  baseUrl?: string;
  /** Sent with each request, such as `{ Authorization: 'Bearer …' }`; never to another origin. */
  headers?: Record<string, string>;
  /**
   * The constructs whose capsules are loaded. Those that `CAPSULE_IDS` of the environment names, separated by commas, if it is
   * not given; else `nova-001`.
   */
  capsuleIds?: readonly string[];
  /** How long one request may take with its whole answer, in milliseconds. 30,000 if it is not given. */
  timeoutMs?: number;
}

/**
 * Loads constructs' capsules, as Chatty does when it starts: from a vault's folder, or over HTTP. Each is checked by its own
 * text; what is missing, broken or unsound is left out and told in `errors`. One that states no hash passes, as in a vault.
 *
 * What may pass by itself is tried again, up to four times in all and later each time: network errors, and the statuses 408,
 * 429 and 5xx, after the time that `Retry-After` asks for if that is at most 30 s. A request that exceeds `timeoutMs` is not.
 */
export class VVAULTClient {
  /** @throws `VVAULT_INVALID_ARGUMENT` for options of a wrong type, and if it is not said where the capsules are. */
  constructor(options?: VVAULTClientOptions);

  /**
   * What the last `loadAllCapsules` left out, by id. The errors' codes are `VVAULT_INVALID_ARGUMENT` for what can't be an id;
   * `VVAULT_NO_CONSTRUCT` if there is no capsule (also: status 404); `VVAULT_UNSOUND`; `VVAULT_NOT_A_CAPSULE` for an answer or
   * file that is something else, such as HTML; `VVAULT_TOO_LARGE` for an answer above 64 MiB; `VVAULT_TIMEOUT`;
   * `VVAULT_NETWORK`; `VVAULT_HTTP_STATUS` for any other status, and for a redirect to another origin; and those of a
   * {@link Vault} that can't be opened or read.
   */
  errors: Map<string, Error & { code: string; path?: string }>;

  /**
   * Loads the capsules, four at a time. Of a vault's folder, each is the construct's newest sound one, wherever it lies; any of
   * its names will do. Never rejects because of a capsule, a vault or a server.
   *
   * @returns The parsed capsules by id. The object has no prototype.
   */
  loadAllCapsules(): Promise<Record<string, any>>;
}

/** How a vault is served. */
export interface CapsuleHandlerOptions {
  /**
   * Decides whether a request is served, also as a promise: if not, it is answered with 401. Without it only callers on this
   * machine are, who address it by a loopback name and come through no proxy that tells of itself; and no web page of another
   * origin can store. Behind a proxy that adds no header, as nginx unless it is told to, everybody is on this machine: then it
   * is needed.
   */
  authorize?: (request: any) => unknown;
  /** The path of the list. `/api/capsules` if it is not given. */
  basePath?: string;
  /** The largest capsule that is taken, in bytes. 64 MiB if it is not given. */
  maxBodyBytes?: number;
}

/** Answers requests: see {@link createCapsuleHandler}. */
export interface CapsuleHandler {
  /** The promise resolves when the request was answered or handed on; it never rejects. */
  (request: IncomingMessage, response: ServerResponse, next?: (error?: unknown) => void): Promise<void>;
  /** Ends the streams of events, and listens to the vault no more. */
  close(): void;
}

/**
 * VVAULT's web API of a vault, for `http.createServer` and for Express 4 and 5 (`app.use(handler)`, or mounted at `basePath`).
 *
 * - `GET {basePath}` → `{ success, capsules, count }`: what `discoverCapsules` tells, with paths from the vault's folder.
 * - `GET {basePath}/:name` → `{ success, capsule }`: the capsule's own text, so that its hash holds. The name is a file's, a
 *   path from the list, or any name of a construct, for its newest sound capsule. 404 if there is none, 422 if it is not sound
 *   or larger than the vault's `maxCapsuleBytes`, 409 if several users have a file or a construct of this name. A construct or a
 *   path costs its own file, a file's name a look at all.
 * - `POST {basePath}`, as `application/json` → 201 `{ success, capsule }` with the name of the file: stored byte for byte; what
 *   Express has parsed already only if its hash still holds. 400, 408 (not whole within two minutes), 409 (locked: try again),
 *   413, 415 or 422 otherwise.
 * - `GET {basePath}/events` → server-sent events `imported`, their data a {@link CapsuleEvent} with a path from the vault's
 *   folder, and with `memoryCount` in place of `memories`; of a watched vault, also imports by others. A client that comes back
 *   (`Last-Event-ID`) gets what it missed of the last 1,000 (or 256 Ki characters), or an event `reset` if that is not known
 *   any more. One that takes up too little is let go. 128 listen at once; more get 503.
 *
 * `GET` has `HEAD`, and an `ETag` where it is not a stream. Errors are `{ success: false, error }`. Paths of others go to `next`,
 * or get 404. The handler listens to the vault until its `close()`.
 *
 * @throws `VVAULT_INVALID_ARGUMENT`
 */
export function createCapsuleHandler(vault: Vault, options?: CapsuleHandlerOptions): CapsuleHandler;
