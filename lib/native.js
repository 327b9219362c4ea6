'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { inspect } = require('./binary');
const { withCode } = require('./errors');

const NAME = 'vvault-native';
const PLATFORMS = [
  ...['linux-x64-gnu', 'linux-x64-musl', 'linux-arm64-gnu', 'linux-arm64-musl'],
  ...['darwin-x64', 'darwin-arm64', 'win32-x64-msvc', 'win32-arm64-msvc'],
];

/**
 * Loads the compiled part. If that fails, one error says which binary, the loader's own reason, and what to do.
 *
 * @returns {typeof import('../binding')}
 */
function load() {
  const here = `${process.platform}-${process.arch}`;
  const files = installed(PLATFORMS.filter((platform) => platform.startsWith(here)));
  // On a file that was cut off the system's loader does not fail: it ends the process (SIGBUS).
  const fault = files.map(faultOf).find((found) => found !== null);
  if (fault) throw failure(fault);
  try {
    const binding = require('../binding');
    binding.prepare();
    return binding;
  } catch (thrown) {
    throw failure(reasonOf(thrown, files) ?? absence(), thrown);
  }
}

/**
 * The binaries that are there: beside the generated loader, and in packages of their own.
 *
 * @param {string[]} platforms
 */
function installed(platforms) {
  const chosen = process.env.NAPI_RS_NATIVE_LIBRARY_PATH;
  if (chosen) return [path.resolve(chosen)].filter(isFile);
  return platforms.flatMap((platform) => {
    const files = [path.join(__dirname, '../binding', `${NAME}.${platform}.node`)];
    try {
      files.push(require.resolve(`${NAME}-${platform}`));
    } catch {
      // That package is not installed.
    }
    return files.filter(isFile);
  });
}

/** @param {string} file */
function isFile(file) {
  return fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}

/**
 * What is wrong with a binary where the system's loader would not say it.
 *
 * @param {string} file
 */
function faultOf(file) {
  let found;
  try {
    found = inspect(file);
  } catch (error) {
    return /** @type {Error} */ (error).message;
  }
  if (found === null) return null;
  const { system, processor, isWhole } = found;
  if (system !== process.platform || processor !== process.arch) return `${file} is for ${system}-${processor}`;
  return isWhole ? null : `${file} is cut off`;
}

function absence() {
  const others = installed(PLATFORMS);
  return others.length > 0 ? `there is only ${others.join(', ')}` : 'none is installed';
}

/**
 * The generated loader tries one place after another, most of which are not there; what was there and could not be loaded
 * is the reason.
 *
 * @param {any} thrown
 * @param {string[]} files What was there.
 * @returns {string | undefined}
 */
function reasonOf(thrown, files) {
  const reasons = [];
  for (let cause = thrown; cause; cause = cause.cause) {
    if (!/^Cannot find (module|native binding)/.test(cause.message)) reasons.push(cause.message);
  }
  const reason = reasons.at(-1);
  // Of a library that a binary needs, the system's loader tells only that one's name.
  return reason === undefined || files.length === 0 || files.some((file) => reason.includes(file))
    ? reason
    : `${files.join(', ')}: ${reason}`;
}

/**
 * @param {string} reason
 * @param {unknown} [cause]
 */
function failure(reason, cause) {
  const { platform, arch, version } = process;
  const library = platform === 'linux' ? `, ${cLibrary()}` : '';
  const wayOut = /addons is disabled/.test(reason)
    ? 'Start Node.js without --no-addons, and under its permission model with --allow-addons.'
    : 'Install it again on this system (without --omit=optional), or build it with `npm run build` where Rust is installed.';
  const message =
    `${NAME} has no binary that works on ${platform}-${arch} (Node ${version}${library}): ` +
    `${reason.replace(/\.$/, '')}. ${wayOut}`;
  return withCode(new Error(message, { cause }), 'VVAULT_NO_BINARY');
}

function cLibrary() {
  // The types of Node.js call both objects without members.
  const report = /** @type {any} */ (process.report);
  // It would look up the names of whoever is connected.
  report.excludeNetwork = true;
  const { glibcVersionRuntime } = report.getReport().header;
  return glibcVersionRuntime ? `glibc ${glibcVersionRuntime}` : 'musl';
}

module.exports = load();
