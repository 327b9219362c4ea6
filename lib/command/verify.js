'use strict';

const fs = require('node:fs/promises');
const path = require('node:path');
const { isDeepStrictEqual } = require('node:util');
const { CapsuleLoader } = require('../..');
const { examples } = require('./arguments');
const { cell, dim, green, red, yellow } = require('./output');
const { withProgress } = require('./progress');

/** @typedef {import('../../index').Integrity} Integrity */
/** @typedef {InstanceType<typeof import('./output').Output>} Output */
/**
 * What is printed of a file.
 *
 * @typedef {object} Verdict
 * @property {string} path
 * @property {'construct' | 'memory'} format
 * @property {Integrity} integrity
 * @property {string | null} reason Why it is not sound.
 * @property {string | null} nearest The recipe that it was most likely hashed by, if none matches.
 * @property {string[] | null} differs What is not as it was hashed, as far as that can be told.
 * @property {string | null} comparedWith The sound capsule that `differs` was found by.
 */
/** @typedef {{ path: string, recipe: string | null, timestamp: string }} Sound */

/** How many files are read at once. */
const PARALLEL = 16;
/** How deep folders are searched: as the vault does. */
const DEEPEST = 24;
const HASH = 'metadata.fingerprint_hash';
/** So many differences are named. */
const MOST_DIFFERENCES = 20;

/**
 * @param {import('commander').Command} program
 * @param {import('.').OnVault} onVault
 */
function addVerify(program, onVault) {
  program
    .command('verify')
    .description('Compares capsules and memories with the hashes that they state, and tells of each that is not sound.')
    .argument('[names...]', 'only the capsules in the folders of these instances (capsules/NAME, instances/NAME)')
    .option('--all', 'also list the sound ones')
    .addHelpText(
      'after',
      examples(
        'one file a line, unsound ones last: { path, format, integrity: { valid, recipe, tether }, reason, nearest,\n' +
          'differs, comparedWith }. nearest is the recipe that an unsound capsule was most likely hashed by; differs names\n' +
          'what has changed since, by comparison with the sound capsule comparedWith if there is one.',
        'verify',
        'verify Nova nova-001 --tether EXAMPLE-SIG',
        "verify --json | jq -r 'select(.reason) | .path'",
      ),
    )
    .action(
      onVault(async ({ vault, output, options }, /** @type {string[]} */ names) => {
        const files = await filesBelow(vault.root, names, (error) => output.problem`${error.message}`);
        for (const name of names) {
          const isThere = files.some((file) => isOf(vault.root, file, name));
          if (!isThere) output.problem`${vault.root} has no capsules of ${name}`;
        }
        const loader = new CapsuleLoader();
        const sound = new SoundCapsules();
        /** @type {{ verdict: Verdict, header: Header }[]} */
        const unsound = [];
        const counts = { sound: 0, unstated: 0, weak: 0 };
        /** @type {Verdict[]} */
        const listed = [];
        await withProgress(output, files.length, 'files', async (step) => {
          for await (const judged of inOrder(files, (file) => judge(loader, file, options.tether))) {
            step();
            if (judged === null) continue;
            const { verdict, capsule } = judged;
            if (verdict.reason !== null) {
              unsound.push({ verdict, header: headerOf(capsule) });
              continue;
            }
            if (verdict.integrity.valid === null) counts.unstated += 1;
            else if (verdict.integrity.recipe === 'F3') counts.weak += 1;
            else counts.sound += 1;
            if (verdict.format === 'construct' && verdict.integrity.valid) sound.add(verdict, capsule);
            if (output.isJson) output.json(verdict);
            else if (options.all) listed.push(verdict);
            if (output.signal.aborted) return;
          }
        });
        if (output.signal.aborted) return;
        if (listed.length > 0) printSound(output, vault.root, listed);
        for (const { verdict, header } of unsound) {
          await explain(verdict, header, sound, loader);
          output.failed = true;
          if (output.isJson) output.json(verdict);
          else printUnsound(output, vault.root, verdict);
        }
        if (!output.isJson) printSummary(output, counts, unsound.length);
      }),
    );
}

/**
 * The files that `vault.verifyCapsules` judges: every construct's capsule, and every memory in a folder of capsules. Links
 * are not followed.
 *
 * @param {string} root
 * @param {string[]} names
 * @param {(error: Error) => void} onUnreadable Told of each folder that can't be looked into.
 */
async function filesBelow(root, names, onUnreadable) {
  /** @type {string[]} */
  const found = [];
  const folders = [{ folder: root, depth: 0 }];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    const { folder, depth } = next;
    const entries = await fs.readdir(folder, { withFileTypes: true }).catch((error) => {
      if (error.code !== 'ENOENT') onUnreadable(error);
      return [];
    });
    for (const entry of entries) {
      const file = path.join(folder, entry.name);
      if (entry.isDirectory() && depth < DEEPEST) folders.push({ folder: file, depth: depth + 1 });
      else if (entry.isFile() && isWanted(folder, entry.name)) found.push(file);
    }
  }
  const wanted = names.length === 0 ? found : found.filter((file) => names.some((name) => isOf(root, file, name)));
  return wanted.sort();
}

/**
 * @param {string} folder
 * @param {string} name
 */
function isWanted(folder, name) {
  return isConstruct(folder, name) || (name.endsWith('.json') && path.basename(folder) === 'capsules');
}

/**
 * @param {string} folder
 * @param {string} name
 */
function isConstruct(folder, name) {
  return name.endsWith('.capsule') || (name === 'capsule.json' && path.basename(folder) === 'identity');
}

/**
 * Whether a file is a capsule in the folders of an instance.
 *
 * @param {string} root
 * @param {string} file
 * @param {string} name
 */
function isOf(root, file, name) {
  const folders = path.relative(root, path.dirname(file)).split(path.sep);
  return folders.some((folder, place) => {
    return folder === name && (folders[place - 1] === 'capsules' || folders[place - 1] === 'instances');
  });
}

/**
 * What becomes of the items, in their order, several at once.
 *
 * @template T, R
 * @param {T[]} items
 * @param {(item: T) => Promise<R>} work
 */
async function* inOrder(items, work) {
  /** @type {Promise<R>[]} */
  const under = [];
  for (const item of items) {
    under.push(work(item));
    if (under.length === PARALLEL) yield/** @type {Promise<R>} */ (under.shift());
  }
  yield* under;
}

/**
 * @param {CapsuleLoader} loader
 * @param {string} file
 * @param {string} [tether]
 * @returns {Promise<{ verdict: Verdict, capsule: any } | null>} `null` if the file is gone.
 */
async function judge(loader, file, tether) {
  const format = isConstruct(path.dirname(file), path.basename(file)) ? 'construct' : 'memory';
  // A tether binds constructs; a memory has none.
  const loaded = await loader.loadCapsule(file, format === 'construct' ? tether : null);
  const { fingerprintValid: valid, tetherValid, recipe, capsuleData: capsule, errorMessage } = loaded;
  if (capsule === null && /^ENOENT/.test(errorMessage ?? '')) return null;
  // What can't be parsed by JavaScript and has a right hash holds Python's NaN.
  const isReadable = capsule !== null || valid === true;
  const reason = isReadable && valid !== false && tetherValid !== false ? null : errorMessage;
  const integrity = { valid: isReadable ? valid : false, recipe, tether: tetherValid };
  return {
    verdict: { path: file, format, integrity, reason, nearest: null, differs: null, comparedWith: null },
    capsule,
  };
}

/** What sound capsules there are to compare with, by what an unsound one may have in common with them. */
class SoundCapsules {
  /** @type {Map<string, Sound>} */
  #known = new Map();

  /**
   * @param {Verdict} verdict
   * @param {any} capsule
   */
  add({ path: file, integrity: { recipe } }, capsule) {
    const { fingerprint, uuid, instance, timestamp } = headerOf(capsule);
    const sound = { path: file, recipe, timestamp };
    for (const key of [fingerprint, uuid, instance]) {
      if (key === '') continue;
      const known = this.#known.get(key);
      if (known === undefined || known.timestamp < timestamp) this.#known.set(key, sound);
    }
  }

  /**
   * The one that has the same fingerprint, else the same UUID, else the newest of the same instance.
   *
   * @param {Header} header
   */
  nearest({ fingerprint, uuid, instance }) {
    for (const key of [fingerprint, uuid, instance]) {
      const found = key === '' ? undefined : this.#known.get(key);
      if (found) return { ...found, isSameHash: key === fingerprint };
    }
    return null;
  }
}

/** @typedef {ReturnType<typeof headerOf>} Header */

/**
 * What capsules are recognised by; `''` for what is not stated. The keys of one kind can't be those of another.
 *
 * @param {any} capsule
 */
function headerOf(capsule) {
  const metadata = capsule?.metadata ?? {};
  const textOf = (/** @type {string} */ name) => (typeof metadata[name] === 'string' ? metadata[name] : '');
  const key = (/** @type {string} */ name) => (textOf(name) === '' ? '' : `${name}:${textOf(name)}`);
  return {
    fingerprint: key('fingerprint_hash'),
    uuid: key('uuid'),
    instance: key('instance_name'),
    timestamp: textOf('timestamp'),
    generator: textOf('generator'),
  };
}

/**
 * Finds what an unsound file was hashed by, and what differs.
 *
 * @param {Verdict} verdict
 * @param {Header} header
 * @param {SoundCapsules} sound
 * @param {CapsuleLoader} loader
 */
async function explain(verdict, header, sound, loader) {
  const { integrity, format } = verdict;
  const { capsuleData: capsule } = await loader.loadCapsule(verdict.path);
  if (capsule === null || typeof capsule !== 'object') return;
  if (integrity.valid !== false) {
    verdict.nearest = integrity.recipe;
    verdict.differs = ['metadata.tether_signature'];
  } else if (format === 'memory' && 'raw_sha256' in capsule) {
    verdict.nearest = 'raw_sha256';
    verdict.differs = ['raw'];
  } else {
    const near = sound.nearest(header);
    verdict.nearest = near?.isSameHash ? near.recipe : recipeOf(header.generator);
    if (near === null) return;
    const { capsuleData: other } = await loader.loadCapsule(near.path);
    if (other === null || typeof other !== 'object') return;
    verdict.comparedWith = near.path;
    verdict.differs = differences(other, capsule);
  }
}

/**
 * The recipe by which a program hashes.
 *
 * @param {string} generator
 */
function recipeOf(generator) {
  if (generator === 'simForge') return 'F4';
  return /CapsuleForge|NULLSHELL/.test(generator) ? 'F1' : null;
}

/**
 * The members, of the root and one level below, that are not the same. None: only how the text is written differs, as when a
 * program has parsed it and written 1.0 as 1.
 *
 * @param {any} before
 * @param {any} after
 */
function differences(before, after) {
  const found = [];
  for (const name of keysOf(before, after)) {
    const [old, now] = [before[name], after[name]];
    if (isDeepStrictEqual(old, now)) continue;
    if (!isObject(old) || !isObject(now)) found.push(name);
    else {
      const below = keysOf(old, now).filter((key) => !isDeepStrictEqual(old[key], now[key]));
      found.push(...below.map((key) => `${name}.${key}`));
    }
  }
  // Whatever else differs, the hash does with it.
  if (found.length > 1 && found.includes(HASH)) found.splice(found.indexOf(HASH), 1);
  const rest = found.length - MOST_DIFFERENCES;
  return rest > 0 ? [...found.slice(0, MOST_DIFFERENCES), `and ${rest} more`] : found;
}

/**
 * @param {object} one
 * @param {object} other
 */
function keysOf(one, other) {
  return [...new Set([...Object.keys(one), ...Object.keys(other)])];
}

/** @param {unknown} value */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * @param {Output} output
 * @param {string} root
 * @param {Verdict[]} verdicts
 */
function printSound(output, root, verdicts) {
  output.table(
    [{ title: 'VERDICT' }, { title: 'RECIPE' }, { title: 'FILE', isWhole: true }],
    verdicts.map(({ path: file, integrity: { valid, recipe } }) => {
      const verdict = valid === null ? yellow('no hash') : green('sound');
      return [verdict, recipe ?? '', path.relative(root, file)];
    }),
  );
}

/**
 * @param {Output} output
 * @param {string} root
 * @param {Verdict} verdict
 */
function printUnsound(output, root, { path: file, reason, nearest, differs, comparedWith }) {
  output.line`${red('unsound')}  ${path.relative(root, file)}`;
  output.line`         ${cell(reason)}`;
  if (nearest !== null) output.line`         ${dim('nearest recipe:')} ${nearest}`;
  if (differs === null) return;
  const from = comparedWith === null ? 'differs:' : `differs from ${path.relative(root, comparedWith)}:`;
  output.line`         ${dim(from)} ${differs.length > 0 ? differs.join(', ') : 'only how it is written, such as 1 for 1.0'}`;
}

/**
 * @param {Output} output
 * @param {{ sound: number, unstated: number, weak: number }} counts
 * @param {number} unsound
 */
function printSummary(output, { sound, unstated, weak }, unsound) {
  const parts = [
    green(`${sound} sound`),
    ...(weak > 0 ? [yellow(`${weak} by F3 alone, which covers hardly anything`)] : []),
    ...(unstated > 0 ? [yellow(`${unstated} without a hash`)] : []),
    unsound > 0 ? red(`${unsound} unsound`) : `${unsound} unsound`,
  ];
  const total = sound + weak + unstated + unsound;
  // Each part has a colour of its own.
  const strings = Object.assign(
    [`${total} ${total === 1 ? 'file' : 'files'}: `, ...parts.slice(1).map(() => ', '), ''],
    { raw: [] },
  );
  output.line(strings, ...parts);
}

module.exports = addVerify;
