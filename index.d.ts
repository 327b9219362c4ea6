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
