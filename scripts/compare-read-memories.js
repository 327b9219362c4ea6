'use strict';

/**
 * Compares `readMemories` with Chatty's own implementation, side by side: over the odd vaults, over random ones, with
 * calls one after another and all at once, and over vaults that change between calls in every way a file system allows.
 *
 *     node scripts/compare-read-memories.js <path of the original readMemories.js> [options]
 *
 *     --seeds N        how many random vaults and how many sequences of changes (100)
 *     --from S         the first seed (1)
 *     --only KIND      odd | random | changes
 *     --steps N        changes in one sequence (60)
 *     --subject PATH   a module to test in the place of this package
 *     --zones A,B,…    run once in each of these time zones
 *     --key-order      also compare the order of keys
 *     --mapped         also change files through memory maps (needs python3)
 *     --unprivileged   give up the rights of root first (user and group 65534), so that permissions count
 *     --most N         differences to print (10)
 *     --show VAULT     print an odd vault (by name) or a random one (by seed), and end
 *
 * Vaults are made in TMPDIR. On a file system with a coarse clock (Linux: `mount -t ramfs none DIR`) two writes in a row
 * have the same times: there, what trusts times is found stale at once.
 *
 * Changes by a name that a file got after it was read ("through another hard link") are seen late where notifications keep
 * answers fresh (docs/limits.md), and show as differences. Where there are no notifications, nothing may differ:
 * `unshare -r sh -c 'echo 0 > /proc/sys/user/max_inotify_instances && exec node scripts/compare-read-memories.js …'`
 *
 * Exit code 1 if anything differs.
 */

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const {
  Dice,
  differenceOfOutcomes,
  differencesOfRuns,
  holdConsole,
  loadReadMemories,
  oddVaults,
  randomVault,
  runCall,
  runVault,
  writeVault,
} = require('../__test__/support/odd-vaults');

const CALLS_AT_ONCE = 24;

/**
 * @typedef {object} Comparison
 * @property {Function} original
 * @property {Function} subject
 * @property {boolean} warnedOnce
 * @property {{keepKeyOrder: boolean}} settings
 */

/**
 * @template T
 * @param {(root: string) => Promise<T>} use
 * @returns {Promise<T>}
 */
async function inTemporaryFolder(use) {
  const root = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'compare-read-memories-'));
  try {
    return await use(root);
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
}

/**
 * Runs the subject's calls many at once and compares each with what the original gave.
 *
 * @param {Comparison} comparison
 * @param {import('../__test__/support/odd-vaults').VaultDescription} description
 * @param {string} vault
 * @param {import('../__test__/support/odd-vaults').VaultRun} expected
 * @returns {Promise<string[]>}
 */
async function differencesAtOnce({ subject, settings }, description, vault, expected) {
  const differences = [];
  const held = holdConsole();
  try {
    for (let start = 0; start < description.calls.length; start += CALLS_AT_ONCE) {
      const calls = description.calls.slice(start, start + CALLS_AT_ONCE);
      if (calls.some((call) => call.zone !== undefined || call.workingDirectory !== undefined)) continue;
      const outcomes = await Promise.all(calls.map((call) => runCall(subject, call, vault, settings)));
      outcomes.forEach((outcome, index) => {
        const { memories, error } = expected.outcomes[start + index];
        const difference = differenceOfOutcomes(memories === undefined ? { error } : { memories }, outcome);
        if (difference !== null)
          differences.push(
            `call ${start + index}, with others at once ${JSON.stringify(calls[index]).slice(0, 300)}\n    ${difference}`,
          );
      });
    }
  } finally {
    held.release();
  }
  return differences;
}

/**
 * @param {Comparison} comparison
 * @param {import('../__test__/support/odd-vaults').VaultDescription} description
 * @returns {Promise<string[]>} differences
 */
function compareVault(comparison, description) {
  return inTemporaryFolder(async (root) => {
    const vault = writeVault(description, root);
    try {
      const { original, subject, settings, warnedOnce } = comparison;
      const actual = await runVault(subject, description, vault, settings);
      const expected = await runVault(original, description, vault, settings);
      const differences = differencesOfRuns(description, expected, actual, { warnedOnce });
      if (differences.length > 0) return differences;
      return await differencesAtOnce(comparison, description, vault, expected);
    } finally {
      for (const { path: relative, mode } of description.entries) {
        if (mode !== undefined) fs.chmodSync(path.join(vault, relative), 0o700);
      }
    }
  });
}

// ---------------------------------------------------------------------------------------------------------------------
// Vaults that change

const WRITE_MAPPED =
  'import mmap, sys\nwith open(sys.argv[1], "r+b") as file:\n  memory = mmap.mmap(file.fileno(), 0)\n  memory[:] = sys.stdin.buffer.read()\n  memory.close()\n';
const FIXED_TIME = 1_700_000_000;

/** Ways of giving a file new content; each is complete when it returns. */
const WRITERS = {
  'write the file': (file, bytes) => fs.writeFileSync(file, bytes),
  'write in place': (file, bytes) =>
    withDescriptor(file, 'r+', (descriptor) => {
      fs.writeSync(descriptor, bytes, 0, bytes.length, 0);
      fs.ftruncateSync(descriptor, bytes.length);
    }),
  'write in two parts': (file, bytes) =>
    withDescriptor(file, 'w', (descriptor) => {
      fs.writeSync(descriptor, bytes.subarray(0, 20));
      fs.writeSync(descriptor, bytes.subarray(20));
    }),
  'rename over it': (file, bytes) => {
    fs.writeFileSync(`${file}.tmp`, bytes);
    fs.renameSync(`${file}.tmp`, file);
  },
  'rename over it from elsewhere': (file, bytes, vault) => {
    const temporary = path.join(vault, '..', `temporary-${path.basename(file)}`);
    fs.writeFileSync(temporary, bytes);
    fs.renameSync(temporary, file);
  },
  'copy over it': (file, bytes, vault) => {
    const temporary = path.join(vault, '..', 'temporary-copy');
    fs.writeFileSync(temporary, bytes);
    fs.copyFileSync(temporary, file);
  },
  'unlink and create': (file, bytes) => {
    fs.rmSync(file, { force: true, recursive: true });
    fs.writeFileSync(file, bytes);
  },
  'through another hard link': (file, bytes, vault) => {
    const other = path.join(vault, '..', 'other-name');
    fs.rmSync(other, { force: true });
    if (!fs.existsSync(file)) fs.writeFileSync(file, '');
    fs.linkSync(file, other);
    fs.writeFileSync(other, bytes);
  },
  'by a shell': (file, bytes) => spawnSync('sh', ['-c', 'cat > "$1"', 'sh', file], { input: bytes }),
  'by a shell, renaming': (file, bytes) =>
    spawnSync('sh', ['-c', 'cat > "$1.new" && mv "$1.new" "$1"', 'sh', file], { input: bytes }),
  'through a memory map': (file, bytes) => {
    if (!fs.existsSync(file) || fs.statSync(file).size !== bytes.length) fs.writeFileSync(file, bytes);
    spawnSync('python3', ['-c', WRITE_MAPPED, file], { input: bytes });
  },
};

/**
 * @param {string} file
 * @param {string} flags
 * @param {(descriptor: number) => void} use
 */
function withDescriptor(file, flags, use) {
  const descriptor = fs.openSync(file, flags === 'r+' && !fs.existsSync(file) ? 'w+' : flags);
  try {
    use(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

/**
 * Lets all folders be entered again, so that they can be removed.
 *
 * @param {string} folder
 */
function openFolders(folder) {
  fs.chmodSync(folder, 0o700);
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) openFolders(path.join(folder, entry.name));
  }
}

/** A vault on disk whose files are changed step by step, at random. */
class ChangingVault {
  /**
   * @param {string} root
   * @param {number} seed
   * @param {boolean} mapped  Also change files through memory maps.
   */
  constructor(root, seed, mapped) {
    this.root = root;
    this.vault = path.join(root, 'vault');
    this.dice = new Dice(seed);
    this.writers = Object.keys(WRITERS).filter((name) => mapped || name !== 'through a memory map');
    this.count = 0;
    this.heldDescriptors = [];
    this.latest = path.join(this.capsules, 'm0.json');
    this.build(this.vault);
    fs.symlinkSync('vault', path.join(root, 'current'));
  }

  get capsules() {
    return path.join(this.vault, 'users/u/capsules');
  }

  get transcripts() {
    return path.join(this.vault, 'users/t/transcripts');
  }

  get store() {
    return path.join(this.vault, 'store');
  }

  /** @param {string} vault */
  build(vault) {
    for (const folder of [
      'users/u/capsules',
      'users/t/transcripts/s0',
      'users/t/transcripts/s1',
      'users/u/transcripts/s0',
      'store/more',
    ]) {
      fs.mkdirSync(path.join(vault, folder), { recursive: true });
    }
    for (let index = 0; index < 8; index++) {
      fs.writeFileSync(path.join(vault, `users/u/capsules/m${index}.json`), this.capsule());
      fs.writeFileSync(path.join(vault, `users/t/transcripts/s${index % 2}/m${index}.txt`), this.transcript());
      fs.writeFileSync(path.join(vault, `store/m${index}.json`), this.capsule());
      fs.writeFileSync(path.join(vault, `store/more/m${index}.json`), this.capsule());
    }
    fs.writeFileSync(path.join(vault, 'users/u/transcripts/s0/fallback.txt'), this.transcript());
  }

  /** @returns {Buffer} always of one size */
  capsule() {
    const time = new Date(Date.UTC(2020, 0) + this.dice.between(0, 150_000_000) * 1000).toISOString();
    const role = this.dice.pick(['use1', 'use2', 'syst']);
    return Buffer.from(`{"created_ts":"${time}","role":"${role}","raw":"${String(this.count++).padStart(8, '0')}"}`);
  }

  /** @returns {Buffer} always of one size */
  transcript() {
    const time = new Date(Date.UTC(2020, 0) + this.dice.between(0, 150_000_000) * 1000).toISOString();
    return Buffer.from(
      `# Timestamp: ${time}\n# Role: ${this.dice.pick(['use1', 'use2'])}\n# ---\n${String(this.count++).padStart(8, '0')}`,
    );
  }

  /**
   * @param {string} folder
   * @returns {string[]} paths, whatever lies there
   */
  list(folder) {
    try {
      return fs.readdirSync(folder).map((name) => path.join(folder, name));
    } catch {
      return [];
    }
  }

  /** @returns {string | null} a file of either user, or one that links lead to; often the one of the time before */
  anyFile() {
    const folders = [
      this.capsules,
      this.capsules,
      this.capsules,
      path.join(this.transcripts, 's0'),
      path.join(this.transcripts, 's1'),
      this.store,
      path.join(this.store, 'more'),
    ];
    if (this.dice.chance(0.4) && fs.lstatSync(this.latest, { throwIfNoEntry: false })?.isFile()) return this.latest;
    const files = this.list(this.dice.pick(folders)).filter(
      (file) => /\.(?:json|txt)$/.test(file) && !fs.lstatSync(file).isDirectory(),
    );
    if (files.length === 0) return null;
    this.latest = this.dice.pick(files);
    return this.latest;
  }

  /** @returns {string | null} one that can be opened */
  anyReadableFile() {
    const file = this.anyFile();
    return file !== null && fs.statSync(file, { throwIfNoEntry: false })?.isFile() ? file : null;
  }

  /** @param {string} file @returns {Buffer} new content, whole in most cases */
  newContent(file) {
    const whole = file.endsWith('.json') ? this.capsule() : this.transcript();
    return this.dice.make([
      () => whole,
      () => whole,
      () => whole,
      () => whole,
      () => Buffer.concat([whole, Buffer.from(' '.repeat(this.dice.between(1, 40)))]),
      () => whole.subarray(0, this.dice.between(0, whole.length)),
      () => Buffer.from(whole.toString().replace('}', ']')),
    ]);
  }

  /**
   * Gives a file new content in some way, and sometimes its old times back.
   *
   * @param {string} file
   * @param {Buffer} bytes
   * @returns {string}
   */
  write(file, bytes) {
    const writer = this.dice.pick(this.writers);
    const times = this.dice.pick(['new', 'new', 'old', 'fixed']);
    const before = fs.existsSync(file) ? fs.statSync(file) : null;
    WRITERS[writer](file, bytes, this.vault);
    if (times === 'old' && before !== null) fs.utimesSync(file, before.atime, before.mtime);
    if (times === 'fixed') fs.utimesSync(file, FIXED_TIME, FIXED_TIME);
    return `${writer}: ${path.relative(this.root, file)}, ${bytes.length} bytes, ${times} times`;
  }

  /** Removes whatever lies there. @param {string} place */
  clear(place) {
    fs.rmSync(place, { recursive: true, force: true });
  }

  /**
   * @param {string} target
   * @param {string} place
   * @returns {string}
   */
  link(target, place) {
    const temporary = `${place}.link`;
    this.clear(temporary);
    fs.symlinkSync(target, temporary);
    if (fs.lstatSync(place, { throwIfNoEntry: false })?.isDirectory()) this.clear(place);
    fs.renameSync(temporary, place);
    return `link ${path.relative(this.root, place)} to ${target}`;
  }

  /** Fills a folder with capsules of the usual names. @param {string} folder */
  fill(folder) {
    fs.mkdirSync(folder, { recursive: true });
    for (let index = 0; index < this.dice.between(0, 8); index++)
      fs.writeFileSync(path.join(folder, `m${index}.json`), this.capsule());
  }

  /**
   * Does something at random. What lies in the way may let it fail halfway; the vault then is what it is.
   *
   * @returns {string} what
   */
  change() {
    for (;;) {
      try {
        if (!fs.existsSync(this.capsules) && this.dice.chance(0.1)) return this.rebuild();
        const done = this.dice.pick(CHANGES)(this);
        if (done !== null) return done;
      } catch (error) {
        if (error.code === undefined) throw error;
        return `failed: ${error.message}`;
      }
    }
  }

  /** Lets everything be as it was at first, as other files at the same places. */
  rebuild() {
    if (fs.existsSync(this.vault)) openFolders(this.vault);
    this.clear(this.vault);
    this.build(this.vault);
    return 'rebuild the vault';
  }

  close() {
    for (const { descriptor } of this.heldDescriptors) fs.closeSync(descriptor);
  }
}

/** @type {((changing: ChangingVault) => string | null)[]} */
const FILE_CHANGES = [
  (changing) => {
    const file = changing.anyReadableFile();
    return file === null
      ? null
      : changing.write(file, file.endsWith('.json') ? changing.capsule() : changing.transcript());
  },
  (changing) => {
    const file = changing.anyReadableFile();
    return file === null ? null : changing.write(file, changing.newContent(file));
  },
  (changing) => {
    if (!fs.existsSync(changing.capsules) || !fs.statSync(changing.capsules).isDirectory()) return null;
    return `add ${changing.write(path.join(changing.capsules, `${changing.dice.pick(['a', 'm', 'Z', 'é'])}${changing.dice.between(0, 20)}.json`), changing.capsule())}`;
  },
  (changing) => {
    const folder = path.join(changing.transcripts, `s${changing.dice.between(0, 4)}`);
    if (!fs.existsSync(folder) || !fs.statSync(folder).isDirectory()) return null;
    return `add ${changing.write(path.join(folder, `a${changing.dice.between(0, 20)}.txt`), changing.transcript())}`;
  },
  (changing) => {
    const file = changing.anyFile();
    if (file === null) return null;
    changing.clear(file);
    return `delete ${path.relative(changing.root, file)}`;
  },
  (changing) => {
    const file = changing.anyFile();
    if (file === null) return null;
    const place = changing.dice.pick([
      `${file}.bak`,
      path.join(path.dirname(file), `r${changing.dice.between(0, 9)}${path.extname(file)}`),
      path.join(changing.store, path.basename(file)),
    ]);
    if (fs.lstatSync(place, { throwIfNoEntry: false })?.isDirectory()) return null;
    fs.renameSync(file, place);
    return `rename ${path.relative(changing.root, file)} to ${path.relative(changing.root, place)}`;
  },
  (changing) => {
    const [one, other] = [changing.anyFile(), changing.anyFile()];
    if (one === null || other === null || one === other || path.extname(one) !== path.extname(other)) return null;
    fs.renameSync(one, `${one}.swap`);
    fs.renameSync(other, one);
    fs.renameSync(`${one}.swap`, other);
    return `swap ${path.relative(changing.root, one)} and ${path.relative(changing.root, other)}`;
  },
  (changing) => {
    const file = changing.anyReadableFile();
    if (file === null) return null;
    const time = changing.dice.pick([Date.now() / 1000, FIXED_TIME, 0, 4_000_000_000]);
    fs.utimesSync(file, time, time);
    return `touch ${path.relative(changing.root, file)}`;
  },
  (changing) => {
    const file = changing.anyReadableFile();
    if (file === null) return null;
    fs.appendFileSync(file, changing.dice.pick([' ', '\n', 'x', '}']));
    return `append to ${path.relative(changing.root, file)}`;
  },
  (changing) => {
    const file = changing.anyReadableFile();
    if (file === null) return null;
    fs.truncateSync(file, changing.dice.pick([0, 10, 40]));
    return `truncate ${path.relative(changing.root, file)}`;
  },
  (changing) => {
    const file = changing.anyReadableFile();
    if (file === null || changing.heldDescriptors.length > 8) return null;
    changing.heldDescriptors.push({ descriptor: fs.openSync(file, 'r+'), isCapsule: file.endsWith('.json') });
    return `open ${path.relative(changing.root, file)} as held file ${changing.heldDescriptors.length - 1}`;
  },
  (changing) => {
    if (changing.heldDescriptors.length === 0) return null;
    const index = changing.dice.between(0, changing.heldDescriptors.length - 1);
    const { descriptor, isCapsule } = changing.heldDescriptors[index];
    const bytes = isCapsule ? changing.capsule() : changing.transcript();
    fs.writeSync(descriptor, bytes, 0, bytes.length, 0);
    return `write to held file ${index}, without closing it`;
  },
  (changing) => {
    const file = changing.anyFile();
    if (file === null) return null;
    changing.clear(file);
    fs.mkdirSync(file);
    return `a folder in the place of ${path.relative(changing.root, file)}`;
  },
  (changing) => {
    const file = changing.anyFile();
    if (file === null || file.startsWith(changing.store)) return null;
    return changing.link(
      changing.dice.pick([
        path.join(changing.store, `m${changing.dice.between(0, 7)}.json`),
        'm1.json',
        'nowhere',
        path.join(changing.store, 'absent.json'),
        '.',
      ]),
      file,
    );
  },
  (changing) => {
    const file = changing.anyFile();
    const target = path.join(changing.store, `m${changing.dice.between(0, 7)}.json`);
    if (file === null || file === target || !fs.lstatSync(target, { throwIfNoEntry: false })?.isFile()) return null;
    changing.clear(file);
    fs.linkSync(target, file);
    return `hard link ${path.relative(changing.root, file)} to ${path.relative(changing.root, target)}`;
  },
  (changing) => {
    const place = changing.dice.chance(0.7) ? changing.anyFile() : changing.capsules;
    if (place === null || !fs.existsSync(place)) return null;
    const mode = changing.dice.pick([0o000, 0o644, 0o755, 0o700]);
    fs.chmodSync(place, mode);
    return `set the mode of ${path.relative(changing.root, place)} to ${mode.toString(8)}`;
  },
];

/** @type {((changing: ChangingVault) => string | null)[]} */
const FOLDER_CHANGES = [
  (changing) => {
    changing.clear(`${changing.capsules}.old`);
    if (fs.lstatSync(changing.capsules, { throwIfNoEntry: false }) !== undefined)
      fs.renameSync(changing.capsules, `${changing.capsules}.old`);
    changing.fill(changing.capsules);
    return 'replace the capsules folder by a new one';
  },
  (changing) => {
    const other = `${changing.capsules}.old`;
    if (!fs.existsSync(other) || fs.lstatSync(changing.capsules, { throwIfNoEntry: false }) === undefined) return null;
    fs.renameSync(changing.capsules, `${changing.capsules}.swap`);
    fs.renameSync(other, changing.capsules);
    fs.renameSync(`${changing.capsules}.swap`, other);
    return 'swap the capsules folder and the old one';
  },
  (changing) => {
    changing.clear(changing.capsules);
    const then = changing.dice.pick(['nothing', 'an empty folder', 'new files', 'a file', 'nothing']);
    if (then === 'an empty folder') fs.mkdirSync(changing.capsules, { recursive: true });
    if (then === 'new files') changing.fill(changing.capsules);
    if (then === 'a file') {
      fs.mkdirSync(path.dirname(changing.capsules), { recursive: true });
      fs.writeFileSync(changing.capsules, 'x');
    }
    return `remove the capsules folder, then ${then}`;
  },
  (changing) => {
    fs.mkdirSync(path.dirname(changing.capsules), { recursive: true });
    return changing.link(
      changing.dice.pick(['../../store', changing.store, '../../store/more', 'nowhere', 'transcripts']),
      changing.capsules,
    );
  },
  (changing) => {
    const user = path.join(changing.vault, 'users/u');
    changing.clear(`${user}.gone`);
    if (fs.existsSync(user)) fs.renameSync(user, `${user}.gone`);
    const then = changing.dice.pick(['nothing', 'back', 'new', 'link']);
    if (then === 'back' && fs.existsSync(`${user}.gone`)) fs.renameSync(`${user}.gone`, user);
    if (then === 'new') changing.fill(changing.capsules);
    if (then === 'link') fs.symlinkSync('u.gone', user);
    return `rename the user's folder away, then ${then}`;
  },
  (changing) => {
    const users = path.join(changing.vault, 'users');
    changing.clear(`${users}.gone`);
    fs.renameSync(users, `${users}.gone`);
    const then = changing.dice.pick(['back', 'back', 'copy', 'link']);
    if (then === 'back') fs.renameSync(`${users}.gone`, users);
    if (then === 'copy')
      fs.cpSync(`${users}.gone`, users, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    if (then === 'link') fs.symlinkSync('users.gone', users);
    return `rename the users folder away, then ${then}`;
  },
  (changing) => {
    const users = path.join(changing.vault, 'users');
    if (!fs.lstatSync(users).isSymbolicLink()) return null;
    fs.unlinkSync(users);
    fs.renameSync(`${users}.gone`, users);
    return 'a real users folder in the place of the link';
  },
  (changing) => {
    const away = path.join(changing.root, 'vault-away');
    changing.clear(away);
    fs.renameSync(changing.vault, away);
    const then = changing.dice.pick(['build', 'change and back', 'change and back']);
    if (then === 'build') changing.build(changing.vault);
    else {
      for (const file of changing.list(path.join(away, 'users/u/capsules')).slice(0, 2)) {
        if (fs.lstatSync(file).isFile()) fs.writeFileSync(file, changing.capsule());
      }
      fs.renameSync(away, changing.vault);
    }
    return `rename the vault away, then ${then}`;
  },
  (changing) => {
    const other = path.join(changing.root, 'vault-two');
    if (!fs.existsSync(other)) changing.build(other);
    return changing.link(changing.dice.pick(['vault', 'vault-two', other]), path.join(changing.root, 'current'));
  },
  (changing) => {
    const file = path.join(changing.root, 'vault-two/users/u/capsules', `m${changing.dice.between(0, 9)}.json`);
    if (!fs.existsSync(path.dirname(file))) return null;
    return changing.write(file, changing.capsule());
  },
  (changing) => {
    const session = path.join(changing.transcripts, `s${changing.dice.between(0, 4)}`);
    if (!fs.existsSync(changing.transcripts)) return null;
    changing.clear(session);
    const then = changing.dice.pick(['nothing', 'a folder', 'a folder', 'a file', 'a link', 'a dangling link']);
    if (then === 'a folder') {
      fs.mkdirSync(session);
      for (let index = 0; index < changing.dice.between(0, 4); index++)
        fs.writeFileSync(path.join(session, `m${index}.txt`), changing.transcript());
    }
    if (then === 'a file') fs.writeFileSync(session, 'x');
    if (then === 'a link') fs.symlinkSync('s0', session);
    if (then === 'a dangling link') fs.symlinkSync('nowhere', session);
    return `${then} in the place of ${path.relative(changing.root, session)}`;
  },
  (changing) => {
    const [one, other] = [`s${changing.dice.between(0, 4)}`, `s${changing.dice.between(0, 4)}`].map((name) =>
      path.join(changing.transcripts, name),
    );
    if (one === other || !fs.existsSync(one) || fs.lstatSync(other, { throwIfNoEntry: false }) !== undefined)
      return null;
    fs.renameSync(one, other);
    return `rename ${path.relative(changing.root, one)} to ${path.basename(other)}`;
  },
  (changing) => {
    changing.clear(`${changing.transcripts}.gone`);
    if (fs.existsSync(changing.transcripts)) fs.renameSync(changing.transcripts, `${changing.transcripts}.gone`);
    if (changing.dice.chance(0.8)) {
      fs.mkdirSync(path.join(changing.transcripts, 's0'), { recursive: true });
      fs.writeFileSync(path.join(changing.transcripts, 's0/m0.txt'), changing.transcript());
    }
    return 'replace the transcripts folder';
  },
  (changing) => {
    const folder = path.join(changing.vault, 'users/t/capsules');
    if (!fs.existsSync(path.dirname(folder))) return null;
    if (fs.existsSync(folder)) changing.clear(folder);
    else changing.fill(folder);
    return 'give the user of transcripts a capsules folder, or take it away';
  },
  (changing) => changing.rebuild(),
];

const CHANGES = [...FILE_CHANGES, ...FILE_CHANGES, ...FILE_CHANGES, ...FOLDER_CHANGES];

/**
 * @param {Dice} dice
 * @returns {import('../__test__/support/odd-vaults').VaultCall}
 */
function callOnChanging(dice) {
  const options = dice.pick([
    { limit: 0 },
    { limit: 0 },
    {},
    { limit: 3 },
    { role: 'use1' },
    { since: { $date: Date.UTC(2022, 0) } },
    { sessionId: 's1', limit: 0 },
  ]);
  return {
    userId: dice.pick(['u', 'u', 't']),
    options,
    ...(dice.chance(0.25) ? { config: { vvaultPath: '{vault}/../current' } } : {}),
  };
}

/**
 * Changes a vault step by step; after each the subject must at once give what the original gives.
 *
 * @param {Comparison} comparison
 * @param {number} seed
 * @param {number} steps
 * @param {boolean} mapped
 * @returns {Promise<string[]>} the first difference with all that was done before it
 */
function compareChanges({ original, subject, settings }, seed, steps, mapped) {
  return inTemporaryFolder(async (root) => {
    const changing = new ChangingVault(root, seed, mapped);
    const { dice, vault } = changing;
    const done = [];
    const held = holdConsole();
    try {
      for (let step = 0; step < steps; step++) {
        const early = dice.chance(0.15) ? runCall(subject, callOnChanging(dice), vault, settings) : null;
        for (let times = dice.pick([1, 1, 1, 2, 5]); times > 0; times--) {
          done.push(changing.change());
          // Asked between two changes, an index may take the first state for the second.
          if (times > 1 && dice.chance(0.6)) {
            await runCall(subject, callOnChanging(dice), vault, settings);
            done.push('(a call)');
          }
        }
        const calls = Array.from({ length: dice.between(1, 3) }, () => callOnChanging(dice));
        const given = dice.chance(0.5)
          ? await Promise.all(calls.map((call) => runCall(subject, call, vault, settings)))
          : [await runCall(subject, calls[0], vault, settings)];
        await early;
        for (let index = 0; index < given.length; index++) {
          const expected = await runCall(original, calls[index], vault, settings);
          const difference = differenceOfOutcomes(expected, given[index]);
          if (difference === null) continue;
          const again = differenceOfOutcomes(expected, await runCall(subject, calls[index], vault, settings));
          return [
            `${done.map((text, place) => `${place + 1}. ${text}`).join('\n    ')}\n    then ${JSON.stringify(calls[index])}\n    ${difference}\n    asked again: ${again === null ? 'right' : 'wrong as well'}`,
          ];
        }
      }
    } finally {
      held.release();
      changing.close();
      openFolders(root);
    }
    return [];
  });
}

/**
 * Rewrites one file over and over with content of the same size and asks at once, with nothing in between: many
 * rewrites fall into one tick of the file system's clock.
 *
 * @param {Comparison} comparison
 * @param {number} seed
 * @param {number} times
 * @returns {Promise<string[]>}
 */
function compareRewrites({ subject, settings }, seed, times) {
  return inTemporaryFolder(async (root) => {
    const changing = new ChangingVault(root, seed, false);
    const file = path.join(changing.capsules, 'm3.json');
    const writers = ['write the file', 'write in place', 'rename over it', 'write in two parts', 'unlink and create'];
    for (let index = 0; index < times; index++) {
      const writer = changing.dice.pick(writers);
      const bytes = changing.capsule();
      WRITERS[writer](file, bytes, changing.vault);
      const { memories, error } = await runCall(
        subject,
        { userId: 'u', options: { limit: 0 } },
        changing.vault,
        settings,
      );
      const text = memories?.find((memory) => memory.includes('"m3.json"')) ?? error ?? 'no memory';
      const { raw } = JSON.parse(bytes);
      if (!text.includes(raw)) return [`rewrite ${index} of the same size (${writer}): expected ${raw}, got ${text}`];
    }
    return [];
  });
}

// ---------------------------------------------------------------------------------------------------------------------
// The command

const OPTIONS = {
  seeds: { type: 'string', default: '100' },
  from: { type: 'string', default: '1' },
  only: { type: 'string' },
  steps: { type: 'string', default: '60' },
  subject: { type: 'string' },
  zones: { type: 'string' },
  'key-order': { type: 'boolean', default: false },
  mapped: { type: 'boolean', default: false },
  unprivileged: { type: 'boolean', default: false },
  most: { type: 'string', default: '10' },
  show: { type: 'string' },
};

/**
 * @param {string} wanted  Name of an odd vault, or a seed.
 */
function show(wanted) {
  const description = /^\d+$/.test(wanted)
    ? randomVault(Number(wanted))
    : oddVaults().find(({ name }) => name === wanted);
  if (description === undefined) {
    console.error(
      `no such vault; there are: ${oddVaults()
        .map(({ name }) => name)
        .join(', ')}`,
    );
    process.exit(2);
  }
  console.log(JSON.stringify(description, null, 2));
}

/**
 * Runs this command once in each time zone.
 *
 * @param {string[]} zones
 */
function runInZones(zones) {
  const place = process.argv.findIndex((argument) => argument.startsWith('--zones'));
  const rest = process.argv
    .slice(2)
    .filter((_, index) => index + 2 !== place && !(process.argv[place] === '--zones' && index + 1 === place));
  let failed = false;
  for (const zone of zones) {
    console.log(`— ${zone}`);
    const { status } = spawnSync(process.execPath, [__filename, ...rest], {
      env: { ...process.env, TZ: zone },
      stdio: 'inherit',
    });
    failed ||= status !== 0;
  }
  process.exitCode = failed ? 1 : 0;
}

async function main() {
  const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
  if (values.show !== undefined) return show(values.show);
  if (positionals.length !== 1) {
    console.error(
      'usage: node scripts/compare-read-memories.js <path of the original readMemories.js> [--seeds N] [--from S] [--only odd|random|changes] …',
    );
    process.exit(2);
  }
  if (values.zones !== undefined) return runInZones(values.zones.split(','));

  const comparison = {
    original: loadReadMemories(positionals[0]),
    subject: values.subject === undefined ? require('..').readMemories : loadReadMemories(values.subject),
    warnedOnce: values.subject === undefined,
    settings: { keepKeyOrder: values['key-order'] },
  };
  if (values.unprivileged) {
    process.setgid(65534);
    process.setuid(65534);
  }
  const [first, count, steps, most] = [values.from, values.seeds, values.steps, values.most].map(Number);
  const seeds = Array.from({ length: count }, (_, index) => first + index);
  let found = 0;
  let vaults = 0;
  const report = (name, differences) => {
    vaults++;
    for (const difference of differences) {
      if (found++ < most) console.log(`✗ ${name}: ${difference}\n    (--show "${name}")`);
    }
  };

  if (values.only === undefined || values.only === 'odd') {
    const isRoot = process.getuid?.() === 0;
    const described = oddVaults().filter(({ unprivileged }) => !(isRoot && unprivileged === true));
    for (const description of described) report(description.name, await compareVault(comparison, description));
  }
  if (values.only === undefined || values.only === 'random') {
    for (const seed of seeds) report(String(seed), await compareVault(comparison, randomVault(seed)));
  }
  if (values.only === undefined || values.only === 'changes') {
    report('rewrites', await compareRewrites(comparison, first, 3000));
    for (const seed of seeds)
      report(`changes from seed ${seed}`, await compareChanges(comparison, seed, steps, values.mapped));
  }
  console.log(found === 0 ? `✓ ${vaults} vaults, no difference` : `${found} differences in ${vaults} vaults`);
  process.exitCode = found === 0 ? 0 : 1;
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
