'use strict';

const path = require('node:path');
const { isDeepStrictEqual } = require('node:util');
const { CapsuleLoader } = require('../..');
const { examples } = require('./arguments');
const { cell, dim, green, red, yellow } = require('./output');
const { withProgress, withToldProgress } = require('./progress');

/** @typedef {import('../../index').Vault} Vault */
/** @typedef {InstanceType<typeof import('./output').Output>} Output */
/** @typedef {import('../../index').VerifiedCapsule} VerifiedCapsule */
/**
 * What is printed of a file: the vault's verdict, and what explains it.
 *
 * @typedef {object} Explanation
 * @property {string | null} nearest The recipe that it was most likely hashed by, if none matches.
 * @property {string[] | null} differs What is not as it was hashed, as far as that can be told.
 * @property {string | null} comparedWith The sound capsule that `differs` was found by.
 *
 * @typedef {VerifiedCapsule & Explanation} Verdict
 */
/** @typedef {{ path: string, recipe: string | null, timestamp: string }} Sound */

/** How many files are read at once. */
const PARALLEL = 16;
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
        const verdicts = await verdictsOf(vault, output, names);
        const sound = verdicts.filter(({ reason }) => reason === null);
        const unsound = verdicts.filter(({ reason }) => reason !== null);
        if (output.isJson) {
          for (const verdict of sound) if (!(await output.json(verdict))) return;
        } else if (options.all && sound.length > 0) {
          printSound(output, vault.root, sound);
        }
        const loader = new CapsuleLoader();
        const isCompared = unsound.some(({ format, integrity }) => format === 'construct' && integrity.valid === false);
        const known = isCompared ? await knownOf(sound, loader, output) : new SoundCapsules();
        for (const verdict of unsound) {
          if (output.signal.aborted) return;
          await explain(verdict, known, loader);
          output.failed = true;
          if (output.isJson) output.json(verdict);
          else printUnsound(output, vault.root, verdict);
        }
        if (!output.isJson) printSummary(output, sound, unsound.length);
      }),
    );
}

/**
 * The vault's verdicts on the files of some instances, or on all. What it could not judge is told.
 *
 * @param {Vault} vault
 * @param {Output} output
 * @param {string[]} names
 */
async function verdictsOf(vault, output, names) {
  /** @type {Verdict[]} */
  const verdicts = [];
  const { signal } = output;
  const judging = withToldProgress(output, 'files', (onProgress) => vault.verifyCapsules({ onProgress, signal }));
  const all = await judging.catch((error) => {
    if (signal.aborted) return [];
    throw error;
  });
  for (const judged of all) {
    const { path: file, integrity, reason } = judged;
    // It is gone since it was found.
    if (reason?.startsWith('ENOENT')) continue;
    // A folder that can't be looked into: nothing speaks against a capsule.
    if (reason !== null && integrity.valid !== false && integrity.tether !== false) {
      output.problem`${reason}`;
    } else if (names.length === 0 || names.some((name) => isOf(vault.root, file, name))) {
      verdicts.push({ ...judged, nearest: null, differs: null, comparedWith: null });
    }
  }
  for (const name of names) {
    const isThere = verdicts.some(({ path: file }) => isOf(vault.root, file, name));
    if (!isThere) output.problem`${vault.root} has no capsules of ${name}`;
  }
  return verdicts;
}

/**
 * Loads what there is to compare with.
 *
 * @param {Verdict[]} sound
 * @param {CapsuleLoader} loader
 * @param {Output} output
 */
async function knownOf(sound, loader, output) {
  const known = new SoundCapsules();
  const hashed = sound.filter(({ format, integrity }) => format === 'construct' && integrity.valid);
  await withProgress(output, hashed.length, 'files', async (step) => {
    const load = async (/** @type {Verdict} */ verdict) => {
      const { capsuleData } = await loader.loadCapsule(verdict.path);
      return { verdict, capsule: capsuleData };
    };
    for await (const { verdict, capsule } of inOrder(hashed, load)) {
      if (output.signal.aborted) return;
      known.add(verdict, capsule);
      step();
    }
  });
  return known;
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
 * @param {SoundCapsules} known
 * @param {CapsuleLoader} loader
 */
async function explain(verdict, known, loader) {
  const { integrity, format } = verdict;
  const { capsuleData: capsule, fingerprintValid } = await loader.loadCapsule(verdict.path);
  if (!isObject(capsule)) return;
  if (integrity.valid !== false) {
    verdict.nearest = integrity.recipe;
    verdict.differs = ['metadata.tether_signature'];
  } else if (format === 'memory') {
    verdict.nearest = 'raw_sha256';
    verdict.differs = ['raw'];
  } else if (fingerprintValid === false) {
    // Else it is not its hash that is wrong, but for example its size.
    const header = headerOf(capsule);
    const near = known.nearest(header);
    verdict.nearest = near?.isSameHash ? near.recipe : recipeOf(header.generator);
    if (near === null) return;
    const { capsuleData: other } = await loader.loadCapsule(near.path);
    if (!isObject(other)) return;
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
 * @param {Verdict[]} verdicts The sound ones.
 * @param {number} unsound
 */
function printSummary(output, verdicts, unsound) {
  const unstated = verdicts.filter(({ integrity }) => integrity.valid === null).length;
  const weak = verdicts.filter(({ integrity }) => integrity.recipe === 'F3').length;
  const sound = verdicts.length - unstated - weak;
  const parts = [
    green(`${sound} sound`),
    ...(weak > 0 ? [yellow(`${weak} by F3 alone, which covers hardly anything`)] : []),
    ...(unstated > 0 ? [yellow(`${unstated} without a hash`)] : []),
    unsound > 0 ? red(`${unsound} unsound`) : `${unsound} unsound`,
  ];
  const total = verdicts.length + unsound;
  // Each part has a colour of its own.
  const strings = Object.assign(
    [`${total} ${total === 1 ? 'file' : 'files'}: `, ...parts.slice(1).map(() => ', '), ''],
    { raw: [] },
  );
  output.line(strings, ...parts);
}

module.exports = addVerify;
