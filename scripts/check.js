'use strict';

// Everything that is checked besides the tests, after a build: form, lints, types, and that what is generated is what is
// committed.

const { spawnSync } = require('node:child_process');

const { REPOSITORY, runSteps, succeeds } = require('./steps');

const colours = process.stdout.isTTY ? [] : ['--colors=off'];

/**
 * Whether generated files are as they are in git's index; prints what differs.
 *
 * @param {...string} paths
 */
function isCommitted(...paths) {
  const git = (/** @type {string[]} */ ...rest) => spawnSync('git', rest, { cwd: REPOSITORY, encoding: 'utf8' });
  const untracked = git('ls-files', '--others', '--exclude-standard', '--', ...paths);
  if (untracked.stdout) console.log(`not in git:\n${untracked.stdout}`);
  const isSame = succeeds('git', '--no-pager', 'diff', '--exit-code', '--', ...paths);
  return isSame && untracked.status === 0 && untracked.stdout === '';
}

/** @param {string} command @param {...string} rest */
const isInstalled = (command, ...rest) => spawnSync(command, rest, { cwd: REPOSITORY, stdio: 'ignore' }).status === 0;
const clippy = (/** @type {string[]} */ ...features) =>
  succeeds('cargo', 'clippy', '--locked', '--all-targets', ...features, '--', '-D', 'warnings');

/** Systems that are seldom at hand: there at least all of it compiles. */
const others = ['aarch64-apple-darwin', 'x86_64-pc-windows-msvc'];
const targets =
  spawnSync('rustup', ['target', 'list', '--installed'], { cwd: REPOSITORY, encoding: 'utf8' }).stdout ?? '';

runSteps([
  { name: 'Rust: form', run: () => succeeds('cargo', 'fmt', '--check') },
  { name: 'Rust: lints', run: () => clippy() },
  { name: 'Rust: lints of the core alone', run: () => clippy('--no-default-features') },
  ...others.map((target) =>
    targets.includes(target)
      ? { name: `Rust: lints for ${target}`, run: () => clippy('--target', target) }
      : { name: `Rust: lints for ${target}`, leftOut: `rustup target add ${target}` },
  ),
  isInstalled('cargo', 'deny', '--version')
    ? {
        name: 'Rust: licences and sources',
        run: () => succeeds('cargo', 'deny', 'check', 'bans', 'licenses', 'sources'),
      }
    : { name: 'Rust: licences and sources', leftOut: 'cargo-deny is not installed' },
  {
    name: 'JavaScript: form and lints',
    run: () => succeeds('npx', '--no-install', 'biome', 'ci', '--error-on-warnings', ...colours, '.'),
  },
  { name: 'JavaScript: types', run: () => succeeds('npx', '--no-install', 'tsc', '--project', '.') },
  {
    name: 'JavaScript: types, of the page',
    run: () => succeeds('npx', '--no-install', 'tsc', '--project', 'tsconfig.page.json'),
  },
  isInstalled('actionlint', '-version')
    ? { name: 'Workflows', run: () => succeeds('actionlint') }
    : { name: 'Workflows', leftOut: 'actionlint is not installed' },
  { name: 'Package: contents', run: () => succeeds('npx', '--no-install', 'publint', '--strict') },
  {
    name: 'Package: types as callers resolve them',
    run: () => succeeds('npx', '--no-install', 'attw', '--pack', '.', '--format', 'ascii'),
  },
  { name: 'Generated binding is committed', run: () => isCommitted('binding/index.js', 'binding/index.d.ts') },
  {
    name: 'Platform packages are committed',
    run: () => succeeds('npx', '--no-install', 'napi', 'create-npm-dirs') && isCommitted('npm'),
  },
  {
    name: 'API reference is committed',
    run: () => succeeds('node', 'scripts/api-reference.js') && isCommitted('docs/api.md'),
  },
]);
