'use strict';

// What may be shown on a terminal, and how wide it is there. A capsule's text is anybody's: it must not move the cursor,
// colour what follows, set the clipboard, or show itself in another order than it stands in.

const stringWidth = require('string-width');
const { withoutHarmful } = require('../harmless');

const SPACE = /^[\t\n\v\f\r\u0085\u2028\u2029]$/;

const ELLIPSIS = '…';
const GAP = '  ';
/** A column that is shown at all has at least this width. */
const NARROWEST = 4;

const graphemes = new Intl.Segmenter();

/**
 * A text in one line; what would do something is shown as JavaScript would escape it.
 *
 * @param {string} text
 */
function harmless(text) {
  return withoutHarmful(text, (character) => (SPACE.test(character) ? ' ' : escaped(character)));
}

/** @param {string} character */
function escaped(character) {
  const code = /** @type {number} */ (character.codePointAt(0));
  if (code > 0xffff) return `\\u{${code.toString(16)}}`;
  return code > 0xff ? `\\u${hexadecimal(code, 4)}` : `\\x${hexadecimal(code, 2)}`;
}

/**
 * @param {number} code
 * @param {number} digits
 */
function hexadecimal(code, digits) {
  return code.toString(16).padStart(digits, '0');
}

/**
 * How many places a harmless text takes on a terminal.
 *
 * @param {string} text
 */
function widthOf(text) {
  return /^[\x20-\x7e]*$/.test(text) ? text.length : stringWidth(text);
}

/**
 * The beginning of a harmless text that has a width. No character is parted.
 *
 * @param {string} text
 * @param {number} width
 */
function cutTo(text, width) {
  // Longer texts can't fit, and need not be measured: no character that takes a place has more code units.
  if (text.length <= width * 32 && widthOf(text) <= width) return text;
  let [cut, taken] = ['', 0];
  for (const { segment } of graphemes.segment(text)) {
    taken += widthOf(segment);
    if (taken > width - 1) break;
    cut += segment;
  }
  return cut + ELLIPSIS;
}

/**
 * Columns that fit into a line: extra ones go first, then the widest give way.
 *
 * @template {{ width: number, isWhole: boolean, isExtra: boolean }} T
 * @param {T[]} columns
 * @param {number} line
 * @returns {T[]}
 */
function fitted(columns, line) {
  const narrowed = (/** @type {number} */ widest) =>
    columns.map((column) => (column.isWhole ? column : { ...column, width: Math.min(column.width, widest) }));
  const isFitting = (/** @type {T[]} */ some) =>
    some.reduce((sum, { width }) => sum + width + GAP.length, -GAP.length) <= line;
  if (isFitting(columns)) return columns;
  const extra = columns.findLastIndex(({ isExtra }) => isExtra);
  if (extra !== -1) return fitted(columns.toSpliced(extra, 1), line);
  let widest = Math.max(line, NARROWEST);
  while (widest > NARROWEST && !isFitting(narrowed(widest))) widest -= 1;
  return narrowed(widest);
}

module.exports = { GAP, cutTo, fitted, harmless, widthOf };
