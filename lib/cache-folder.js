'use strict';

const os = require('node:os');
const path = require('node:path');

/** Below the home folder; elsewhere `.cache`. @type {Partial<Record<NodeJS.Platform, string>>} */
const FOLDERS = { darwin: path.join('Library', 'Caches'), win32: path.join('AppData', 'Local') };

/** `null` for a user without one, as containers have them. Looked for once: each call asks. */
const home = (() => {
  try {
    const folder = os.homedir();
    return path.isAbsolute(folder) ? folder : null;
  } catch {
    return null;
  }
})();
const usual = home && path.join(home, FOLDERS[process.platform] ?? '.cache', 'vvault-native');

/**
 * Where what is derived from vaults is kept, if nobody says otherwise: in the system's cache folder, or in
 * `VVAULT_CACHE_DIR`; `null` for nowhere, if that is set and empty, or if there is no such folder.
 */
function cacheFolder() {
  const { LOCALAPPDATA, VVAULT_CACHE_DIR, XDG_CACHE_HOME } = process.env;
  if (VVAULT_CACHE_DIR === '') return null;
  // As a shell would have done: in a file of settings nobody does, and a folder called `~` would hold people's memories.
  if (VVAULT_CACHE_DIR) return path.resolve(VVAULT_CACHE_DIR.replace(/^~(?=[\\/]|$)/, (tilde) => home ?? tilde));
  const others = process.platform === 'win32' ? LOCALAPPDATA : process.platform in FOLDERS ? undefined : XDG_CACHE_HOME;
  // A relative one is none: https://specifications.freedesktop.org/basedir-spec/latest/
  return others && path.isAbsolute(others) ? path.join(others, 'vvault-native') : usual;
}

module.exports = { cacheFolder };
