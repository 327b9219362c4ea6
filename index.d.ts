/**
 * Where a vault lies and what is logged: the part of Chatty's connector configuration that reading uses. Other members
 * are allowed and ignored.
 */
export interface ReadMemoriesConfig {
  /** The vault's root folder. */
  vvaultPath: string;
  /** Names of folders: `users` below the root, the others below a user's folder. */
  directories: { users: string; capsules: string; transcripts: string };
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
  limit?: number;
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
  };
}

/** A memory from a transcript, `{user}/transcripts/{session}/*.txt`. */
export interface TranscriptMemory {
  /** `{session folder}_{timestamp}_{role}`. */
  id: string;
  type: 'transcript';
  timestamp: string | null;
  content: string;
  role: string | null;
  sessionId: string;
  userId: string | null;
  metadata: {
    source: 'transcript';
    sessionId: string;
    /** The header's emotions, whatever JSON value they are. */
    emotions: any;
    /** Length of `content` in UTF-16 code units. */
    contentLength: number;
  };
}

export type Memory = CapsuleMemory | TranscriptMemory;

/**
 * Reads a user's memories: the drop-in for Chatty's `vvaultConnector/readMemories.js`, with the same results and errors.
 *
 * Memory capsules are read from `{vvaultPath}/{users}/{userId}/{capsules}`, or where that folder is not there, transcripts
 * from `{transcripts}`. A user who is not in `{users}` is looked for in `{users}/shard_*`. An unknown user has no
 * memories.
 *
 * The answer is never stale: it holds every write that ended before the call, by any process. Reading, parsing,
 * filtering and sorting happen on other threads.
 *
 * A file that can't be read is left out and told by `console.warn`, once for each state of the file. A link that leads
 * out of the vault is not followed.
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
  content: string;
  /** Its own role; of a line "user: …" or "assistant: …" in a log, that; else `'system'`. */
  role: string;
  metadata: {
    source: 'construct';
    /** The list that it stood in. */
    kind: 'short-term' | 'long-term' | 'emotional' | 'procedural' | 'episodic' | 'log' | 'session';
    instanceName: any;
    /** The capsule's UUID. */
    uuid: any;
    /** The place in the capsule, such as `memory.short_term_memories`. */
    section: string;
    /** The place in the section, from 0. */
    index: number;
  };
}

/** What a construct's capsule restores to. A section that is missing is empty. */
export interface ConstructState {
  instanceName: any;
  uuid: any;
  timestamp: any;
  traits: Record<string, any>;
  personality: Record<string, any>;
  /**
   * The texts of all memories: short-term, long-term, emotional, procedural, episodic (VVAULT's order), then logs, the older
   * top-level list, and the exchanges of sessions.
   */
  memoryLog: string[];
  /** The same memories with what is known of each. */
  memories: RestoredMemory[];
  environment: Record<string, any>;
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
   * @throws `VVAULT_NOT_A_CAPSULE` if it is not an object.
   */
  restoreConstruct(capsuleData: object): ConstructState;

  /**
   * Hands each memory to the runtime's `addMemory(content, metadata)`, one after the other.
   *
   * @param memories Restored memories, or a memory log.
   * @returns How many the runtime took.
   * @throws `VVAULT_NO_RUNTIME` if there is no runtime; what the runtime itself throws.
   */
  dropMemIntoRuntime(memories: Iterable<RestoredMemory | string>): Promise<number>;
}
