'use strict';

const os = require('node:os');
const path = require('node:path');

/** Below the home folder; elsewhere `.cache`. @type {Partial<Record<NodeJS.Platform, string>>} */
const FOLDERS = { darwin: path.join('Library', 'Caches'), win32: path.join('AppData', 'Local') };

/** Below the home folder; `null` for a user without one, as containers have them. Made once: each call asks for it. */
const usual = (() => {
  try {
    const folder = path.join(os.homedir(), FOLDERS[process.platform] ?? '.cache', 'vvault-native');
    return path.isAbsolute(folder) ? folder : null;
  } catch {
    return null;
  }
})();

/**
 * Where what is derived from vaults is kept, if nobody says otherwise: in the system's cache folder, or in
 * `VVAULT_CACHE_DIR`; `null` for nowhere, if that is set and empty, or if there is no such folder.
 */
function cacheFolder() {
  const { LOCALAPPDATA, VVAULT_CACHE_DIR, XDG_CACHE_HOME } = process.env;
  if (VVAULT_CACHE_DIR !== undefined) return VVAULT_CACHE_DIR === '' ? null : path.resolve(VVAULT_CACHE_DIR);
  const others = process.platform === 'win32' ? LOCALAPPDATA : process.platform in FOLDERS ? undefined : XDG_CACHE_HOME;
  // A relative one is none: https://specifications.freedesktop.org/basedir-spec/latest/
  return others && path.isAbsolute(others) ? path.join(others, 'vvault-native') : usual;
}

module.exports = { cacheFolder };
