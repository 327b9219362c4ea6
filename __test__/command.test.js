'use strict';

// The command `vvault`, run as a person or a script runs it.

const assert = require('node:assert');
const { spawn, spawnSync } = require('node:child_process');
const crypto = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { createInterface } = require('node:readline');
const { test } = require('node:test');
const stringWidth = require('string-width');

const { Vault } = require('..');
const { atEnd, endOf } = require('./support/at-end');
const { makeCapsule, metadataOf, sealCapsule, timestampOf } = require('./support/construct-capsules');
const { REPOSITORY, temporaryVault, vaultAt } = require('./support/temporary-vault');

/** @typedef {import('node:test').TestContext} TestContext */
/**
 * @typedef {object} Settings
 * @property {Record<string, string | undefined>} [env]
 * @property {string | Buffer} [input]
 * @property {string} [cwd]
 * @property {number} [uid] Who runs it.
 */
/** @typedef {{ code: number | null, stdout: string, stderr: string }} Ended */

const COMMAND = path.join(REPOSITORY, 'bin/vvault.js');
const NOVA = path.join(REPOSITORY, 'example/nova-001.capsule');
const NOVA_UUID = '5d0c7f1e-6d0e-4a52-9a55-2f3b8f6f2c11';
const RECORDED = path.join(__dirname, 'recorded/capsules');
const SUBCOMMANDS = 'memories list show verify import adopt tag untag watch runtime-config serve'.split(' ');
/** What `verify --json` tells of a file, in this order. */
const VERDICT = ['path', 'format', 'integrity', 'reason', 'nearest', 'differs', 'comparedWith'];
/** What moves a cursor, colours, or turns text around; not the joiners in emoji, nor ends of lines. */
const HARMFUL = /(?![\n\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
/** Nothing of the machine's own settings. */
const NEUTRAL = { VVAULT_ROOT_PATH: undefined, VVAULT_PATH: undefined, NO_COLOR: undefined, FORCE_COLOR: undefined };

/**
 * @param {string[]} args
 * @param {Settings} [settings]
 */
function start(args, { env, cwd, uid } = {}) {
  return spawn(process.execPath, [COMMAND, ...args], {
    cwd,
    uid,
    env: { ...process.env, ...NEUTRAL, ...env },
    timeout: 30_000,
    killSignal: 'SIGKILL',
  });
}

/**
 * @param {string[]} args
 * @param {Settings} [settings]
 * @returns {Promise<Ended>}
 */
async function vvault(args, settings = {}) {
  const child = start(args, settings);
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => stream.setEncoding('utf8').toArray());
  child.stdin.on('error', () => {}).end(settings.input ?? '');
  const [code] = await once(child, 'close');
  return { code, stdout: (await stdout).join(''), stderr: (await stderr).join('') };
}

/**
 * The same, of which nothing may go wrong.
 *
 * @param {string[]} args
 * @param {Settings} [settings]
 */
async function output(args, settings) {
  const { code, stdout, stderr } = await vvault(args, settings);
  assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: '' }, `vvault ${args.join(' ')}`);
  return stdout;
}

/** @param {string} text @returns {any[]} An object a line. */
function objects(text) {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

const script = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout ?? '';
const needsTerminal = script.includes('util-linux') ? {} : { skip: "util-linux's script is not there" };

/**
 * What a terminal of some width is sent.
 *
 * @param {number} columns
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 */
async function onTerminal(columns, args, env) {
  const quoted = [process.execPath, COMMAND, ...args].map((text) => `'${text.replaceAll("'", "'\\''")}'`).join(' ');
  const child = spawn('script', ['-qec', `stty cols ${columns}; ${quoted}`, '/dev/null'], {
    env: { ...process.env, ...NEUTRAL, TERM: 'xterm-256color', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 30_000,
    killSignal: 'SIGKILL',
  });
  const text = child.stdout.setEncoding('utf8').toArray();
  const [code] = await once(child, 'close');
  return { code, text: (await text).join('').replaceAll('\r\n', '\n') };
}

/**
 * A vault with Nova in its store.
 *
 * @param {TestContext} t
 */
async function vaultWithNova(t) {
  const vault = temporaryVault(t);
  await output(['import', NOVA, '--vault', vault.root]);
  return { ...vault, nova: (/** @type {string[]} */ ...args) => ['--vault', vault.root, ...args] };
}

/** @param {string} raw */
function memory(raw) {
  return { raw, raw_sha256: crypto.createHash('sha256').update(raw).digest('hex'), created_ts: '2026-01-01T00:00:00Z' };
}

test('help: every command with examples, and the exit codes', async () => {
  const [main, ...helps] = await Promise.all([
    output(['--help']),
    ...SUBCOMMANDS.map((name) => output([name, '--help'])),
  ]);
  assert.match(main, /Exit codes:\n {2}0 .*\n {2}1 .*\n {2}2 .*\n/);
  for (const [place, name] of SUBCOMMANDS.entries()) {
    assert.match(main, new RegExp(`\\n  ${name} `));
    assert.match(
      helps[place],
      new RegExp(`Usage: vvault ${name} .*\\n(.*\\n)*With --json: .*\\n(.*\\n)*Examples:\\n  \\$ vvault ${name}`),
    );
  }
  assert.strictEqual(await output(['--version']), `${require('../package.json').version}\n`);
});

test('wrong usage: exit code 2, and nothing on the standard output', async (t) => {
  const { root } = temporaryVault(t);
  const wrong = [
    [],
    ['nonsense'],
    ['memories'],
    ['memories', 'a', 'b'],
    ['memories', 'a', '--limit', '-1'],
    ['memories', 'a', '--limit', '1.5'],
    ['memories', 'a', '--since', 'yesterday'],
    ['memories', '../../x'],
    ['runtime-config', 'nova-001', '../x'],
    ['memories', 'a', '--nonsense'],
    ['list', 'a/b'],
    ['list', '--integrity', 'lax'],
    ['list', '--tag', 'kept'],
    ['list', 'Nova', '--tag', ''],
    ['show', 'Nova', '--tag', ''],
    ['show', 'Nova', '--uuid', ''],
    ['show', 'Nova', '--version', ''],
    ['list', '--files', '--tag', 'kept'],
    ['list', 'Nova', '--files'],
    ['import'],
    ['tag', 'Nova', 'uuid'],
    ['runtime-config', 'nova-001'],
    ['runtime-config', 'nova-001', 'a', '--instructions', 'x', '--instructions-file', 'y'],
    ['runtime-config', '..', 'a', '--write'],
    ['watch', '--since', 'no cursor'],
    ['serve', '--port', '65536'],
  ];
  const ends = await Promise.all(wrong.map((args) => vvault(args, { env: { VVAULT_PATH: root } })));
  for (const [place, { code, stdout, stderr }] of ends.entries()) {
    const message = `vvault ${wrong[place].join(' ')}`;
    assert.deepStrictEqual([code, stdout], [2, ''], message);
    assert.notStrictEqual(stderr, '', message);
  }
  const { code, stderr } = await vvault(['list']);
  assert.deepStrictEqual([code, /--vault DIR.*VVAULT_ROOT_PATH.*VVAULT_PATH/.test(stderr)], [2, true]);
});

test('which vault: --vault before or after the command, else the environment', async (t) => {
  const [asked, first, second] = await Promise.all([vaultWithNova(t), temporaryVault(t), temporaryVault(t)]);
  const nova = await output(asked.nova('list', '--json'));
  const env = { VVAULT_ROOT_PATH: first.root, VVAULT_PATH: second.root };
  assert.strictEqual(await output(['list', '--json', '--vault', asked.root], { env }), nova);
  assert.strictEqual(await output(['--json', '--vault', asked.root, 'list'], { env }), nova);
  assert.strictEqual(await output(['list', '--json'], { env }), '');
  assert.strictEqual(
    await output(['list', '--json'], { env: { VVAULT_ROOT_PATH: '', VVAULT_PATH: asked.root } }),
    nova,
  );
  const missing = await vvault(['list', '--vault', first.path('nowhere')]);
  assert.deepStrictEqual([missing.code, missing.stdout], [1, '']);
  assert.match(missing.stderr, /there is no vault at .*nowhere/);
});

test('memories: what the vault gives, with each of its options', async (t) => {
  const root = path.join(REPOSITORY, 'example/vault');
  const user = 'mira_lindqvist_1741035327000';
  const vault = await Vault.open(root);
  atEnd(t, () => vault.close());
  const since = '2025-06-01';
  /** @type {[string[], import('..').VaultReadOptions][]} */
  const questions = [
    [[], {}],
    [['--limit', '2'], { limit: 2 }],
    [['-n', '0', '--role', 'user'], { limit: 0, role: 'user' }],
    [
      ['--since', since, '--until', '2025-08-09T17:26:00Z'],
      { since: new Date(since), until: new Date('2025-08-09T17:26:00Z') },
    ],
    [['--tag', 'preference'], { tags: ['preference'] }],
    [['--session', 'none'], { sessionId: 'none' }],
    [['--construct', 'nova-001'], { constructId: 'nova-001' }],
  ];
  for (const [args, options] of questions) {
    const expected = await vault.readMemories(user, options);
    const told = await output(['memories', user, '--vault', root, '--json', ...args]);
    assert.deepStrictEqual(objects(told), JSON.parse(JSON.stringify(expected)), args.join(' '));
  }
  const [newest] = await vault.readMemories(user, { limit: 1 });
  const table = await output(['memories', user, '--vault', root]);
  const [title, row] = table.split('\n');
  assert.match(title, /^TIME \(UTC\) +ROLE +FROM +CONTENT$/);
  assert.strictEqual(row, `2025-09-14 06:00  system     capsule  ${newest.content}`);
  const whole = await output(['memories', user, '--vault', root, '--full', '-n', '1']);
  assert.strictEqual(whole, `2025-09-14 06:00  system  capsule ${newest.id}\n  ${newest.content}\n\n`);
});

test('memories: unknown users and broken files are told, and the rest comes', async (t) => {
  const { root, write } = temporaryVault(t);
  write('ann', 'good.json', memory('good'));
  write('ann', 'half.json', '{"raw":');
  write('ann', 'changed.json', { ...memory('before'), raw: 'after' });
  const args = ['--vault', root, '--json'];
  const { code, stdout, stderr } = await vvault(['memories', 'ann', ...args]);
  assert.deepStrictEqual([code, objects(stdout).map(({ content }) => content)], [1, ['good']]);
  assert.match(stderr, /half\.json/);
  assert.match(stderr, /changed\.json: raw_sha256 is not the hash of raw/);
  const none = await vvault(['memories', 'ann', ...args, '--role', 'nobody', '--integrity', 'report']);
  assert.match(none.stderr, /no memories of ann are like that/);
  const unknown = await vvault(['memories', 'bob', ...args]);
  assert.deepStrictEqual([unknown.code, unknown.stdout], [1, '']);
});

test('what nests deeper than JSON.stringify can follow is shown like others', async (t) => {
  const files = temporaryVault(t);
  const deep = `${'['.repeat(10_000)}${']'.repeat(10_000)}`;
  files.write('ann', 'a.json', `{"raw":${deep},"created_ts":"2026-01-02T00:00:00Z"}`);
  files.write('ann', 'b.json', '{"raw":"other","created_ts":"2026-01-01T00:00:00Z"}');
  const json = await output(['memories', 'ann', '--json', '--vault', files.root]);
  assert.strictEqual(json.includes(`"content":${deep}`), true);
  assert.strictEqual(objects(json)[1].content, 'other');
  const shown = await output(['memories', 'ann', '--vault', files.root]);
  assert.strictEqual(shown.includes(deep) && shown.includes('other'), true);
});

test('list, show, tag and untag', async (t) => {
  const { nova } = await vaultWithNova(t);
  assert.match(await output(nova('list')), /^NAME +VERSIONS .*\nNova +1 /);
  const [version] = objects(await output(nova('list', 'Nova', '--json')));
  assert.strictEqual(version.uuid, NOVA_UUID);
  assert.match(await output(nova('list', '--files')), /Nova .* capsules\/Nova\/Nova_2025-.*\.capsule\n$/);

  assert.match(await output(nova('tag', 'Nova', NOVA_UUID, 'kept')), /has the tag kept/);
  assert.deepStrictEqual(objects(await output(nova('list', 'Nova', '--tag', 'kept', '--json')))[0].tags, ['kept']);
  const shown = await output(nova('show', 'Nova', '--tag', 'kept'));
  assert.match(shown, /^Nova {2}5d0c7f1e.*\nsound, by recipe F1\nstored .*\ntags: kept\n\nTraits\n/);
  assert.match(shown, /\nempathy +0\.9\n/);
  assert.match(shown, /\nMemories \(5\)\n.*\nshort-term +system +Mira asked for a reminder/);
  assert.deepStrictEqual(objects(await output(nova('untag', 'Nova', NOVA_UUID, 'kept', '--json'))), [
    { name: 'Nova', uuid: NOVA_UUID, tag: 'kept', done: true },
  ]);

  for (const args of [
    ['show', 'Nova'],
    ['show', 'Nova', '--uuid', NOVA_UUID],
    ['show', 'Nova', '--version', 'latest'],
  ]) {
    const [told] = objects(await output(nova(...args, '--json')));
    assert.deepStrictEqual([told.integrity.recipe, told.metadata.uuid, told.memories.length], ['F1', NOVA_UUID, 5]);
    assert.ok(!('environment' in told), 'which may hold secrets');
  }
  const [construct] = objects(await output(nova('show', 'nova-001', '--json', '--environment')));
  assert.deepStrictEqual([construct.metadata, construct.uuid, construct.environment], [null, NOVA_UUID, {}]);

  const missing = [
    ['list', 'Nobody'],
    ['show', 'Nobody'],
    ['show', 'Nova', '--tag', 'kept'],
    ['show', 'nova-001', '--raw'],
    ['tag', 'Nova', 'unknown', 'kept'],
    ['untag', 'Nova', 'unknown', 'kept'],
  ];
  for (const args of missing) {
    const { code, stdout, stderr } = await vvault(nova(...args));
    assert.deepStrictEqual([code, stdout], [1, ''], args.join(' '));
    assert.match(stderr, /^vvault: .+\n$/);
  }
});

test('an instance without versions: list says that it has none, and show looks elsewhere', async (t) => {
  const { nova, root, path: at } = await vaultWithNova(t);
  const vault = await Vault.open(root);
  atEnd(t, () => vault.close());
  assert.ok(await vault.deleteCapsule('Nova', NOVA_UUID));
  for (const json of [[], ['--json']]) {
    const listed = await vvault(nova('list', 'Nova', ...json));
    assert.deepStrictEqual(listed, { code: 0, stdout: '', stderr: 'Nova has no versions\n' });
  }
  const nowhere = await vvault(nova('show', 'Nova'));
  assert.deepStrictEqual([nowhere.code, nowhere.stdout], [1, '']);
  fs.mkdirSync(at('users/ann/instances/nova-001'), { recursive: true });
  fs.copyFileSync(NOVA, at('users/ann/instances/nova-001/nova-001.capsule'));
  for (const name of ['Nova', 'nova-001']) {
    const [{ metadata, uuid, memories }] = objects(await output(nova('show', name, '--json')));
    assert.deepStrictEqual([metadata, uuid, memories.length], [null, NOVA_UUID, 5], name);
  }
  const raw = await vvault(nova('show', 'Nova', '--raw'));
  assert.deepStrictEqual([raw.code, raw.stdout], [1, '']);
  assert.match(raw.stderr, /--raw is for instances in the vault's store/);
});

test("a capsule's time without a zone is UTC, wherever the machine is", async (t) => {
  const { nova, path: at } = await vaultWithNova(t);
  const capsule = makeCapsule({ instanceName: 'Zoneless', uuid: 'z', timestamp: '2026-01-31T23:30:00.123456' });
  fs.mkdirSync(at('instances/zoneless-001'), { recursive: true });
  fs.writeFileSync(at('instances/zoneless-001/zoneless-001.capsule'), capsule);
  await output(nova('import', at('instances/zoneless-001/zoneless-001.capsule')));
  for (const TZ of ['UTC', 'America/Los_Angeles', 'Asia/Tokyo']) {
    for (const args of [
      ['list', 'Zoneless'],
      ['list', '--files'],
      ['show', 'Zoneless'],
      ['show', 'zoneless-001'],
    ]) {
      assert.match(await output(nova(...args), { env: { TZ } }), / 2026-01-31 23:30( |\n)/, `${TZ} ${args.join(' ')}`);
    }
  }
});

test('show: an unsound version is shown, and told as unsound', async (t) => {
  const { nova, path: at } = await vaultWithNova(t);
  const [{ filename }] = objects(await output(nova('list', 'Nova', '--json')));
  const file = at('capsules/Nova', filename);
  const changed = fs.readFileSync(file, 'utf8').replace('fig tree', 'oak tree');
  fs.writeFileSync(file, changed);
  const shown = await vvault(nova('show', 'Nova'));
  assert.strictEqual(shown.code, 1);
  assert.match(shown.stdout, /\nnot sound: .*F1(.*\n)*.*oak tree/);
  const raw = await vvault(nova('show', 'Nova', '--raw'));
  assert.deepStrictEqual([raw.code, raw.stdout], [1, changed]);

  fs.mkdirSync(at('instances/luna-001/identity'), { recursive: true });
  fs.writeFileSync(at('instances/luna-001/identity/luna-001.capsule'), changed.replaceAll('Nova', 'Luna'));
  const elsewhere = await vvault(nova('show', 'luna-001', '--integrity', 'report'));
  assert.strictEqual(elsewhere.code, 1);
  assert.match(elsewhere.stdout, /\nnot sound: (.*\n)*.*oak tree/);
});

test('import: byte for byte, from files and the standard input, past what is refused', async (t) => {
  const { nova, root, path: at } = await vaultWithNova(t);
  const text = fs.readFileSync(NOVA);
  assert.strictEqual(await output(nova('show', 'Nova', '--raw')), text.toString());

  const versions = [1, 2, 3].map((place) => {
    const file = at(`${place}.txt`);
    fs.writeFileSync(file, makeCapsule({ instanceName: 'Nova', uuid: `v${place}`, timestamp: timestampOf(9 - place) }));
    return file;
  });
  const unsound = at('unsound.txt');
  fs.writeFileSync(unsound, text.toString().replace('fig', 'oak'));
  const other = makeCapsule({ instanceName: 'Other', uuid: 'o', timestamp: timestampOf(0) });
  const files = [...versions.slice(0, 2), unsound, at('missing'), root, '-', versions[2]];
  const { code, stdout, stderr } = await vvault(nova('import', ...files, '--json'), { input: other });
  const told = objects(stdout);
  assert.strictEqual(code, 1);
  assert.deepStrictEqual(
    told.map(({ file, code: refusal = 'stored' }) => [file, refusal]),
    files.map((file, place) => [
      file,
      ['stored', 'stored', 'VVAULT_UNSOUND', 'ENOENT', 'EISDIR', 'stored', 'stored'][place],
    ]),
  );
  assert.strictEqual(stderr.match(/^vvault: /gm)?.length, 3);
  assert.strictEqual(fs.readFileSync(told[5].path, 'utf8'), other);
  const [{ metadata }] = objects(await output(nova('show', 'Nova', '--json')));
  assert.strictEqual(metadata.uuid, 'v3', 'the last one given is the latest');

  assert.match(await output(nova('import', '--refingerprint', unsound)), /^stored .*unsound\.txt as capsules\/Nova\//);
  const large = await vvault(nova('import', '--max-bytes', '100', NOVA));
  assert.deepStrictEqual([large.code, /more than 100 bytes/.test(large.stderr)], [1, true]);
  const created = at('created');
  assert.strictEqual((await vvault(['import', NOVA, '--vault', created])).code, 1);
  await output(['import', '--create', NOVA, '--vault', created]);
  assert.strictEqual(await output(['show', 'Nova', '--raw', '--vault', created]), text.toString());
});

test('import: an interruption ends it, and tells what is not stored', async (t) => {
  const { nova } = await vaultWithNova(t);
  // The standard input stays open.
  const child = start(nova('import', NOVA, '-', NOVA));
  const stderr = child.stderr.setEncoding('utf8').toArray();
  child.stdout.once('data', () => child.kill('SIGINT'));
  assert.deepStrictEqual(await once(child, 'close'), [1, null]);
  assert.match((await stderr).join(''), /interrupted: [12] files are not stored\n$/);
});

const noFifo = process.platform === 'win32' && 'there are no FIFOs';
test('import: from a FIFO, also one that nobody writes to, until it is interrupted', { skip: noFifo }, async (t) => {
  const { nova, path: at } = await vaultWithNova(t);
  const fifo = at('fifo');
  assert.strictEqual(spawnSync('mkfifo', [fifo]).status, 0);
  const capsule = makeCapsule({
    instanceName: 'Piped',
    uuid: 'p',
    timestamp: timestampOf(0),
    memories: ['x'.repeat(1e6)],
  });
  fs.writeFileSync(at('piped.txt'), capsule);
  const writing = (/** @type {string} */ commands) => {
    const shell = spawn('sh', ['-c', commands, fifo, at('piped.txt')], { timeout: 30_000, killSignal: 'SIGKILL' });
    return { shell, closed: endOf(t, shell) };
  };
  writing('cat "$1" > "$0"');
  assert.match(await output(nova('import', fifo)), /^stored .*fifo as capsules\/Piped\//);
  assert.strictEqual(await output(nova('show', 'Piped', '--raw')), capsule);

  // It is opened by the shell once somebody reads from it.
  const { shell } = writing('exec 3> "$0"; echo; cat');
  const child = start(nova('import', fifo, NOVA, '--json'));
  const closed = endOf(t, child);
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => stream.setEncoding('utf8').toArray());
  await once(shell.stdout, 'data');
  child.kill('SIGINT');
  assert.deepStrictEqual(await closed, [1, null]);
  assert.deepStrictEqual(
    objects((await stdout).join('')).map(({ file, path: stored }) => [file, stored]),
    [[fifo, null]],
  );
  assert.match((await stderr).join(''), /interrupted: 1 files are not stored\n$/);
});

test('list: one instance that this package refuses does not hide the others', async (t) => {
  const { nova, path: at } = await vaultWithNova(t);
  const odd = process.platform === 'win32' ? 'CON.x' : 'DOMAIN\\nova';
  fs.mkdirSync(at('capsules', odd));
  for (const json of [[], ['--json']]) {
    const { code, stdout, stderr } = await vvault(nova('list', ...json));
    assert.strictEqual(code, 1);
    assert.match(stdout, json.length > 0 ? /^\{"instance_name":"Nova"/ : /^NAME.*\nNova +1/);
    assert.match(stderr, /^vvault: .*can't be the name of an instance/);
  }
});

test('adopt: an unsound capsule becomes a version', async (t) => {
  const { nova, path: at } = await vaultWithNova(t);
  const unsound = at('unsound.capsule');
  fs.writeFileSync(unsound, fs.readFileSync(NOVA, 'utf8').replace('fig', 'oak'));
  const [{ path: stored }] = objects(await output(nova('adopt', unsound, '--json')));
  assert.match(fs.readFileSync(stored, 'utf8'), /oak tree/);
  assert.strictEqual(objects(await output(nova('list', 'Nova', '--tag', 'adopted', '--json'))).length, 1);
  assert.strictEqual((await vvault(nova('adopt', at('missing')))).code, 1);
  await output(nova('adopt', path.basename(unsound)));
  assert.strictEqual(objects(await output(nova('list', 'Nova', '--tag', 'adopted', '--json'))).length, 2);
});

test('verify: every file that the vault judges, with the same verdict, past broken ones', async (t) => {
  const { root, path: at, write } = temporaryVault(t);
  fs.cpSync(RECORDED, at('users/ann/instances/recorded/identity'), { recursive: true });
  fs.mkdirSync(at('capsules/nan'), { recursive: true });
  fs.writeFileSync(at('capsules/nan/nan.capsule'), '{"metadata":{"fingerprint_hash":"0"},"traits":{"a":NaN}}');
  fs.mkdirSync(at('users/ann/instances/nova-001/identity'), { recursive: true });
  fs.writeFileSync(at('users/ann/instances/nova-001/identity/capsule.json'), '{"metadata":{"fingerprint_hash":"0"}}');
  write('ann', 'good.json', memory('good'));
  write('ann', 'half.json', '{"raw":');
  write('ann', 'changed.json', { ...memory('before'), raw: 'after' });
  write('ann', 'not-in-a-folder-of-capsules.txt', 'text');
  // What Python and JavaScript would judge otherwise.
  write('ann', 'nan.json', JSON.stringify(memory('x')).replace('}', ',"embedding":[NaN]}'));
  write('ann', 'null.json', 'null');
  write('ann', 'list.json', '[]');
  write('ann', 'bound.json', { ...memory('bound'), metadata: { fingerprint_hash: '0' } });
  write(
    'ann',
    'deep.json',
    JSON.stringify(memory('x')).replace('}', `,"deep":${'['.repeat(2000)}${']'.repeat(2000)}}`),
  );
  for (const [name, text] of Object.entries({
    list: '[]',
    number: '5',
    null: 'null',
    unstated: '{"traits":{"a":NaN}}',
  })) {
    fs.writeFileSync(at('capsules/nan', `${name}.capsule`), text);
  }
  /** @param {any} judged */
  const parts = ({ path: file, format, integrity, reason }) => ({ file, format, integrity, reason });
  const byPath = (/** @type {any} */ left, /** @type {any} */ right) => (left.file < right.file ? -1 : 1);
  /** @type {any[]} */
  let told = [];
  for (const tether of [undefined, 'EXAMPLE-SIG']) {
    const vault = await Vault.open(root, { expectedTetherSignature: tether });
    atEnd(t, () => vault.close());
    const expected = (await vault.verifyCapsules()).map(parts);
    assert.ok(expected.length > 40);
    const options = tether === undefined ? [] : ['--tether', tether];
    const { code, stdout, stderr } = await vvault(['verify', '--json', '--vault', root, ...options]);
    if (tether === undefined) told = objects(stdout);
    assert.deepStrictEqual([code, stderr], [1, '']);
    assert.deepStrictEqual(objects(stdout).map(parts).sort(byPath), expected.sort(byPath));
    const isSound = objects(stdout).map(({ reason }) => reason === null);
    assert.deepStrictEqual(isSound, [...isSound].sort().reverse(), 'unsound ones come last');
    assert.deepStrictEqual(Object.keys(objects(stdout)[0]), VERDICT);
  }

  const people = await vvault(['verify', '--vault', root]);
  assert.strictEqual(people.code, 1);
  const unsound = told.filter(({ reason }) => reason !== null);
  for (const { path: file } of unsound) assert.ok(people.stdout.includes(`unsound  ${path.relative(root, file)}\n`));
  assert.match(people.stdout, new RegExp(`\\n${told.length} files: \\d+ sound, .*${unsound.length} unsound\\n$`));
});

test('verify: a folder that may not be looked into is told, and the rest comes', { skip: noFifo }, async (t) => {
  const { nova, root, path: at, write } = await vaultWithNova(t);
  write('ann', 'a.json', memory('a'));
  const closed = at('users/ann/capsules');
  // The tests may be run by root, whom no mode keeps out.
  const uid = process.getuid?.() === 0 ? 65534 : undefined;
  const probe = spawnSync(process.execPath, ['-e', `require(${JSON.stringify(REPOSITORY)})`], { uid });
  if (probe.status !== 0) return t.skip('nobody but root can load the package here');
  fs.chmodSync(root, 0o755);
  atEnd(t, () => fs.chmodSync(closed, 0o755));
  fs.chmodSync(closed, 0);
  for (const names of [[], ['Nova']]) {
    const told = await vvault(nova('verify', '--json', ...names), { uid, env: { VVAULT_CACHE_DIR: '' } });
    assert.deepStrictEqual(
      [told.code, objects(told.stdout).map(({ reason }) => reason), told.stderr],
      [1, [null], `vvault: EACCES: permission denied, scandir '${closed}'\n`],
    );
  }
});

test('verify: what is unsound for its size is not said to differ', async (t) => {
  const { nova, path: at } = await vaultWithNova(t);
  fs.mkdirSync(at('instances/large'), { recursive: true });
  const memories = ['x'.repeat(65 * 1024 * 1024)];
  const large = makeCapsule({ instanceName: 'Nova', uuid: 'large', timestamp: timestampOf(0), memories });
  fs.writeFileSync(at('instances/large/large.capsule'), large);
  const { code, stdout } = await vvault(nova('verify', 'large', '--json'));
  const [{ integrity, nearest, differs }] = objects(stdout);
  assert.deepStrictEqual([code, integrity.valid, nearest, differs], [1, false, null, null]);
});

test('verify: the nearest recipe, and what differs', async (t) => {
  const { nova, path: at, write } = await vaultWithNova(t);
  const text = fs.readFileSync(NOVA, 'utf8');
  const put = (/** @type {string} */ name, /** @type {string} */ capsule) => {
    fs.mkdirSync(at('users/ann/instances', name), { recursive: true });
    fs.writeFileSync(at('users/ann/instances', name, `${name}.capsule`), capsule);
  };
  put('changed', text.replace('fig tree', 'oak tree').replace('"curiosity": 0.8', '"curiosity": 0.1'));
  put('relayed', JSON.stringify({ ...JSON.parse(text), relayDepth: 1 }));
  put('rehashed', text.replace(/"fingerprint_hash": "./, '"fingerprint_hash": "0'));
  put('rewritten', sealCapsule({ metadata: metadataOf('One', 'one', timestampOf(0)), traits: { a: 1 } }));
  put(
    'rewritten-2',
    fs.readFileSync(at('users/ann/instances/rewritten/rewritten.capsule'), 'utf8').replace('"a": 1', '"a": 1.0'),
  );
  put('unknown', text.replaceAll(/Nova|5d0c7f1e|CapsuleForge|ce3d0a/g, 'zzzzzz'));
  write('ann', 'changed.json', { ...memory('before'), raw: 'after' });
  const { stdout } = await vvault(nova('verify', '--json'));
  const told = Object.fromEntries(objects(stdout).map((judged) => [path.parse(judged.path).name, judged]));
  const stored = objects(stdout).find(({ path: file }) => file.includes('capsules/Nova'))?.path;
  const explained = (/** @type {string} */ name) => [told[name].nearest, told[name].differs, told[name].comparedWith];
  assert.deepStrictEqual(explained('changed').slice(1), [['traits.curiosity', 'memory.short_term_memories'], stored]);
  assert.deepStrictEqual(explained('relayed'), ['F1', ['relayDepth'], stored]);
  assert.deepStrictEqual(explained('rehashed'), ['F1', ['metadata.fingerprint_hash'], stored]);
  assert.deepStrictEqual(explained('rewritten-2'), ['F1', [], at('users/ann/instances/rewritten/rewritten.capsule')]);
  assert.deepStrictEqual(explained('unknown'), [null, null, null]);
  assert.strictEqual(told.changed.comparedWith, stored);
  assert.deepStrictEqual(
    objects(stdout)
      .filter(({ format, reason }) => format === 'memory' && reason)
      .map(({ nearest, differs }) => [nearest, differs]),
    [['raw_sha256', ['raw']]],
  );
  const people = await vvault(nova('verify'));
  assert.match(
    people.stdout,
    /relayed\.capsule\n.*\n +nearest recipe: F1\n +differs from capsules\/Nova\/.*: relayDepth\n/,
  );
  const tethered = objects((await vvault(nova('verify', 'Nova', '--json', '--tether', 'ANOTHER-SIG'))).stdout);
  assert.deepStrictEqual(
    tethered.map(({ nearest, differs, integrity }) => [nearest, differs, integrity.tether]),
    [['F1', ['metadata.tether_signature'], false]],
  );
});

test('verify: by name, and exit code 0 where all is well', async (t) => {
  const { nova, path: at } = await vaultWithNova(t);
  fs.mkdirSync(at('users/ann/instances/nova-001'), { recursive: true });
  fs.writeFileSync(at('users/ann/instances/nova-001/nova-001.capsule'), '{"half":');
  assert.match(
    await output(nova('verify', 'Nova', '--all')),
    /^VERDICT .*\nsound +F1 +capsules\/Nova\/.*\n1 file: 1 sound, 0 unsound\n$/,
  );
  for (const [names, files] of /** @type {const} */ ([
    [['nova-001'], 1],
    [['Nova', 'nova-001'], 2],
    [['Nova', 'Nobody'], 1],
  ])) {
    const { code, stdout, stderr } = await vvault(nova('verify', '--json', ...names));
    assert.deepStrictEqual([code, objects(stdout).length], [1, files], names.join(' '));
    assert.strictEqual(
      /no capsules of Nobody/.test(stderr),
      /** @type {readonly string[]} */ (names).includes('Nobody'),
    );
  }
});

test('watch: events as they happen, a clean end, and what was missed meanwhile', async (t) => {
  const { root, path: at, write } = temporaryVault(t);
  const cache = temporaryVault(t).root;
  write('ann', 'there-before.json', memory('there before'));
  const watch = async (/** @type {string[]} */ ...args) => {
    const child = start(['watch', '--json', '--vault', root, ...args], { env: { XDG_CACHE_HOME: cache } });
    const closed = endOf(t, child);
    const [lines, notes] = [child.stdout, child.stderr].map((input) =>
      createInterface({ input })[Symbol.asyncIterator](),
    );
    assert.match((await notes.next()).value, /^watching .*; Ctrl-C ends it$/);
    const next = async () => JSON.parse((await lines.next()).value);
    const end = async (/** @type {NodeJS.Signals} */ signal) => {
      child.kill(signal);
      const { value: note } = await notes.next();
      assert.deepStrictEqual(await closed, [0, null]);
      return /--since (\S+)$/.exec(note)?.[1] ?? assert.fail(note);
    };
    return { next, end };
  };
  const first = await watch();
  write('ann', 'new.json', memory('new'));
  const imported = await first.next();
  assert.deepStrictEqual(
    [imported.kind, imported.path, imported.memories[0].content],
    ['imported', at('users/ann/capsules/new.json'), 'new'],
  );
  write('ann', 'unsound.json', { ...memory('x'), raw: 'y' });
  assert.deepStrictEqual(Object.entries(await first.next()).slice(0, 1), [['kind', 'rejected']]);
  const cursor = await first.end('SIGINT');

  write('ann', 'missed.json', memory('missed'));
  const second = await watch('--since', cursor, '--poll', '--interval', '20');
  assert.strictEqual((await second.next()).path, at('users/ann/capsules/missed.json'));
  fs.rmSync(at('users/ann/capsules/missed.json'));
  assert.strictEqual((await second.next()).kind, 'removed');
  await second.end('SIGTERM');
});

test('watch: it can be gone on with from the last event that could be written', async (t) => {
  const { root, write } = temporaryVault(t);
  const env = { XDG_CACHE_HOME: temporaryVault(t).root };
  const args = ['watch', '--json', '--vault', root];
  const child = start(args, { env });
  const closed = endOf(t, child);
  const [lines, notes] = [child.stdout, child.stderr].map((input) =>
    createInterface({ input })[Symbol.asyncIterator](),
  );
  await notes.next();
  write('ann', 'read.json', memory('read'));
  const { cursor } = JSON.parse((await lines.next()).value);
  child.stdout.destroy();
  write('ann', 'lost.json', memory('lost'));
  assert.strictEqual((await notes.next()).value, `the end; to go on from here: --since ${cursor}`);
  assert.deepStrictEqual(await closed, [0, null]);

  if (!fs.existsSync('/dev/full')) return;
  for (const [place, since] of [[], ['--since', cursor]].entries()) {
    const full = fs.openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [COMMAND, ...args, ...since], {
      env: { ...process.env, ...NEUTRAL, ...env },
      stdio: ['ignore', full, 'pipe'],
    });
    fs.closeSync(full);
    const closed = endOf(t, child);
    const stderr = /** @type {import('node:stream').Readable} */ (child.stderr);
    const notes = createInterface({ input: stderr })[Symbol.asyncIterator]();
    await notes.next();
    write('ann', `full-${place}.json`, memory('full'));
    assert.match((await notes.next()).value, /^vvault: the output can't be written: ENOSPC/);
    const end = since.length === 0 ? 'the end' : `the end; to go on from here: --since ${cursor}`;
    assert.strictEqual((await notes.next()).value, end);
    assert.deepStrictEqual(await closed, [1, null]);
  }
});

test('runtime-config: what the vault makes, with each of its options', async (t) => {
  const { nova, root, path: at } = await vaultWithNova(t);
  const vault = await Vault.open(root);
  atEnd(t, () => vault.close());
  const { created_at: _now, ...expected } = await vault.createRuntimeConfig('nova-001', 'ann');
  const args = ['runtime-config', 'nova-001', 'ann'];
  const [{ created_at: _then, ...told }] = objects(await output(nova(...args, '--json')));
  assert.deepStrictEqual(told, expected);
  assert.ok(!fs.existsSync(at('nova-001')));
  const people = await output(nova(...args));
  assert.match(people, /^id +nova-001_ann\nname +Nova\n(.*\n)*instructions\n {2}You are Nova,/);

  fs.writeFileSync(at('mine.txt'), 'Mine.');
  /** @type {[string[], Settings][]} */
  const own = [
    [['--instructions', 'Mine.'], {}],
    [['--instructions-file', at('mine.txt')], {}],
    [['--instructions-file', '-'], { input: 'Mine.' }],
    [['--instructions', 'Mine. Or not.', '--max-length', '5'], {}],
  ];
  for (const [options, settings] of own) {
    const [{ instructions }] = objects(await output(nova(...args, '--json', '--write', ...options), settings));
    assert.strictEqual(instructions, 'Mine.');
    assert.strictEqual(JSON.parse(fs.readFileSync(at('nova-001/chatty_runtime.json'), 'utf8')).instructions, 'Mine.');
  }
  assert.strictEqual((await vvault(nova(...args, '--instructions-file', at('missing')))).code, 1);
});

const servesAlready = fs.existsSync(path.join(REPOSITORY, 'lib/serve/index.js'));
test(
  'serve: tells where, until it is interrupted',
  servesAlready ? {} : { skip: 'lib/serve is not there yet' },
  async (t) => {
    const { root } = await vaultWithNova(t);
    const env = { XDG_CACHE_HOME: temporaryVault(t).root };
    const child = start(['serve', '--port', '0', '--json', '--vault', root], { env });
    const closed = endOf(t, child);
    const { value: line } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
    assert.strictEqual((await fetch(JSON.parse(line).url)).status, 200);
    child.kill('SIGINT');
    assert.deepStrictEqual(await closed, [0, null]);
    const open = await vvault(['serve', '--port', '0', '--host', '0.0.0.0', '--vault', root], {
      env: { ...env, VVAULT_TOKEN: '' },
    });
    assert.deepStrictEqual([open.code, open.stdout], [2, ''], 'not open to others without a token');
  },
);

/** In JSON, and as characters. */
const ESCAPE = '\u001b]0;title\u0007\u001b[31m\u009b2J\u202e\u2066\u2028\u007f\r\t';

/** @param {TestContext} t */
async function vaultOfMischief(t) {
  const vault = temporaryVault(t);
  const capsule = JSON.stringify({
    metadata: {
      instance_name: 'Evil',
      fingerprint_hash: '',
      uuid: ESCAPE,
      timestamp: '2026-01-01T00:00:00Z',
      generator: ESCAPE,
      capsule_version: ESCAPE,
    },
    traits: { [ESCAPE]: ESCAPE },
    personality: { [ESCAPE]: { [ESCAPE]: ESCAPE }, list: [ESCAPE] },
    memory: {
      short_term_memories: [ESCAPE, `two\nlines ${ESCAPE}`],
      long_term_memories: [{ text: 'x', id: ESCAPE, role: ESCAPE }],
    },
    environment: { [ESCAPE]: ESCAPE },
  });
  // JSON leaves some of them as they are.
  assert.match(capsule, HARMFUL);
  fs.writeFileSync(vault.path('evil.txt'), capsule);
  await output(['import', vault.path('evil.txt'), '--create', '--vault', vault.root]);
  vault.write('ann', 'a.json', { raw: ESCAPE, role: ESCAPE, created_ts: ESCAPE, tags: [ESCAPE] });
  vault.write('ann', 'b\u001b[31m.json', '{"half":');
  fs.mkdirSync(vault.path('instances/Evil'), { recursive: true });
  fs.writeFileSync(
    vault.path('instances/Evil/\u001b[31m\u202e.capsule'),
    JSON.stringify({ metadata: { fingerprint_hash: ESCAPE, instance_name: ESCAPE } }),
  );
  fs.mkdirSync(vault.path('constructs'));
  fs.writeFileSync(vault.path('constructs/evil-001_chatgpt.json'), JSON.stringify({ gpt_name: ESCAPE }));
  return vault;
}

const LOOKS = [
  ['memories', 'ann', '--construct', 'evil'],
  ['memories', 'ann', '--full', '--construct', 'evil'],
  ['list'],
  ['list', 'Evil'],
  ['list', '--files'],
  ['show', 'Evil', '--environment'],
  ['verify', '--all'],
  ['runtime-config', 'evil-001', 'ann'],
  ['tag', 'Evil', ESCAPE, ESCAPE],
  ['untag', 'Evil', ESCAPE, 'no'],
  ['show', ESCAPE],
  ['memories', ESCAPE],
  [ESCAPE],
  ['import', `${ESCAPE}.capsule`],
];

test('nothing from a capsule or a name reaches the terminal as a control character', async (t) => {
  const { root } = await vaultOfMischief(t);
  const look = async (/** @type {string[]} */ args, isJson = false) => {
    const { stdout, stderr } = await vvault([...args, '--vault', root, ...(isJson ? ['--json'] : [])]);
    const message = `vvault ${JSON.stringify(args)} ${isJson}: ${JSON.stringify([stdout, stderr])}`;
    assert.doesNotMatch(stdout, HARMFUL, message);
    assert.doesNotMatch(stderr, HARMFUL, message);
    if (isJson) objects(stdout);
  };
  await Promise.all(LOOKS.flatMap((args) => [look(args), look(args, true)]));
  const [{ content }] = objects((await vvault(['memories', 'ann', '--json', '--vault', root])).stdout);
  assert.strictEqual(content, ESCAPE, 'and a program gets it as it is');
  const table = (await vvault(['memories', 'ann', '--vault', root])).stdout;
  assert.ok(table.includes('\\x1b]0;title\\x07\\x1b[31m\\x9b2J\\u202e\\u2066 \\x7f'), table);
});

test('nor on a terminal, where the raw capsule comes as JSON that says the same', needsTerminal, async (t) => {
  const { root } = await vaultOfMischief(t);
  for (const args of [...LOOKS.slice(0, 8), ['show', 'Evil', '--raw']]) {
    const { text } = await onTerminal(60, [...args, '--vault', root], { NO_COLOR: '1' });
    assert.doesNotMatch(text, HARMFUL, JSON.stringify(args));
    assert.ok(text.length > 50);
  }
  const { text } = await onTerminal(60, ['show', 'Evil', '--raw', '--vault', root]);
  assert.deepStrictEqual(JSON.parse(text), JSON.parse(fs.readFileSync(vaultAt(root).path('evil.txt'), 'utf8')));
});

test('colours: on a terminal only, never with NO_COLOR, always with FORCE_COLOR', needsTerminal, async (t) => {
  const { nova } = await vaultWithNova(t);
  const args = nova('list', 'Nova');
  const COLOUR = '\u001b[';
  const has = async (/** @type {Record<string, string>} */ env) =>
    (await onTerminal(100, args, env)).text.includes(COLOUR);
  const piped = async (/** @type {Record<string, string>} */ env) => (await output(args, { env })).includes(COLOUR);
  assert.deepStrictEqual(
    await Promise.all([
      has({}),
      has({ NO_COLOR: '1' }),
      has({ NO_COLOR: '' }),
      has({ TERM: 'dumb' }),
      has({ FORCE_COLOR: '0' }),
    ]),
    [true, false, true, false, false],
  );
  assert.deepStrictEqual(
    await Promise.all([
      piped({}),
      piped({ CI: 'true' }),
      piped({ FORCE_COLOR: '1' }),
      piped({ FORCE_COLOR: '1', NO_COLOR: '1' }),
    ]),
    [false, false, true, false],
  );
});

test(
  'tables fit into the terminal, also with wide characters; into a pipe goes all of it',
  needsTerminal,
  async (t) => {
    const { root, write } = temporaryVault(t);
    const texts = ['x'.repeat(500), '漢字'.repeat(100), `${'👩‍👩‍👧 '.repeat(50)}`, 'short'];
    for (const [place, raw] of texts.entries())
      write('ann', `${place}.json`, { ...memory(raw), role: 'a-role-of-some-length' });
    const args = ['memories', 'ann', '--vault', root];
    for (const columns of [50, 61, 200]) {
      const { text } = await onTerminal(columns, args, { NO_COLOR: '1' });
      const lines = text.split('\n').slice(0, -1);
      assert.strictEqual(lines.length, 5);
      for (const line of lines) assert.ok(stringWidth(line) <= columns, `${stringWidth(line)} of ${columns}: ${line}`);
      const cut = lines.filter((line) => line.endsWith('…'));
      assert.strictEqual(cut.length, columns === 200 ? 2 : 3);
      for (const line of cut) assert.ok(stringWidth(line) >= columns - 2, 'no room is wasted');
      assert.doesNotMatch(text, /\ufffd/);
    }
    const whole = await output(args);
    for (const text of texts) assert.ok(whole.includes(text.trim()));
    const { text } = await onTerminal(40, ['list', '--files', '--vault', root], { NO_COLOR: '1' });
    assert.match(text, /has no construct's capsule/);
  },
);

test('a bar shows a person the rate and the time left; nobody else', needsTerminal, async (t) => {
  const { root, path: at } = temporaryVault(t);
  const files = Array.from({ length: 40 }, (_, place) => {
    fs.writeFileSync(
      at(`${place}`),
      makeCapsule({ instanceName: 'Many', uuid: `${place}`, timestamp: timestampOf(place) }),
    );
    return at(`${place}`);
  });
  const BAR = /\d+% \d+\/40 files \d+\/s \d+s left/;
  const imported = await onTerminal(100, ['import', ...files, '--vault', root]);
  assert.match(imported.text, BAR);
  assert.strictEqual(imported.text.match(/stored\S* .* as capsules\/Many\//g)?.length, 40);

  const args = ['verify', '--vault', root];
  assert.strictEqual(await output(args), '40 files: 40 sound, 0 unsound\n');
  // The sound ones are loaded, to be compared with it.
  fs.mkdirSync(at('instances/many'), { recursive: true });
  fs.writeFileSync(at('instances/many/many.capsule'), fs.readFileSync(files[0], 'utf8').replace('INFJ', 'INFP'));
  const seen = await onTerminal(100, args);
  assert.match(seen.text, BAR);
  assert.match(seen.text, /41 files: .*40 sound/);
  for (const [options, env] of /** @type {[string[], Record<string, string>][]} */ ([
    [['--json'], {}],
    [[], { TERM: 'dumb' }],
  ])) {
    assert.doesNotMatch((await onTerminal(100, [...args, ...options], env)).text, BAR);
  }
});

test('a reader who has seen enough ends it quietly; a full disk does not', async (t) => {
  const { root, write } = temporaryVault(t);
  const raw = 'x'.repeat(2000);
  for (let place = 0; place < 500; place += 1) write('ann', `${place}.json`, memory(raw));
  for (const args of [
    ['memories', 'ann', '-n', '0'],
    ['memories', 'ann', '-n', '0', '--json'],
    ['verify', '--json'],
  ]) {
    const child = start([...args, '--vault', root]);
    const stderr = child.stderr.setEncoding('utf8').toArray();
    child.stdout.once('data', () => child.stdout.destroy());
    const [code] = await once(child, 'close');
    assert.deepStrictEqual([code, (await stderr).join('')], [0, ''], args.join(' '));
  }
  if (!fs.existsSync('/dev/full')) return;
  for (const args of [['verify', '--vault', root], ['--help'], ['list', '--help'], ['--version']]) {
    const full = fs.openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ['ignore', full, 'pipe'] });
    fs.closeSync(full);
    const stderr = /** @type {import('node:stream').Readable} */ (child.stderr).setEncoding('utf8').toArray();
    const [code] = await once(child, 'close');
    assert.strictEqual(code, 1, args.join(' '));
    assert.match((await stderr).join(''), /^vvault: the output can't be written: ENOSPC/);
  }
});

test("Node.js's own warnings are shown, and are no failure; the vault's are, also where the console is frozen", async (t) => {
  const { nova, path: at, write } = await vaultWithNova(t);
  fs.writeFileSync(at('warn.js'), "process.emitWarning('of some kind', 'DeprecationWarning');");
  write('ann', 'half.json', '{"raw":');
  for (const [options, warning] of [
    [`--require ${at('warn.js')}`, 'DeprecationWarning: of some kind'],
    ['--frozen-intrinsics', 'ExperimentalWarning'],
  ]) {
    const env = { NODE_OPTIONS: options };
    const listed = await vvault(nova('list', '--json'), { env });
    assert.deepStrictEqual([listed.code, objects(listed.stdout).length], [0, 1]);
    assert.ok(listed.stderr.includes(warning), listed.stderr);
    const broken = await vvault(nova('memories', 'ann'), { env });
    assert.strictEqual(broken.code, 1);
    assert.match(broken.stderr, /^vvault: .*half\.json/m);
  }
});

test('the package is found without what only the command needs', () => {
  const program = `
    require(${JSON.stringify(REPOSITORY)});
    const loaded = Object.keys(require.cache).filter((file) => /commander|cli-progress|picocolors|string-width/.test(file));
    if (loaded.length > 0) throw new Error(String(loaded));`;
  const { status, stderr } = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8' });
  assert.strictEqual(status, 0, stderr);
});
