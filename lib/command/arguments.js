'use strict';

// How arguments are read, and how help shows examples.

const { InvalidArgumentError } = require('commander');

/**
 * @param {number} least
 * @returns {(text: string) => number}
 */
const wholeNumber = (least) => (text) => {
  const number = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(number) && number >= least) return number;
  throw new InvalidArgumentError(`It must be a whole number, at least ${least}.`);
};

/** @param {string} text */
function date(text) {
  const parsed = new Date(text);
  if (!Number.isNaN(parsed.getTime())) return parsed;
  throw new InvalidArgumentError('It must be a date, such as 2026-01-31 or 2026-01-31T18:30:00Z.');
}

/**
 * For what would be no choice if it were empty, as an unset variable of a shell is.
 *
 * @param {string} text
 */
function nonEmpty(text) {
  if (text !== '') return text;
  throw new InvalidArgumentError('It must not be empty.');
}

/**
 * For options that can be given several times.
 *
 * @param {string} text
 * @param {string[]} [before]
 */
const several = (text, before = []) => [...before, text];

/**
 * The end of a subcommand's help.
 *
 * @param {string} json What `--json` prints.
 * @param {...string} lines What to type.
 */
function examples(json, ...lines) {
  return `\nWith --json: ${json}\n\nExamples:\n${lines.map((line) => `  $ ${/^\w+=/.test(line) ? line : `vvault ${line}`}`).join('\n')}`;
}

module.exports = { date, examples, nonEmpty, several, wholeNumber };
