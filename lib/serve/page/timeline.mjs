// A user's memories, the newest first, and those that arrive.

import { address, count, counted, day, element, empty, failed, moment, named, plain, userName } from './elements.mjs';
import { ask } from './source.mjs';

const PAGE = 100;
/** A text of more characters is folded. */
const LONG = 900;
const SETTLE = 250;
/** Whoever has scrolled further does not see what appears above. */
const SCROLLED = 300;
const MOST_MARKS = 500;

/** @typedef {import('./main.mjs').Page} Page */
/**
 * @typedef {object} Row
 * @property {string} id
 * @property {string} type
 * @property {number | null} time
 * @property {string} timestamp
 * @property {string} role
 * @property {string} content
 * @property {number} length
 * @property {string[]} tags
 * @property {string} session
 * @property {string} kind
 * @property {string} from
 * @property {boolean} isUnsound
 */

/**
 * @param {Page} page
 * @param {URLSearchParams} query
 * @param {AbortSignal} left Aborted when another view is shown.
 */
export function timeline(page, query, left) {
  const { overview: vault } = page;
  const filter = {
    user: query.get('user') ?? (query.get('construct') === null ? (vault.users[0] ?? '') : ''),
    construct: query.get('construct') ?? '',
    role: query.get('role') ?? '',
    since: query.get('since') ?? '',
    until: query.get('until') ?? '',
    tags: query.get('tags') ?? '',
  };
  let question = questionOf(filter);
  /** Ends what is under way for other filters. */
  let asking = new AbortController();

  const list = element('div', { class: 'memories' });
  const status = element('p', { class: 'status quiet', role: 'status' });
  const more = element(
    'button',
    { type: 'button', class: 'more', hidden: true, click: () => load() },
    'Show older memories',
  );
  const text = element('input', {
    type: 'search',
    name: 'text',
    placeholder: 'Text in what is shown',
    'aria-label': 'Text in what is shown',
  });
  const fresh = element('button', {
    type: 'button',
    class: 'fresh',
    hidden: true,
    click: () => scrollTo({ top: 0, behavior: 'smooth' }),
  });
  const changed = element(
    'p',
    { class: 'notice', hidden: true },
    'Memories have come, changed or gone. ',
    element('button', { type: 'button', click: () => begin() }, 'Show as they are now'),
  );

  /** @type {{ row: Row, key: string, item: HTMLElement, lower: string }[]} */
  const shown = [];
  const keys = new Set();
  /** @type {number | null} */
  let next = 0;
  let isLoading = false;

  /** @param {Row} row */
  const entry = (row) => {
    // A memory capsule is its file; where it states no time, it has another at each question.
    const rest = row.type === 'capsule' ? [] : [row.timestamp, row.length, row.content.slice(0, 80)];
    const key = JSON.stringify([row.type, row.id, ...rest]);
    return { row, key, item: memory(row), lower: row.content.toLowerCase() };
  };

  const load = async () => {
    if (isLoading || next === null) return;
    const { signal } = asking;
    isLoading = true;
    more.disabled = true;
    list.setAttribute('aria-busy', 'true');
    if (shown.length === 0) status.textContent = 'Loading memories…';
    try {
      const found = await ask('/api/memories', { ...question, offset: next, limit: PAGE }, signal);
      const entries = found.memories.map(entry);
      for (const each of entries) {
        keys.add(each.key);
        append(list, each.item, each.row);
      }
      shown.push(...entries);
      next = found.next;
      if (found.next === null && found.isMore) {
        list.append(element('p', { class: 'quiet' }, 'There are more: give a time, to see those further back.'));
      }
      tell();
    } catch (error) {
      if (signal.aborted || page.isRefused(error)) return;
      status.textContent = '';
      const notice = failed(error, () => {
        notice.remove();
        load();
      });
      list.append(notice);
      more.hidden = true;
      return;
    } finally {
      if (!signal.aborted) {
        isLoading = false;
        more.disabled = false;
        list.removeAttribute('aria-busy');
      }
    }
    // What follows is fetched when its place is seen.
    seen.unobserve(more);
    if (next !== null && text.value === '') seen.observe(more);
  };

  const seen = new IntersectionObserver((entries) => entries.some(({ isIntersecting }) => isIntersecting) && load(), {
    rootMargin: '600px',
  });
  left.addEventListener('abort', () => {
    asking.abort();
    seen.disconnect();
  });

  /** Begins anew, with what the filters are now. What a person is doing in them goes on. */
  const begin = () => {
    asking.abort();
    asking = new AbortController();
    question = questionOf(filter);
    shown.length = 0;
    [next, isLoading] = [0, false];
    keys.clear();
    more.hidden = true;
    changed.hidden = true;
    if (filter.user === '' && filter.construct === '') {
      status.textContent = '';
      list.replaceChildren(nobody());
      return;
    }
    list.replaceChildren();
    scrollTo(0, 0);
    load();
  };

  /** Shows what has the text, and says how much there is. */
  const tell = () => {
    const wanted = text.value.trim().toLowerCase();
    let matching = 0;
    for (const { item, lower, row } of shown) {
      const isMatch =
        wanted === '' || lower.includes(wanted) || row.tags.some((tag) => tag.toLowerCase().includes(wanted));
      item.hidden = !isMatch;
      if (isMatch) matching += 1;
    }
    for (const section of list.querySelectorAll('section')) section.hidden = !section.querySelector('li:not([hidden])');
    mark(shown, wanted);
    more.hidden = next === null;
    const isAll = next === null ? '' : ', and there are older ones';
    if (shown.length === 0 && next === null) {
      status.textContent = '';
      list.replaceChildren(nothing(filter));
    } else if (wanted === '') {
      status.textContent = `${counted(shown.length, 'memory', 'memories')}${next === null ? '' : ' so far; older ones follow'}`;
    } else {
      status.textContent = `${count(matching)} of the ${count(shown.length)} that are shown have this text${isAll}`;
    }
  };

  let settling = 0;
  text.addEventListener('input', () => {
    clearTimeout(settling);
    settling = window.setTimeout(() => {
      tell();
      if (text.value === '' && next !== null) seen.observe(more);
      else seen.unobserve(more);
    }, SETTLE);
  });

  /** What has arrived comes above what is there. */
  const refresh = async () => {
    const { signal } = asking;
    try {
      const { memories } = await ask('/api/memories', { ...question, limit: PAGE }, signal);
      const arrived = memories.map(entry).filter((/** @type {any} */ { key }) => !keys.has(key));
      if (arrived.length === 0) return;
      // So many at once that there may be others below. Whoever reads further down is not torn away.
      if (arrived.length === memories.length && shown.length > 0) {
        if (scrollY > SCROLLED) changed.hidden = false;
        else begin();
        return;
      }
      if (shown.length === 0) list.replaceChildren();
      for (const each of arrived.toReversed()) {
        keys.add(each.key);
        each.item.classList.add('new');
        place(list, shown, each);
      }
      if (next !== null) next += arrived.length;
      tell();
      page.announce(`${counted(arrived.length, 'new memory', 'new memories')}`);
      if (scrollY > SCROLLED) {
        fresh.textContent = `↑ ${counted(arrived.length, 'new memory', 'new memories')}`;
        fresh.hidden = false;
      }
    } catch (error) {
      // The next event tries again.
      page.isRefused(error);
    }
  };
  page.onEvents(left, (events) => {
    const own = events.filter(({ userId, format }) =>
      format === 'memory' ? userId === filter.user : filter.construct !== '',
    );
    if (own.some(({ kind }) => kind === 'imported')) refresh();
    if (own.some(({ kind }) => kind === 'removed' || kind === 'updated')) changed.hidden = false;
  });
  addEventListener('scroll', () => scrollY <= SCROLLED && fresh.setAttribute('hidden', ''), {
    signal: left,
    passive: true,
  });

  page.onUpdate(left, () => {
    if (filter.user === '' && filter.construct === '' && page.overview.users.length > 0) page.render();
  });
  begin();
  return element(
    'div',
    {},
    element('h1', {}, 'Timeline'),
    form(page, filter, text, begin),
    changed,
    status,
    fresh,
    list,
    more,
  );
}

function nobody() {
  const said = 'A user’s memories appear here once the vault has one.';
  return empty(element('h2', {}, 'No user chosen'), element('p', {}, said));
}

/**
 * What the server is asked for: a day that is given as the end counts to its end, in the reader's own time.
 *
 * @param {Record<string, string>} filter
 */
function questionOf({ user, construct, role, since, until, tags }) {
  return {
    user,
    construct,
    role,
    since: boundary(since, '00:00:00.000'),
    until: boundary(until, '23:59:59.999'),
    tag: tags.split(',').map((tag) => tag.trim()),
  };
}

/** @param {string} date @param {string} clock */
function boundary(date, clock) {
  const time = new Date(`${date}T${clock}`);
  return date === '' || Number.isNaN(time.getTime()) ? '' : time.toISOString();
}

/**
 * @param {Page} page
 * @param {Record<string, string>} filter
 * @param {HTMLInputElement} text
 * @param {() => void} begin What is done when the filters are others.
 */
function form({ overview: vault }, filter, text, begin) {
  const field = (/** @type {string} */ label, /** @type {HTMLElement} */ input) =>
    element('label', {}, element('span', {}, label), input);
  const users = [...new Set([...(filter.user === '' ? [] : [filter.user]), ...vault.users])];
  const chosen = (/** @type {string} */ value, /** @type {string} */ label, /** @type {string} */ now) =>
    element('option', { value, selected: value === now }, label);
  const constructs = element('select', { name: 'construct' });
  const fill = () => {
    const own = vault.constructs.filter(({ owner }) => owner === null || owner === filter.user || filter.user === '');
    const names = new Set([filter.construct, ...own.map(({ name }) => name)].filter((name) => name !== ''));
    const options = Array.from(names, (name) => chosen(name, plain(name), filter.construct));
    constructs.replaceChildren(chosen('', 'none', filter.construct), ...options);
  };
  fill();
  const input = (/** @type {string} */ name, /** @type {string} */ type, rest = {}) => {
    const made = element('input', { type, name, ...rest });
    made.value = filter[name];
    return made;
  };
  const made = element(
    'form',
    { class: 'filters' },
    field(
      'User',
      element(
        'select',
        { name: 'user' },
        chosen('', 'nobody’s: the construct alone', filter.user),
        ...users.map((user) => chosen(user, userName(user), filter.user)),
      ),
    ),
    field('With the construct', constructs),
    field('Role', input('role', 'text', { list: 'roles', placeholder: 'any', autocomplete: 'off' })),
    element(
      'datalist',
      { id: 'roles' },
      ...['user', 'assistant', 'system'].map((value) => element('option', { value })),
    ),
    field('From', input('since', 'date')),
    field('To', input('until', 'date')),
    field('Tags', input('tags', 'text', { placeholder: 'all of: recipe, family', autocomplete: 'off' })),
    field('Text', text),
  );
  const go = () => {
    const before = { ...filter };
    for (const name of Object.keys(filter)) {
      const { value } = /** @type {HTMLInputElement | HTMLSelectElement} */ (made.elements.namedItem(name));
      filter[name] = name === 'role' || name === 'tags' ? value.trim() : value;
    }
    if (Object.keys(filter).every((name) => filter[name] === before[name])) return;
    if (filter.user !== before.user) {
      // Another's construct may have the same name, but nobody has asked for it.
      filter.construct = '';
      fill();
    }
    history.pushState(null, '', address('timeline', filter));
    begin();
  };
  made.addEventListener('change', (event) => event.target !== text && go());
  made.addEventListener('submit', (event) => {
    event.preventDefault();
    go();
  });
  const isFiltered = ['construct', 'role', 'since', 'until', 'tags'].some((name) => filter[name] !== '');
  const folded = element('details', { class: 'panel', open: true }, element('summary', {}, 'Filters'), made);
  if (matchMedia('(width < 44rem)').matches && !isFiltered) folded.open = false;
  return folded;
}

/** @param {Record<string, string>} filter */
function nothing(filter) {
  const isFiltered = ['role', 'since', 'until', 'tags'].some((name) => filter[name] !== '');
  return empty(
    element('h2', {}, 'No memories'),
    element('p', {}, isFiltered ? 'None that the filters let through.' : 'There are none here yet.'),
    isFiltered &&
      element(
        'a',
        { href: address('timeline', { user: filter.user, construct: filter.construct }) },
        'Take the filters off',
      ),
  );
}

/** @param {Row} row */
const dayOf = (row) => (row.time === null ? 'No date' : day(row.time));

/** @param {string} name */
function section(name) {
  return element('section', { 'data-day': name }, element('h2', {}, name), element('ol'));
}

/**
 * @param {HTMLElement} list
 * @param {HTMLElement} item
 * @param {Row} row
 */
function append(list, item, row) {
  const last = /** @type {HTMLElement | null} */ (list.lastElementChild);
  let day = last?.dataset.day === dayOf(row) ? last : null;
  if (day === null) {
    day = section(dayOf(row));
    list.append(day);
  }
  day.lastElementChild?.append(item);
}

/**
 * Puts what has arrived where its time belongs among those that are shown.
 *
 * @param {HTMLElement} list
 * @param {{ row: Row, key: string, item: HTMLElement, lower: string }[]} shown
 * @param {{ row: Row, key: string, item: HTMLElement, lower: string }} arrived
 */
function place(list, shown, arrived) {
  const time = arrived.row.time ?? Number.POSITIVE_INFINITY;
  const found = shown.findIndex(({ row }) => row.time !== null && row.time <= time);
  const at = found === -1 ? shown.length : found;
  const before = shown[at];
  shown.splice(at, 0, arrived);
  if (!before) {
    append(list, arrived.item, arrived.row);
  } else if (dayOf(before.row) === dayOf(arrived.row)) {
    before.item.before(arrived.item);
  } else {
    const own = before.item.closest('section');
    const previous = /** @type {HTMLElement | null} */ (own?.previousElementSibling);
    const day = previous?.dataset.day === dayOf(arrived.row) ? previous : section(dayOf(arrived.row));
    if (day !== previous) own?.before(day);
    day.lastElementChild?.append(arrived.item);
  }
}

/** @param {Row} row */
function memory(row) {
  const { role, time, timestamp, type, session, kind, from, tags, content, length, isUnsound } = row;
  const known = ['user', 'assistant', 'system'].includes(role) ? role : 'other';
  const source =
    type === 'transcript'
      ? ['Session ', named(session)]
      : type === 'construct'
        ? [named(`${kind} memory of ${from}`)]
        : [named(from)];
  const body = element('div', { class: 'content', dir: 'auto' }, content);
  const isFolded = content.length > LONG;
  const fold = element('button', {
    type: 'button',
    class: 'link',
    'aria-expanded': 'false',
    click: () => {
      const isOpen = body.classList.toggle('folded') === false;
      fold.setAttribute('aria-expanded', String(isOpen));
      fold.textContent = isOpen ? 'Show less' : 'Show all';
    },
  });
  fold.textContent = 'Show all';
  if (isFolded) body.classList.add('folded');
  return element(
    'li',
    { class: `memory ${known}` },
    element(
      'div',
      { class: 'about' },
      element('span', { class: 'role' }, named(role === '' ? 'no role' : role)),
      moment(time, timestamp, time !== null),
      element('span', { class: 'source quiet' }, ...source),
      isUnsound && element('span', { class: 'badge bad' }, '✕ unsound'),
    ),
    content === '' ? element('p', { class: 'quiet' }, 'Without text') : body,
    isFolded && fold,
    length > content.length &&
      element('p', { class: 'quiet' }, `The first ${count(content.length)} of ${count(length)} characters`),
    tags.length > 0 &&
      element('ul', { class: 'tags', 'aria-label': 'Tags' }, ...tags.map((tag) => element('li', {}, named(tag)))),
  );
}

/**
 * Marks the text where it stands, without a change to the document. Browsers that can't leave it unmarked.
 *
 * @param {{ item: HTMLElement, lower: string }[]} shown
 * @param {string} wanted
 */
function mark(shown, wanted) {
  if (!('highlights' in CSS)) return;
  CSS.highlights.delete('found');
  if (wanted === '') return;
  const ranges = [];
  for (const { item, lower } of shown) {
    const node = item.querySelector('.content')?.firstChild;
    // Lower case can be longer than what it was made of.
    if (item.hidden || !node || lower.length !== node.nodeValue?.length) continue;
    for (
      let at = lower.indexOf(wanted);
      at !== -1 && ranges.length < MOST_MARKS;
      at = lower.indexOf(wanted, at + wanted.length)
    ) {
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, at + wanted.length);
      ranges.push(range);
    }
  }
  CSS.highlights.set('found', new Highlight(...ranges));
}
