// One construct: its traits, its versions, and the verdicts on them.

import {
  address,
  badge,
  bars,
  count,
  counted,
  element,
  empty,
  failed,
  moment,
  named,
  plain,
  radar,
  readable,
  size,
  userName,
} from './elements.mjs';
import { ask } from './source.mjs';

/** So many corners can be told apart. */
const [FEWEST_CORNERS, MOST_CORNERS] = [3, 12];

/** @typedef {import('./main.mjs').Page} Page */
/** @typedef {import('./main.mjs').Construct} Construct */
/** @typedef {{ group: string, name: string, value: number | string }} Entry */

/**
 * @param {Page} page
 * @param {URLSearchParams} query
 * @param {AbortSignal} left
 */
export function construct(page, query, left) {
  const [name, owner, wanted] = [query.get('name') ?? '', query.get('owner'), query.get('version')];
  const find = () =>
    page.overview.constructs.find(
      (each) =>
        each.owner === owner &&
        (sameName(each.name) === sameName(name) || each.versions.some(({ path }) => path === wanted)),
    );
  const found = find();
  if (!found) {
    page.onUpdate(left, () => find() && page.render());
    return element(
      'div',
      {},
      element('h1', {}, named(name)),
      empty(
        element('p', {}, 'The vault has no capsule of this construct.'),
        element('a', { href: address('') }, 'All constructs'),
      ),
    );
  }
  const shown = found.versions.find(({ path }) => path === wanted) ?? found.versions[0];
  const contents = element('div', { 'aria-busy': 'true' }, element('p', { class: 'loading' }, 'Reading the capsule…'));
  /** @type {Map<string, string[]>} */
  const tags = new Map();
  const [verdict, versions] = [element('span'), element('div')];
  const tell = () => {
    verdict.replaceChildren(badge(page.verdictOn(shown.path)));
    versions.replaceChildren(table(page, found, shown.path, tags));
  };
  tell();
  page.onUpdate(left, () => {
    const isSame = JSON.stringify(find()?.versions) === JSON.stringify(found.versions);
    if (isSame) tell();
    else page.render();
  });
  const load = async () => {
    try {
      contents.replaceChildren(...content(await ask('/api/capsule', { path: shown.path }, left)));
    } catch (error) {
      if (left.aborted || page.isRefused(error)) return;
      contents.replaceChildren(failed(error, load));
    }
    contents.removeAttribute('aria-busy');
  };
  const loadTags = async () => {
    for (const instance of found.instances) {
      const told = await ask('/api/versions', { instance }, left).catch(
        (error) => !left.aborted && page.isRefused(error) && null,
      );
      for (const { filename, tags: own } of told?.versions ?? []) tags.set(`capsules/${instance}/${filename}`, own);
    }
    if (!left.aborted) tell();
  };
  load();
  loadTags();
  const memories = owner === null ? { construct: found.name } : { user: owner, construct: found.name };
  return element(
    'div',
    {},
    element(
      'p',
      { class: 'quiet' },
      element('a', { href: address('') }, 'Overview'),
      owner === null ? ' / the vault’s own' : element('bdi', {}, ` / ${userName(owner)}`),
    ),
    element('h1', {}, named(found.name)),
    element(
      'p',
      {},
      verdict,
      ' ',
      element('span', { class: 'quiet' }, shown === found.versions[0] ? 'newest version, ' : 'older version, '),
      moment(shown.time, shown.timestamp),
      ' · ',
      element('a', { href: address('timeline', memories) }, 'Its memories'),
    ),
    contents,
    element(
      'section',
      { class: 'panel', 'aria-labelledby': 'versions' },
      element('h2', { id: 'versions' }, 'Versions'),
      versions,
    ),
  );
}

/** @param {string} name */
const sameName = (name) => name.toLowerCase().replace(/^gpt-/, '').replace(/-001$/, '');

/** @param {any} capsule */
function content(capsule) {
  const unsound =
    capsule.reason !== null &&
    element(
      'div',
      { class: 'notice bad' },
      element('p', {}, element('strong', {}, 'This capsule is not sound. '), element('bdi', {}, plain(capsule.reason))),
      element(
        'p',
        {},
        'It is left out of memories and restores. What it says is shown here, and may not be what its writer wrote.',
      ),
    );
  if (!capsule.isReadable)
    return [unsound, empty(element('p', {}, 'It can’t be read as a capsule.'))].filter((each) => each !== false);
  const kinds = capsule.memoryKinds.map(
    (/** @type {[string, number]} */ [kind, many]) => `${count(many)} ${plain(kind)}`,
  );
  const facts = [
    ['Calls itself', capsule.instanceName],
    ['UUID', capsule.uuid],
    ['Time', capsule.timestamp],
    ['Memories', `${count(capsule.memoryCount)}${kinds.length > 0 ? ` (${kinds.join(', ')})` : ''}`],
    ['File', capsule.path],
  ].filter(([, value]) => value !== '');
  return [
    unsound,
    element(
      'div',
      { class: 'columns even' },
      element(
        'section',
        { class: 'panel', 'aria-labelledby': 'traits' },
        element('h2', { id: 'traits' }, 'Traits'),
        traits(capsule.traits),
      ),
      element(
        'section',
        { class: 'panel', 'aria-labelledby': 'personality' },
        element('h2', { id: 'personality' }, 'Personality'),
        groups(capsule.personality),
      ),
    ),
    element(
      'section',
      { class: 'panel', 'aria-labelledby': 'capsule' },
      element('h2', { id: 'capsule' }, 'Capsule'),
      element(
        'dl',
        { class: 'facts' },
        ...facts.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, named(value))]),
      ),
    ),
  ].filter((each) => each !== false);
}

/** @param {{ entries: Entry[], isMore: boolean }} told */
function traits({ entries, isMore }) {
  const numbers = numbersOf(entries, ({ group, name }) => (group === '' ? name : `${group} · ${name}`));
  const isRound =
    numbers.length >= FEWEST_CORNERS && numbers.length <= MOST_CORNERS && numbers.every(({ value }) => value >= 0);
  return element(
    'div',
    {},
    isRound && radar(numbers),
    numbers.length > 0 && bars(numbers),
    texts(entries),
    entries.length === 0 && empty(element('p', {}, 'It states no traits.')),
    isMore && element('p', { class: 'quiet' }, 'The first of many.'),
  );
}

/** @param {{ entries: Entry[], isMore: boolean }} told */
function groups({ entries, isMore }) {
  const names = [...new Set(entries.map(({ group }) => group))];
  const parts = names.map((name) => {
    const own = entries.filter(({ group }) => group === name);
    const numbers = numbersOf(own);
    const title = name !== '' && element('h3', {}, element('bdi', {}, readable(name)));
    return element('div', {}, title, numbers.length > 0 && bars(numbers), texts(own));
  });
  return element(
    'div',
    {},
    ...parts,
    entries.length === 0 && empty(element('p', {}, 'It states nothing of its personality.')),
    isMore && element('p', { class: 'quiet' }, 'The first of many.'),
  );
}

/** @param {Entry[]} entries */
function texts(entries) {
  const own = entries.filter((entry) => typeof entry.value === 'string' && entry.value !== '');
  if (own.length === 0) return false;
  const rows = own.flatMap(({ name, value }) => [
    element('dt', {}, element('bdi', {}, readable(name))),
    element('dd', {}, named(String(value))),
  ]);
  return element('dl', { class: 'facts' }, ...rows);
}

/**
 * The numbers among entries, each under its own name.
 *
 * @param {Entry[]} entries
 * @param {(entry: Entry) => string} [nameOf]
 */
function numbersOf(entries, nameOf = ({ name }) => name) {
  return entries.flatMap((entry) =>
    typeof entry.value === 'number' ? [{ name: nameOf(entry), value: entry.value }] : [],
  );
}

/**
 * @param {Page} page
 * @param {Construct} found
 * @param {string} shown
 * @param {Map<string, string[]>} tags
 */
function table(page, { name, owner, versions, count: many }, shown, tags) {
  const rows = versions.map((version) => {
    const verdict = page.verdictOn(version.path);
    const own = tags.get(version.path) ?? [];
    const link = element(
      'a',
      {
        href: address('construct', { name, owner, version: version.path }),
        ...(version.path === shown ? { 'aria-current': 'true' } : {}),
      },
      moment(version.time, version.timestamp),
    );
    return element(
      'tr',
      { class: version.path === shown ? 'current' : '' },
      element('th', { scope: 'row' }, link),
      element(
        'td',
        { 'data-label': 'Integrity' },
        badge(verdict),
        verdict?.reason && version.path !== shown
          ? element('div', { class: 'reason' }, element('bdi', {}, plain(verdict.reason)))
          : null,
      ),
      element(
        'td',
        { 'data-label': 'Tags' },
        own.length > 0 ? element('ul', { class: 'tags' }, ...own.map((tag) => element('li', {}, named(tag)))) : '–',
      ),
      element('td', { 'data-label': 'Size', class: 'size' }, size(version.size)),
      element('td', { 'data-label': 'File', class: 'path' }, named(version.path)),
    );
  });
  const head = ['Version', 'Integrity', 'Tags', 'Size', 'File'].map((title) => element('th', { scope: 'col' }, title));
  return element(
    'div',
    {},
    element(
      'div',
      { class: 'scrolling' },
      element('table', {}, element('thead', {}, element('tr', {}, ...head)), element('tbody', {}, ...rows)),
    ),
    many > versions.length &&
      element('p', { class: 'quiet' }, `The newest ${count(versions.length)} of ${counted(many, 'version')}.`),
  );
}
