'use strict';

/**
 * The JSON of what came from files. `JSON.parse` reads nesting of any depth; `JSON.stringify` has a limit.
 *
 * @param {unknown} value Data: plain objects, lists and scalars.
 * @returns {string}
 */
function jsonText(value) {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // A text that would be too long for V8 is another RangeError.
    if (!(error instanceof RangeError) || !/call stack/.test(error.message)) throw error;
    return deepText(value);
  }
}

/** @typedef {{ end: string, next: () => { done?: boolean, value?: any }, isList: boolean, isFirst: boolean }} Level */

/**
 * The same without a stack of calls.
 *
 * @param {unknown} whole
 */
function deepText(whole) {
  /** @type {string[]} */
  const parts = [];
  /** @type {Level[]} */
  const levels = [];
  const put = (/** @type {any} */ value) => {
    if (typeof value !== 'object' || value === null) {
      parts.push(JSON.stringify(value) ?? 'null');
      return;
    }
    const isList = Array.isArray(value);
    const within = isList ? value : Object.entries(value).filter(([, member]) => member !== undefined);
    const items = within.values();
    parts.push(isList ? '[' : '{');
    levels.push({ end: isList ? ']' : '}', next: () => items.next(), isList, isFirst: true });
  };
  put(whole);
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const { done, value } = level.next();
    if (done) {
      parts.push(level.end);
      levels.pop();
      continue;
    }
    if (!level.isFirst) parts.push(',');
    level.isFirst = false;
    if (!level.isList) parts.push(JSON.stringify(value[0]), ':');
    put(level.isList ? value : value[1]);
  }
  return parts.join('');
}

module.exports = { jsonText };
