'use strict';

// The package as `npm pack` makes it and a project has it: what is in it, and that every way of asking for it works.

const assert = require('node:assert');
const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before, test } = require('node:test');

const { REPOSITORY } = require('./support/temporary-vault');

/** @type {Record<string, any>} */
const manifest = require('../package.json');
const { dependencies = {}, napi, scripts, version } = manifest;

/** A project that has the package, without what only the repository has. */
const project = fs.mkdtempSync(path.join(os.tmpdir(), 'vvault-project-'));
/** @type {{ path: string, size: number }[]} */
let files;

before(() => {
  const npm = ['pack', '--json', '--ignore-scripts', '--pack-destination', project];
  const isWindows = process.platform === 'win32';
  const told = execFileSync('npm', npm, { cwd: REPOSITORY, encoding: 'utf8', stdio: 'pipe', shell: isWindows });
  const [packed] = JSON.parse(told);
  files = packed.files;
  const modules = path.join(project, 'node_modules');
  fs.mkdirSync(path.join(modules, '@types'), { recursive: true });
  execFileSync('tar', ['-xzf', path.join(project, packed.filename), '-C', project]);
  fs.renameSync(path.join(project, 'package'), path.join(modules, 'vvault-native'));
  // What npm would install with it; the repository has the same.
  for (const name of [...Object.keys(dependencies), '@types/node']) {
    fs.symlinkSync(path.join(REPOSITORY, 'node_modules', name), path.join(modules, name), 'junction');
  }
});

after(() => fs.rmSync(project, { recursive: true, force: true }));

/**
 * @param {string} name
 * @param {string} text
 */
function write(name, text) {
  const file = path.join(project, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
  return file;
}

/** @param {string} file */
function run(file) {
  const { NAPI_RS_NATIVE_LIBRARY_PATH: _, ...env } = process.env;
  const { stdout, stderr, status } = spawnSync(process.execPath, [file], { cwd: project, env, encoding: 'utf8' });
  assert.strictEqual(status, 0, stderr);
  return stdout.trim();
}

test('nothing is in it but what is meant', () => {
  const meant = [
    /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|SECURITY\.md)$/,
    /^index\.(js|mjs|d\.ts|d\.mts)$/,
    /^(lib|bin)\/[\w-]+(\/[\w-]+)*\.(js|mjs|css|html|svg)$/,
    /^docs\/[\w-]+\.md$/,
    /^binding\/index\.(js|d\.ts)$/,
  ];
  const binaries = files.filter((file) => file.path.endsWith('.node'));
  const others = files.filter((file) => !binaries.includes(file) && !meant.some((each) => each.test(file.path)));
  assert.deepStrictEqual(others, []);
  const here = new RegExp(`^binding/${napi.binaryName}\\.${process.platform}-${process.arch}(-\\w+)?\\.node$`);
  assert.strictEqual(binaries.length, 1, 'the binary of this platform alone');
  assert.match(binaries[0].path, here);
  assert.ok(files.reduce((sum, { size }) => sum + size, 0) < 8 * 1024 * 1024, 'it is small');
});

test('no script of it runs when it is installed', () => {
  for (const name of ['preinstall', 'install', 'postinstall', 'prepare', 'preprepare', 'postprepare']) {
    assert.strictEqual(scripts[name], undefined, name);
  }
});

test('each platform has a package of the same version, for the loader to find', () => {
  const folders = fs.readdirSync(path.join(REPOSITORY, 'npm')).sort();
  assert.strictEqual(folders.length, napi.targets.length);
  const loader = fs.readFileSync(path.join(REPOSITORY, 'binding/index.js'), 'utf8');
  const names = fs.readFileSync(path.join(REPOSITORY, 'lib/native.js'), 'utf8');
  for (const folder of folders) {
    const platform = require(`../npm/${folder}/package.json`);
    assert.strictEqual(platform.version, version, folder);
    assert.strictEqual(platform.name, `vvault-native-${folder}`);
    assert.deepStrictEqual(platform.files, [platform.main]);
    assert.ok(loader.includes(`require('${platform.name}')`), folder);
    assert.ok(names.includes(`'${folder}'`), folder);
  }
});

test('require and import give it, by name and as the default', () => {
  const expected = Object.keys(require('..')).sort().join();
  const cjs = write('caller.cjs', "console.log(Object.keys(require('vvault-native')).sort().join())");
  assert.strictEqual(run(cjs), expected);
  const mjs = write(
    'caller.mjs',
    `import vvault, * as all from 'vvault-native';
     import { readMemories, Vault } from 'vvault-native';
     const { default: whole, ...named } = all;
     if (whole !== vvault || vvault.Vault !== Vault || typeof readMemories !== 'function') throw new Error('not the same');
     console.log(Object.keys(named).sort().join());`,
  );
  assert.strictEqual(run(mjs), expected);
});

const CALLS = `
  /** As Chatty's. */
  class AnOrchestrator {
    private readonly maxLtmEntries = 32;
    async prepareMemoryContext(overrides: { maxLtmEntries?: number } = {}): Promise<{ ltmEntries: unknown[] }> {
      return { ltmEntries: new Array(overrides.maxLtmEntries ?? this.maxLtmEntries) };
    }
  }
  export async function main(root: string): Promise<string[]> {
    const vault: Vault = await Vault.open(root, { watch: true, integrity: 'report' });
    vault.on('capsule:imported', ({ path, memories }) => console.log(path.length, memories.length));
    const memories: Memory[] = await vault.readMemories('mira', { constructId: 'nova-001', tags: ['home'] });
    const config = {
      vvaultPath: root,
      directories: { users: 'users', transcripts: 'transcripts', capsules: 'capsules' },
      logging: {},
    };
    for (const memory of await readMemories(config, 'mira', { limit: 5 })) {
      if (memory.type === 'capsule') console.log(memory.metadata.filename.length);
    }
    const { detach } = await vault.attachOrchestrator(new AnOrchestrator(), { userId: 'mira', constructId: 'nova-001' });
    await vault.attachOrchestrator(
      { maxLtmEntries: 8, prepareMemoryContext: async () => ({ ltmEntries: [] }) },
      { userId: 'mira', constructId: 'nova-001' },
    );
    detach();
    await vault.close();
    // @ts-expect-error a user's name is a text
    await vault.readMemories(5);
    // @ts-expect-error there is no such thing
    vault.readMemorys;
    return memories.map(({ id }) => id);
  }`;

/** How TypeScript asks for the package: by file, what stands before the calls. @type {Record<string, string>} */
const ASKED = {
  'named.mts': "import { readMemories, Vault, type Memory } from 'vvault-native';",
  'default.mts': `import vvault, { type Memory } from 'vvault-native';
    const { readMemories, Vault } = vvault;
    type Vault = import('vvault-native').Vault;
    // @ts-expect-error the default has no default
    vvault.default;`,
  'named.cts': "import { readMemories, Vault, type Memory } from 'vvault-native';",
  'default.cts': `import vvault from 'vvault-native';
    import type { Memory, Vault as AVault } from 'vvault-native';
    const { readMemories, Vault } = vvault;
    type Vault = AVault;`,
  'require.cts': `import vvault = require('vvault-native');
    const { readMemories, Vault } = vvault;
    type Vault = vvault.Vault;
    type Memory = vvault.Memory;`,
};

for (const resolution of ['nodenext', 'bundler']) {
  test(`strict TypeScript callers are checked, with module resolution ${resolution}`, () => {
    const folder = `types-${resolution}`;
    for (const [name, head] of Object.entries(ASKED)) {
      // Bundlers know only `import`.
      if (resolution === 'nodenext' || name.endsWith('.mts')) write(`${folder}/${name}`, `${head}\n${CALLS}`);
    }
    const module =
      resolution === 'nodenext' ? { module: 'nodenext' } : { module: 'esnext', moduleResolution: 'bundler' };
    const compilerOptions = {
      ...module,
      target: 'es2023',
      strict: true,
      exactOptionalPropertyTypes: true,
      esModuleInterop: true,
      verbatimModuleSyntax: false,
      skipLibCheck: false,
      noEmit: true,
      types: ['node'],
    };
    write(`${folder}/tsconfig.json`, JSON.stringify({ compilerOptions, include: ['*.mts', '*.cts'] }));
    const compiler = path.join(REPOSITORY, 'node_modules/typescript/bin/tsc');
    const { status, stdout } = spawnSync(process.execPath, [compiler, '--project', path.join(project, folder)], {
      cwd: project,
      encoding: 'utf8',
    });
    assert.strictEqual(status, 0, stdout);
  });
}
