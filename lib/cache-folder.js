'use strict';

const os = require('node:os');
const path = require('node:path');

/** Below the home folder; elsewhere `.cache`. @type {Partial<Record<NodeJS.Platform, string>>} */
const FOLDERS = { darwin: path.join('Library', 'Caches'), win32: path.join('AppData', 'Local') };

/** `null` for a user without one, as containers have them. */
const home = (() => {
  try {
    return os.homedir();
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
  const folder = systemFolder(LOCALAPPDATA, XDG_CACHE_HOME);
  return folder && path.isAbsolute(folder) ? path.join(folder, 'vvault-native') : null;
}

/**
 * @param {string | undefined} local
 * @param {string | undefined} xdg
 */
function systemFolder(local, xdg) {
  if (process.platform === 'win32' && local) return local;
  // A relative one is none: https://specifications.freedesktop.org/basedir-spec/latest/
  if (!(process.platform in FOLDERS) && xdg && path.isAbsolute(xdg)) return xdg;
  return home && path.join(home, FOLDERS[process.platform] ?? '.cache');
}

module.exports = { cacheFolder };
