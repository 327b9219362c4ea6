'use strict';

const os = require('node:os');
const path = require('node:path');

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
  const below = (/** @type {string[]} */ ...names) => home && path.join(home, ...names);
  const folders = {
    darwin: below('Library', 'Caches'),
    win32: LOCALAPPDATA || below('AppData', 'Local'),
  };
  // A relative one is none: https://specifications.freedesktop.org/basedir-spec/latest/
  const others = XDG_CACHE_HOME && path.isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : below('.cache');
  const folder = process.platform in folders ? folders[/** @type {keyof typeof folders} */ (process.platform)] : others;
  return folder && path.isAbsolute(folder) ? path.join(folder, 'vvault-native') : null;
}

module.exports = { cacheFolder };
