'use strict';

const { createColors } = require('picocolors');
const { GAP, cutTo, fitted, harmless, widthOf } = require('./terminal');
const { timeOfCapsule } = require('../capsule-time');
const { escapeHarmful } = require('../harmless');
const { jsonText } = require('../json-text');

/** @typedef {'bold' | 'dim' | 'green' | 'red' | 'yellow'} Style */
/** @typedef {{ text: string, style: Style }} Styled A text and how it is shown. */
/** @typedef {string | number | Styled} Shown */
/**
 * @typedef {object} Column
 * @property {string} title
 * @property {boolean} [isRight] Aligned to the right.
 * @property {boolean} [isWhole] Never cut: it is there to be copied.
 * @property {boolean} [isExtra] Left out where there is no room for all columns.
 */

/** One huge cell must not make every line as long. */
const WIDEST_PADDED = 200;

/**
 * The one way out to the terminal. Whatever is put into a line or a table is made harmless here, so that nothing has to be
 * trusted before; colours are added after that.
 */
class Output {
  /** For programs: an object a line, and nothing else on the standard output. */
  isJson = false;
  /** Something that was asked for is unsound, missing or failed. */
  failed = false;
  #nobodyReads = new AbortController();

  constructor() {
    for (const stream of [process.stdout, process.stderr]) {
      stream.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
        if (stream === process.stdout) this.#nobodyReads.abort();
        // Whoever read it has seen enough; anything else, such as a full disk, is a failure.
        if (error.code === 'EPIPE') return;
        process.exitCode = 1;
        if (stream === process.stdout) this.problem`the output can't be written: ${error.message}`;
      });
    }
  }

  /** Aborted when the standard output is read no more. */
  get signal() {
    return this.#nobodyReads.signal;
  }

  /** Whether a person can see work go on. */
  get isWatched() {
    return !this.isJson && Boolean(process.stderr.isTTY) && process.env.TERM !== 'dumb';
  }

  /**
   * A line: output.line`stored ${file}`.
   *
   * @param {TemplateStringsArray} words
   * @param {...Shown} values
   */
  line(words, ...values) {
    return this.raw(lineOf(process.stdout, words, values));
  }

  /**
   * A line about the work, for people: not among the results.
   *
   * @param {TemplateStringsArray} words
   * @param {...Shown} values
   */
  note(words, ...values) {
    process.stderr.write(lineOf(process.stderr, words, values));
  }

  /**
   * Something that was asked for could not be had.
   *
   * @param {TemplateStringsArray} words
   * @param {...Shown} values
   */
  problem(words, ...values) {
    this.failed = true;
    this.note`${red('vvault:')} ${lineOf(null, words, values).slice(0, -1)}`;
  }

  /**
   * An object in a line of its own.
   *
   * @param {unknown} value
   */
  json(value) {
    return this.raw(`${escapeHarmful(jsonText(value))}\n`);
  }

  /**
   * A text that is harmless already.
   *
   * @param {string} text
   * @returns {Promise<boolean>} Whether it was written. Nothing is after what was not.
   */
  async raw(text) {
    if (this.signal.aborted) return false;
    return new Promise((resolve) => {
      process.stdout.write(text, (error) => {
        if (error) this.#nobodyReads.abort();
        resolve(!this.signal.aborted);
      });
    });
  }

  /**
   * @param {Column[]} columns
   * @param {Shown[][]} rows
   */
  table(columns, rows) {
    const cells = rows.map((row) => row.map((cell) => ({ text: harmless(textOf(cell)), style: styleOf(cell) })));
    const lines = [columns.map(({ title }) => bold(title)), ...cells];
    const natural = columns.map(({ isWhole = false, isExtra = false }, place) => {
      // Not `Math.max(...)`, which takes no hundred thousand arguments.
      const width = lines.reduce((widest, line) => Math.max(widest, widthOf(line[place].text)), 0);
      return { place, width, isWhole, isExtra };
    });
    // Into a file or another program goes all of it.
    const shown = process.stdout.isTTY ? fitted(natural, process.stdout.columns || 80) : natural;
    for (const line of lines) {
      const padded = shown.map(({ place, width }) => {
        const { text, style } = line[place];
        const cut = process.stdout.isTTY ? cutTo(text, width) : text;
        const space = ' '.repeat(Math.max(0, Math.min(width, WIDEST_PADDED) - widthOf(cut)));
        const visible = coloured(process.stdout, cut, style);
        if (columns[place].isRight) return space + visible;
        return place === shown.at(-1)?.place ? visible : visible + space;
      });
      this.raw(`${padded.join(GAP).trimEnd()}\n`);
    }
  }
}

/**
 * @param {NodeJS.WriteStream | null} stream Where it goes; without one, it has no colours.
 * @param {TemplateStringsArray} words
 * @param {Shown[]} values
 */
function lineOf(stream, words, values) {
  const shown = values.map((value) => coloured(stream, harmless(textOf(value)), styleOf(value)));
  return `${words.reduce((line, word, place) => line + shown[place - 1] + word)}\n`;
}

/** @param {Shown} value */
function textOf(value) {
  return typeof value === 'object' ? value.text : String(value);
}

/** @param {Shown} value */
function styleOf(value) {
  return typeof value === 'object' ? value.style : undefined;
}

/**
 * @param {NodeJS.WriteStream | null} stream
 * @param {string} text
 * @param {Style} [style]
 */
function coloured(stream, text, style) {
  return style && stream && isColourful(stream) ? createColors(true)[style](text) : text;
}

/** @param {NodeJS.WriteStream} stream */
function isColourful(stream) {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR) return false;
  if (FORCE_COLOR !== undefined) return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false';
  return Boolean(stream.isTTY) && TERM !== 'dumb';
}

/** @param {Style} style */
const styled = (style) => (/** @type {string} */ text) => ({ text, style });
const [bold, dim, green, red, yellow] = /** @type {const} */ (['bold', 'dim', 'green', 'red', 'yellow']).map(styled);

/**
 * Any value of a capsule, as a cell.
 *
 * @param {unknown} value
 */
function cell(value) {
  if (value === null || value === undefined) return '';
  return typeof value === 'object' ? jsonText(value) : String(value);
}

/**
 * A memory's time to the minute, in UTC; as it stands there if it is none for JavaScript.
 *
 * @param {unknown} value
 */
function time(value) {
  const isTime = typeof value === 'string' || typeof value === 'number';
  return minuteOf(value, isTime ? new Date(value).getTime() : Number.NaN);
}

/**
 * The same of a construct's capsule.
 *
 * @param {unknown} value
 */
function capsuleTime(value) {
  return minuteOf(value, timeOfCapsule(value));
}

/**
 * @param {unknown} value
 * @param {number} milliseconds
 */
function minuteOf(value, milliseconds) {
  if (Number.isNaN(milliseconds)) return cell(value);
  return new Date(milliseconds)
    .toISOString()
    .replace('T', ' ')
    .replace(/:\d\d\.\d+Z$/, '');
}

module.exports = { Output, bold, capsuleTime, cell, dim, green, red, time, yellow };
