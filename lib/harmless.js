'use strict';

/**
 * Characters that do something where text is shown: control and format characters, and separators of lines. Two joiners
 * are none of them: scripts and emoji are written with them.
 */
const HARMFUL = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Characters at a time: V8 aborts the process over too many matches. */
const PIECE = 1 << 20;

/**
 * A text with something else in the place of each harmful character.
 *
 * @param {string} text
 * @param {(character: string) => string} instead
 */
function withoutHarmful(text, instead) {
  if (text.length <= PIECE) return text.replaceAll(HARMFUL, instead);
  let harmless = '';
  for (let from = 0; from < text.length; ) {
    const next = Math.min(from + PIECE, text.length);
    // No pair of surrogates is parted.
    const end = /[\ud800-\udbff]/.test(text[next - 1]) ? next + 1 : next;
    harmless += text.slice(from, end).replaceAll(HARMFUL, instead);
    from = end;
  }
  return harmless;
}

/**
 * A text, or JSON, that says the same; its harmful characters are written as JSON escapes them. Tabs and ends of lines stay.
 *
 * @param {string} text
 */
function escapeHarmful(text) {
  return withoutHarmful(text, (character) => {
    if (/^[\t\n\r]$/.test(character)) return character;
    const units = Array.from({ length: character.length }, (_, place) => character.charCodeAt(place));
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
  });
}

/**
 * The same in one line, as for names, which may hold any character.
 *
 * @param {string} text
 */
function escapeLine(text) {
  return escapeHarmful(text).replaceAll(/[\t\n\r]/g, (character) => JSON.stringify(character).slice(1, -1));
}

module.exports = { escapeHarmful, escapeLine, withoutHarmful };
