// The verdicts on all files of the vault.

import { count, counted, element, empty, moment, named, plain } from './elements.mjs';

/** @typedef {import('./main.mjs').Page} Page */

/**
 * @param {Page} page
 * @param {URLSearchParams} _query
 * @param {AbortSignal} left
 */
export function integrity(page, _query, left) {
  const found = element('div', {}, shown(page));
  page.onUpdate(left, () => found.replaceChildren(shown(page)));
  return element('div', {}, element('h1', {}, 'Integrity'), found);
}

/** @param {Page} page */
function shown(page) {
  const { verdicts } = page;
  const again = element('button', { type: 'button', click: () => page.check() }, 'Check again');
  if (verdicts === null) {
    const waiting = page.isChecking ? 'Checking every file…' : 'The files have not been checked.';
    return element('div', {}, element('p', { class: 'loading' }, waiting), !page.isChecking && again);
  }
  const { count: many, unsound, unstated, problems } = verdicts;
  again.disabled = page.isChecking;
  const tile = (/** @type {string} */ name, /** @type {number} */ value, kind = '') =>
    element('div', { class: `tile ${kind}` }, element('dt', {}, name), element('dd', {}, count(value)));
  return element(
    'div',
    {},
    element(
      'dl',
      { class: 'tiles' },
      tile('Files checked', many),
      tile('Sound', many - unsound - unstated, 'good'),
      tile('State no hash', unstated),
      tile('Unsound', unsound, unsound > 0 ? 'bad' : ''),
    ),
    element(
      'p',
      { class: 'checked quiet' },
      page.isChecking ? 'Checking again… ' : 'Checked ',
      moment(Date.parse(verdicts.checked)),
      ' ',
      again,
    ),
    unsound === 0
      ? empty(
          element('h2', {}, many === 0 ? 'Nothing to check' : 'Nothing is unsound'),
          many > 0 && element('p', {}, 'Every hash that a file states is right.'),
        )
      : list(problems, unsound),
  );
}

/**
 * @param {import('./main.mjs').Checked[]} problems
 * @param {number} many
 */
function list(problems, many) {
  const rows = problems.map(({ path, format, reason }) =>
    element(
      'li',
      { class: 'problem' },
      element('p', { class: 'path' }, named(path)),
      element('p', { class: 'quiet' }, format === 'construct' ? 'a construct’s capsule' : 'one memory'),
      element('p', { class: 'reason' }, element('bdi', {}, plain(reason ?? ''))),
    ),
  );
  return element(
    'section',
    { 'aria-labelledby': 'unsound' },
    element('h2', { id: 'unsound' }, counted(many, 'unsound file')),
    element(
      'p',
      {},
      'What is unsound is left out of memories and restores. Whoever has looked at a construct’s capsule can release it with ',
      element('code', {}, 'vvault adopt'),
      '.',
    ),
    element('ul', { class: 'problems' }, ...rows),
    many > problems.length && element('p', { class: 'quiet' }, `${count(many - problems.length)} more.`),
  );
}
