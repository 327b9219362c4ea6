// The vault at a glance: what is in it, and what happens to it.

import { address, badge, count, counted, element, empty, moment, named, plain, userName } from './elements.mjs';

/** More are found by typing a part of the name. */
const SHOWN = 60;

/** @typedef {import('./main.mjs').Page} Page */

/**
 * @param {Page} page
 * @param {URLSearchParams} _query
 * @param {AbortSignal} left
 */
export function overview(page, _query, left) {
  const search = element('input', {
    type: 'search',
    placeholder: 'Find a construct or a user',
    'aria-label': 'Find a construct or a user',
  });
  const [numbers, kept, happened] = [element('div'), element('div'), element('div')];
  const fill = () => {
    const { overview: vault } = page;
    numbers.replaceChildren(tiles(page));
    const isEmpty = vault.userCount === 0 && vault.constructCount === 0;
    search.hidden = isEmpty;
    kept.replaceChildren(...(isEmpty ? [nothing()] : lists(page, search.value.trim().toLowerCase())));
  };
  const tell = () => happened.replaceChildren(activity(page));
  search.addEventListener('input', fill);
  page.onUpdate(left, fill);
  page.onEvents(left, tell);
  fill();
  tell();
  return element(
    'div',
    {},
    element('h1', {}, 'Overview'),
    numbers,
    element('div', { class: 'search' }, search),
    element(
      'div',
      { class: 'columns' },
      kept,
      element(
        'section',
        { 'aria-labelledby': 'activity' },
        element('h2', { id: 'activity' }, 'As it happens'),
        happened,
      ),
    ),
  );
}

function nothing() {
  return empty(
    element('h2', {}, 'This vault is empty'),
    element('p', {}, 'Capsules appear here as soon as they are stored in it, by whatever program.'),
  );
}

/**
 * @param {Page} page
 * @param {string} wanted
 */
function lists(page, wanted) {
  const isWanted = (/** @type {string} */ text) => text.toLowerCase().includes(wanted);
  const constructs = page.overview.constructs.filter(({ name, owner }) =>
    isWanted(`${name} ${owner === null ? '' : `${owner} ${userName(owner)}`}`),
  );
  const users = page.overview.users.filter((user) => isWanted(`${user} ${userName(user)}`));
  return [
    element(
      'section',
      { 'aria-labelledby': 'constructs' },
      element('h2', { id: 'constructs' }, 'Constructs'),
      listOfConstructs(page, constructs),
    ),
    element('section', { 'aria-labelledby': 'users' }, element('h2', { id: 'users' }, 'Users'), listOfUsers(users)),
  ];
}

/** @param {Page} page */
function tiles({ overview: vault, verdicts }) {
  const tile = (/** @type {string} */ name, /** @type {Node | string} */ value, kind = '') =>
    element('div', { class: `tile ${kind}` }, element('dt', {}, name), element('dd', {}, value));
  const unsound = verdicts?.unsound;
  return element(
    'dl',
    { class: 'tiles' },
    tile('Users', count(vault.userCount)),
    tile('Constructs', count(vault.constructCount)),
    tile('Capsules', count(vault.capsuleCount)),
    tile(
      'Unsound files',
      unsound === undefined ? '…' : element('a', { href: address('integrity') }, count(unsound)),
      unsound ? 'bad' : '',
    ),
  );
}

/**
 * @param {Page} page
 * @param {import('./main.mjs').Construct[]} constructs
 */
function listOfConstructs(page, constructs) {
  if (constructs.length === 0) return empty(element('p', {}, 'No construct.'));
  const cards = constructs.slice(0, SHOWN).map((construct) => {
    const { name, owner, versions, count: many } = construct;
    const [newest] = versions;
    return element(
      'li',
      {},
      element(
        'a',
        { class: 'card', href: address('construct', { name, owner }) },
        element('span', { class: 'card-name' }, named(name)),
        badge(page.verdictOn(newest.path)),
        element(
          'span',
          { class: 'quiet' },
          owner === null ? 'the vault’s own' : element('bdi', {}, `of ${userName(owner)}`),
        ),
        element('span', { class: 'quiet' }, counted(many, 'version'), ' · ', moment(newest.time, newest.timestamp)),
      ),
    );
  });
  return element('div', {}, element('ul', { class: 'cards' }, ...cards), rest(constructs.length));
}

/** @param {string[]} users */
function listOfUsers(users) {
  if (users.length === 0) return empty(element('p', {}, 'No user.'));
  const rows = users
    .slice(0, SHOWN)
    .map((user) =>
      element(
        'li',
        {},
        element(
          'a',
          { class: 'card', href: address('timeline', { user }) },
          element('span', { class: 'card-name' }, element('bdi', {}, userName(user))),
          element('span', { class: 'quiet' }, named(user)),
        ),
      ),
    );
  return element('div', {}, element('ul', { class: 'cards' }, ...rows), rest(users.length));
}

/** @param {number} many */
function rest(many) {
  return (
    many > SHOWN &&
    element('p', { class: 'quiet' }, `${count(many - SHOWN)} more: type a part of the name to find them.`)
  );
}

const WORDS = { imported: 'Imported', updated: 'Updated', removed: 'Removed', rejected: 'Rejected' };
const SIGNS = { imported: '+', updated: '↻', removed: '−', rejected: '✕' };

/** @param {Page} page */
export function activity({ events, overview: vault }) {
  if (events.length === 0) {
    const text = vault.isWatched ? 'What is imported from now on appears here at once.' : 'This vault is not watched.';
    return empty(element('p', {}, text));
  }
  const rows = events.map(({ event, time }) => {
    const { kind, format, path, userId, reason, memoryCount } = event;
    const name = event.constructId ?? (typeof event.instanceName === 'string' ? event.instanceName : null);
    const what = name ?? path.split('/').pop() ?? path;
    const link =
      format === 'construct' && name !== null && kind !== 'removed'
        ? address('construct', { name, owner: userId, version: path })
        : userId
          ? address('timeline', { user: userId })
          : null;
    return element(
      'li',
      { class: `event ${kind}` },
      element('span', { class: 'sign', 'aria-hidden': 'true' }, SIGNS[kind]),
      element(
        'div',
        {},
        element('p', {}, `${WORDS[kind]} `, link === null ? named(what) : element('a', { href: link }, named(what))),
        element(
          'p',
          { class: 'quiet' },
          moment(time, '', true),
          userId ? element('bdi', {}, ` · ${userName(userId)}`) : ' · the vault’s own',
          memoryCount ? ` · ${counted(memoryCount, 'memory', 'memories')}` : null,
        ),
        reason ? element('p', { class: 'reason' }, element('bdi', {}, plain(reason))) : null,
      ),
    );
  });
  return element('ol', { class: 'activity' }, ...rows);
}
