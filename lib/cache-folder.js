'use strict';

const os = require('node:os');
const path = require('node:path');

const home = os.homedir();

/**
 * Where what is derived from vaults is kept, if nobody says otherwise: in the system's cache folder, or in
 * `VVAULT_CACHE_DIR`; `null` for nowhere, if that is set and empty.
 */
function cacheFolder() {
  const { LOCALAPPDATA, VVAULT_CACHE_DIR, XDG_CACHE_HOME } = process.env;
  if (VVAULT_CACHE_DIR !== undefined) return VVAULT_CACHE_DIR === '' ? null : path.resolve(VVAULT_CACHE_DIR);
  const folders = {
    darwin: path.join(home, 'Library', 'Caches'),
    win32: LOCALAPPDATA || path.join(home, 'AppData', 'Local'),
  };
  const others = XDG_CACHE_HOME || path.join(home, '.cache');
  return path.join(folders[/** @type {keyof typeof folders} */ (process.platform)] ?? others, 'vvault-native');
}

module.exports = { cacheFolder };
