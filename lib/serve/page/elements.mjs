// Parts that every view is made of. Whatever comes from the vault becomes a text node, and nothing else.

/** @typedef {Node | string | null | false} Child */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * An element. Attributes' names and links are always this page's own.
 *
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, string | boolean | ((event: any) => void)>} [attributes] Functions listen to the event of that name.
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(key, value);
    else if (value !== false) made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children.filter(isThere));
  return made;
}

/** @param {Child} child @returns {child is Node | string} */
function isThere(child) {
  return child !== null && child !== false;
}

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children
 * @returns {SVGElement}
 */
function drawn(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

/**
 * A name from the vault, which can't change the direction of what stands around it, nor hide signs.
 *
 * @param {string} text
 */
export function named(text) {
  return element('bdi', {}, plain(text));
}

/**
 * @param {string} text
 */
export function plain(text) {
  return text.replaceAll(/[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu, '\ufffd');
}

/**
 * A link to a view of this page.
 *
 * @param {string} view
 * @param {Record<string, string | null | undefined>} [query]
 */
export function address(view, query = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) search.set(name, value);
  const text = search.toString();
  return `#/${view}${text === '' ? '' : `?${text}`}`;
}

/** The page is in English; how dates look is the reader's own, if that is English too. */
const LANGUAGE = navigator.languages.find((language) => language.startsWith('en')) ?? 'en-GB';
const DAY = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: 'full' });
const MOMENT = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: 'medium', timeStyle: 'short' });
const CLOCK = new Intl.DateTimeFormat(LANGUAGE, { timeStyle: 'short' });
const COUNT = new Intl.NumberFormat(LANGUAGE);
const BYTES = new Intl.NumberFormat(LANGUAGE, { maximumSignificantDigits: 3 });

/** Dates beyond what can be told are told as they are. @param {Intl.DateTimeFormat} format @param {number} time */
const formatted = (format, time) => (Math.abs(time) < 8.64e15 ? format.format(time) : String(time));

/** @param {number} time */
export const day = (time) => formatted(DAY, time);
/** @param {number} number */
export const count = (number) => COUNT.format(number);

/**
 * @param {number} number
 * @param {string} one
 * @param {string} [many]
 */
export const counted = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/**
 * @param {number | null} time
 * @param {string} [otherwise] What is told where there is no time.
 * @param {boolean} [isClock] The time of day alone.
 */
export function moment(time, otherwise = 'no date', isClock = false) {
  if (time === null) return named(otherwise === '' ? 'no date' : otherwise);
  const iso = Math.abs(time) <= 8.64e15 ? new Date(time).toISOString() : '';
  return element('time', { datetime: iso, title: iso }, formatted(isClock ? CLOCK : MOMENT, time));
}

/** @param {number} bytes */
export function size(bytes) {
  const units = ['bytes', 'KB', 'MB', 'GB'];
  const step = Math.min(Math.floor(Math.log(Math.max(bytes, 1)) / Math.log(1024)), units.length - 1);
  return `${BYTES.format(bytes / 1024 ** step)} ${units[step]}`;
}

/**
 * A user's id as a name: VVAULT makes ids of a name and the time.
 *
 * @param {string} id
 */
export function userName(id) {
  const name = /^(.+?)_\d{13}$/.exec(id)?.[1];
  if (name === undefined) return plain(id);
  return plain(name)
    .split('_')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join(' ');
}

/** @typedef {{ integrity: { valid: boolean | null, recipe: string | null, tether: boolean | null }, reason: string | null }} Verdict */

/**
 * The verdict on a capsule: a sign, words and a colour.
 *
 * @param {Verdict | null | undefined} verdict `null` where it is not known yet.
 */
export function badge(verdict) {
  const [kind, sign, text, title] = told(verdict);
  return element(
    'span',
    { class: `badge ${kind}`, title },
    element('span', { 'aria-hidden': 'true' }, sign),
    ` ${text}`,
  );
}

/**
 * @param {Verdict | null | undefined} verdict
 * @returns {[string, string, string, string]}
 */
function told(verdict) {
  if (!verdict) return ['', '…', 'checking', 'The capsule is being checked'];
  const { integrity, reason } = verdict;
  if (reason !== null) return ['bad', '✕', 'unsound', plain(reason)];
  const tether = integrity.tether ? ', with the expected tether' : '';
  if (integrity.valid === null) return ['weak', '○', 'no hash', `The capsule states no hash to compare with${tether}`];
  const recipe = integrity.recipe ?? '';
  if (recipe === 'F3')
    return ['weak', '!', 'F3 only', 'The hash covers hardly anything: memories and traits may have been changed'];
  return ['good', '✓', `sound, ${recipe}`, `The stated hash is right, by recipe ${recipe}${tether}`];
}

/**
 * Makes parts of the document anew; a link in them that has the focus has it afterwards.
 *
 * @param {HTMLElement} within
 * @param {() => void} change
 */
export function keepingFocus(within, change) {
  const { activeElement: active } = document;
  const link = active !== null && within.contains(active) ? active.getAttribute('href') : null;
  change();
  if (link === null || within.contains(active)) return;
  const same = [...within.querySelectorAll('a')].find((each) => each.getAttribute('href') === link);
  same?.focus({ preventScroll: true });
}

/** @param {...Child} children */
export function empty(...children) {
  return element('div', { class: 'empty' }, ...children);
}

/**
 * @param {unknown} error
 * @param {() => void} again
 */
export function failed(error, again) {
  const message =
    error instanceof TypeError ? 'The server can’t be reached.' : plain(`${/** @type {any} */ (error)?.message}`);
  return element(
    'div',
    { class: 'notice bad', role: 'alert' },
    element('p', {}, message),
    element('button', { type: 'button', click: again }, 'Try again'),
  );
}

/** @typedef {{ name: string, value: number }} Bar */

/** What full length means: the usual scales, else the largest value. @param {Bar[]} bars */
function scaleOf(bars) {
  const largest = Math.max(...bars.map(({ value }) => Math.abs(value)));
  return [1, 10, 100].find((scale) => largest <= scale) ?? largest;
}

/** @param {string} name */
export const readable = (name) => plain(name).replaceAll(/(?<=[\p{L}\p{N}])_(?=[\p{L}\p{N}])/gu, ' ');

/**
 * Values as bars, each with its name and its number as text.
 *
 * @param {Bar[]} bars
 */
export function bars(bars) {
  const scale = scaleOf(bars);
  const zero = bars.some(({ value }) => value < 0) ? 50 : 0;
  const rows = bars.flatMap(({ name, value }) => {
    const length = (Math.abs(value) / scale) * (100 - zero) || 0;
    const begin = value < 0 ? zero - length : zero;
    const bar = drawn(
      'svg',
      { class: 'bar-chart', viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      drawn('rect', { class: 'track', width: 100, height: 8 }),
      drawn('rect', { class: value < 0 ? 'fill below' : 'fill', x: begin, width: length, height: 8 }),
    );
    return [
      element('dt', {}, element('bdi', {}, readable(name))),
      element('dd', {}, bar, element('span', {}, String(value))),
    ];
  });
  return element(
    'div',
    {},
    element('dl', { class: 'bars' }, ...rows),
    element('p', { class: 'scale' }, `Full length: ${scale}`),
  );
}

/**
 * Values as a shape around a centre. The bars beside it tell the same as text.
 *
 * @param {Bar[]} bars At least three.
 */
export function radar(bars) {
  const scale = scaleOf(bars);
  const [width, height, radius] = [420, 290, 112];
  const at = (/** @type {number} */ place, /** @type {number} */ part) => {
    const angle = (place / bars.length) * 2 * Math.PI - Math.PI / 2;
    return [width / 2 + Math.cos(angle) * radius * part, height / 2 + Math.sin(angle) * radius * part];
  };
  const ring = (/** @type {number} */ part) => bars.map((_, place) => at(place, part).map(round).join(',')).join(' ');
  const part = (/** @type {Bar} */ { value }) => Math.max(0, value) / scale;
  const shape = bars.map((bar, place) => at(place, part(bar)));
  return drawn(
    'svg',
    { class: 'radar', viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true' },
    ...[0.25, 0.5, 0.75, 1].map((each) => drawn('polygon', { class: 'ring', points: ring(each) })),
    ...bars.map((_, place) => {
      const [x, y] = at(place, 1).map(round);
      return drawn('line', { class: 'ring', x1: width / 2, y1: height / 2, x2: x, y2: y });
    }),
    drawn('polygon', { class: 'shape', points: shape.map((point) => point.map(round).join(',')).join(' ') }),
    ...shape.map(([x, y]) => drawn('circle', { class: 'point', cx: round(x), cy: round(y), r: 3.5 })),
    ...bars.map(({ name }, place) => {
      const [x, y] = at(place, 1.14);
      const side = Math.abs(x - width / 2) < 8 ? 'middle' : x > width / 2 ? 'start' : 'end';
      const text = readable(name);
      const label = text.length > 15 ? `${text.slice(0, 14)}…` : text;
      return drawn('text', { x: round(x), y: round(y + 4), 'text-anchor': side }, label);
    }),
  );
}

/** @param {number} number */
const round = (number) => Math.round(number * 100) / 100;
