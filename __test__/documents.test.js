'use strict';

// The documents hold: each JavaScript example runs, each error's code is explained, and no link leads nowhere.

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const { REPOSITORY, temporaryVault } = require('./support/temporary-vault');

const documents = [
  ...fs.readdirSync(REPOSITORY).filter((name) => name.endsWith('.md')),
  ...fs
    .readdirSync(path.join(REPOSITORY, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => path.posix.join('docs', name)),
];

/** @param {string} name */
const read = (name) => fs.readFileSync(path.join(REPOSITORY, name), 'utf8');

/**
 * The JavaScript examples of a document. One after `<!-- not run: reason -->` is left out.
 *
 * @param {string} name
 * @returns {{ line: number, code: string, reason: string | undefined }[]}
 */
function examplesOf(name) {
  const document = read(name);
  const blocks = document.matchAll(/(?:<!-- not run: (.+?) -->\s*)?^```js\n(.*?)^```$/gms);
  return [...blocks].map(({ index, 1: reason, 2: code }) => {
    return { line: document.slice(0, document.indexOf('```js', index)).split('\n').length, code, reason };
  });
}

/** What examples take for granted: what earlier ones on the page have asked for, and Chatty's own. */
const SURROUNDINGS = `
  Object.assign(globalThis, require('vvault-native'), {
    root: process.argv[2],
    userId: 'mira_lindqvist_1741035327000',
    lastCursor: undefined,
    runtime: { addMemory() {} },
    somebodyHasLookedAt: async () => true,
    vvaultConnector: {},
    SynthMemoryOrchestrator: class {
      prepareMemoryContext = async () => ({ ltmEntries: [] });
    },
  });
`;

/**
 * @param {string} code
 * @returns {[string, string]} The name of the program's file, and its text.
 */
function programOf(code) {
  if (/^import /m.test(code)) return ['example.mjs', `${code}\nprocess.exit();`];
  const vault = /\bvault = /.test(code) ? 'null' : 'await Vault.open(root, { watch: true, cacheDir: null })';
  const end = '.then(() => process.exit(), (error) => { console.error(error); process.exit(1); })';
  return ['example.js', `(async () => { globalThis.vault = ${vault}; await (async () => {\n${code}\n})(); })()${end}`];
}

test('every JavaScript example runs', { concurrency: 2 }, async (t) => {
  const examples = documents.flatMap((name) => examplesOf(name).map((example) => ({ name, ...example })));
  assert.ok(examples.length >= 8, 'the examples were found');
  await Promise.all(
    examples.map(({ name, line, code, reason }) =>
      t.test(`${name}:${line}`, { skip: reason }, async (each) => {
        const folder = temporaryVault(each).root;
        const vault = path.join(folder, 'vault');
        fs.cpSync(path.join(REPOSITORY, 'example/vault'), vault, { recursive: true });
        fs.mkdirSync(path.join(vault, 'capsules'), { recursive: true });
        for (const capsule of ['nova.capsule', 'nova-001.capsule', 'vault/capsules/nova-001.capsule']) {
          fs.copyFileSync(path.join(REPOSITORY, 'example/nova-001.capsule'), path.join(folder, capsule));
        }
        fs.mkdirSync(path.join(folder, 'node_modules'));
        fs.symlinkSync(REPOSITORY, path.join(folder, 'node_modules/vvault-native'), 'junction');
        const [file, text] = programOf(code.replaceAll('/path/to/vault', vault.replaceAll('\\', '/')));
        const program = path.join(folder, file);
        fs.writeFileSync(program, text);
        const surroundings = path.join(folder, 'surroundings.js');
        fs.writeFileSync(surroundings, SURROUNDINGS);
        const env = { ...process.env, XDG_CACHE_HOME: path.join(folder, 'cache') };
        const child = spawn(process.execPath, ['--require', surroundings, program, vault], {
          cwd: folder,
          env,
          timeout: 30_000,
        });
        let stderr = '';
        child.stderr.on('data', (piece) => {
          stderr += piece;
        });
        child.stdout.resume();
        const [status] = await once(child, 'close');
        assert.strictEqual(status, 0, stderr);
        assert.strictEqual(stderr, '');
      }),
    ),
  );
});

test('docs/errors.md explains every code that is in the sources, and no other', () => {
  /** @type {Set<string>} */
  const codes = new Set();
  for (const folder of ['src', 'lib', 'bin'].map((name) => path.join(REPOSITORY, name))) {
    if (!fs.existsSync(folder)) continue;
    for (const file of fs.readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (!/\.(rs|js)$/.test(file)) continue;
      const source = fs.readFileSync(path.join(folder, file), 'utf8');
      for (const [, code] of source.matchAll(/["'](VVAULT_[A-Z_]+)["']/g)) codes.add(code);
    }
  }
  const explained = [...read('docs/errors.md').matchAll(/^\| `(VVAULT_[A-Z_]+)` \| [^|]+ \| [^|]+ \|$/gm)];
  assert.deepStrictEqual(explained.map(([, code]) => code).sort(), [...codes].sort());
});

test('other documents and the types name no code that does not exist', () => {
  const explained = read('docs/errors.md');
  for (const name of [...documents, 'index.d.ts']) {
    if (name === 'CHANGELOG.md') continue;
    for (const [, code] of read(name).matchAll(/[`'](VVAULT_[A-Z_]+)[`']/g)) {
      assert.ok(explained.includes(`\`${code}\``) || ENVIRONMENT.includes(code), `${name}: ${code}`);
    }
  }
});

/** Names of the environment that look like codes. */
const ENVIRONMENT = [
  'VVAULT_ROOT_PATH',
  'VVAULT_PATH',
  'VVAULT_CACHE_DIR',
  'VVAULT_CRASH_ROUNDS',
  'VVAULT_WATCH_ROUNDS',
];

/** @param {string} name */
function headingsOf(name) {
  return [...read(name).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

test('every link between the documents leads somewhere', () => {
  for (const name of documents) {
    for (const [, target] of read(name).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [file, anchor] = target.split('#');
      const linked = file === '' ? name : path.posix.join(path.posix.dirname(name), file);
      assert.ok(fs.existsSync(path.join(REPOSITORY, linked)), `${name}: ${target}`);
      if (anchor !== undefined) assert.ok(headingsOf(linked).includes(anchor), `${name}: ${target}`);
    }
  }
});
