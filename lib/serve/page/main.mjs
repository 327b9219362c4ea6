// The page: what is known of the vault, which view is shown, and what happens meanwhile.

import { construct } from './construct.mjs';
import { counted, element, failed, keepingFocus, plain } from './elements.mjs';
import { integrity } from './integrity.mjs';
import { overview } from './overview.mjs';
import { ask, follow, forgetToken, keepToken, Unauthorized } from './source.mjs';
import { timeline } from './timeline.mjs';

/** @typedef {import('./source.mjs').VaultEvent} VaultEvent */
/** @typedef {import('./elements.mjs').Verdict} Verdict */
/** @typedef {Verdict & { path: string, format: string }} Checked */
/** @typedef {{ path: string, uuid: string, timestamp: string, time: number, size: number }} Version */
/** @typedef {{ owner: string | null, name: string, instances: string[], count: number, versions: Version[] }} Construct */
/**
 * @typedef {object} Overview
 * @property {string} vault
 * @property {boolean} isWatched
 * @property {string[]} users
 * @property {number} userCount
 * @property {Construct[]} constructs
 * @property {number} constructCount
 * @property {number} capsuleCount
 */
/** @typedef {{ checked: string, count: number, unsound: number, unstated: number, problems: Checked[], constructs: Checked[] }} Verdicts */

const MOST_EVENTS = 100;
/** A storm of events is dealt with so many milliseconds after its first. */
const GATHER = 300;
/** The whole is asked for again so many milliseconds after something has happened, and not again before it has come. */
const RELOAD = 700;

const main = /** @type {HTMLElement} */ (document.getElementById('main'));
const live = /** @type {HTMLElement} */ (document.getElementById('live'));
const announcement = /** @type {HTMLElement} */ (document.getElementById('announcement'));
const navigation = /** @type {HTMLElement} */ (document.querySelector('nav'));

const TITLES = { '': 'Overview', timeline: 'Timeline', construct: 'Construct', integrity: 'Integrity' };

/** What the views share. */
export class Page {
  /** @type {Overview} */
  overview = {
    vault: '',
    isWatched: false,
    users: [],
    userCount: 0,
    constructs: [],
    constructCount: 0,
    capsuleCount: 0,
  };
  /** @type {Verdicts | null} */
  verdicts = null;
  isChecking = false;
  /** @type {{ event: VaultEvent, time: number }[]} */
  events = [];
  /** @type {Map<string, Verdict>} */
  #byPath = new Map();
  /** @type {Set<(events: VaultEvent[]) => void>} */
  #listeners = new Set();
  /** @type {Set<() => void>} */
  #updaters = new Set();
  /** @type {VaultEvent[]} */
  #gathered = [];
  #isFollowing = false;
  #shown = new AbortController();
  /** @type {'no' | 'yes' | 'and again'} */
  #isReloading = 'no';

  async open() {
    main.setAttribute('aria-busy', 'true');
    try {
      this.overview = await ask('/api/overview');
    } catch (error) {
      if (!this.isRefused(error)) main.replaceChildren(failed(error, () => this.open()));
      main.removeAttribute('aria-busy');
      return;
    }
    const name = plain(this.overview.vault);
    /** @type {HTMLElement} */ (document.getElementById('vault-name')).textContent = name;
    navigation.hidden = false;
    this.render();
    this.check();
    this.#follow();
  }

  /** Shows the view that the address names. */
  render({ isMove = false } = {}) {
    this.#shown.abort();
    this.#shown = new AbortController();
    const { signal } = this.#shown;
    const [view, search] = /** @type {[keyof typeof TITLES, string?]} */ (
      location.hash.replace(/^#\/?/, '').split('?', 2)
    );
    const query = new URLSearchParams(search);
    const views = { '': overview, timeline, construct, integrity };
    const isKnown = Object.hasOwn(views, view);
    const made = isKnown
      ? views[view](this, query, signal)
      : element('div', {}, element('h1', {}, 'There is no such view'));
    main.replaceChildren(made);
    main.removeAttribute('aria-busy');
    const title = isKnown ? TITLES[view] : 'Not found';
    document.title = `${title} · ${plain(this.overview.vault)}`;
    for (const link of navigation.querySelectorAll('a')) {
      if (link.dataset.view === view) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    if (!isMove) return;
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }

  /** Asks for the verdicts on all files. */
  async check() {
    this.isChecking = true;
    this.#update();
    try {
      this.verdicts = /** @type {Verdicts} */ (await ask('/api/verdicts'));
      this.#byPath = new Map(this.verdicts.constructs.map((checked) => [checked.path, checked]));
    } catch (error) {
      if (this.isRefused(error)) return;
      this.announce('The files could not be checked');
    } finally {
      this.isChecking = false;
    }
    this.#update();
  }

  /** @param {string} path */
  verdictOn(path) {
    return this.#byPath.get(path) ?? null;
  }

  /**
   * Hands a view what happens, some events at a time, for as long as it is shown.
   *
   * @param {AbortSignal} left
   * @param {(events: VaultEvent[]) => void} listener
   */
  onEvents(left, listener) {
    this.#listeners.add(listener);
    left.addEventListener('abort', () => this.#listeners.delete(listener));
  }

  /**
   * Tells a view that the overview or the verdicts are others, for as long as it is shown.
   *
   * @param {AbortSignal} left
   * @param {() => void} updater
   */
  onUpdate(left, updater) {
    this.#updaters.add(updater);
    left.addEventListener('abort', () => this.#updaters.delete(updater));
  }

  /** @param {string} text */
  announce(text) {
    announcement.textContent = text;
  }

  /**
   * Whether an error says that a token is needed; if so, it is asked for.
   *
   * @param {unknown} error
   */
  isRefused(error) {
    if (!(error instanceof Unauthorized)) return false;
    this.#shown.abort();
    navigation.hidden = true;
    live.hidden = true;
    main.replaceChildren(door());
    main.querySelector('input')?.focus();
    return true;
  }

  #update() {
    // A copy: one may show another view, which adds its own.
    for (const updater of [...this.#updaters]) keepingFocus(main, updater);
  }

  #follow() {
    live.hidden = !this.overview.isWatched;
    if (this.#isFollowing || live.hidden) return;
    this.#isFollowing = true;
    follow({
      onEvent: (event) => this.#take(event),
      onReset: () => this.#reload(true),
      onState: (state) => {
        live.className = `live ${state}`;
        live.textContent = state === 'live' ? 'Live' : 'Reconnecting…';
      },
      onUnauthorized: () => {
        this.#isFollowing = false;
        this.isRefused(new Unauthorized());
      },
    });
  }

  /** @param {VaultEvent} event */
  #take(event) {
    this.events.unshift({ event, time: Date.now() });
    this.events.length = Math.min(this.events.length, MOST_EVENTS);
    if (this.#gathered.push(event) === 1) setTimeout(() => this.#deal(), GATHER);
  }

  #deal() {
    const events = this.#gathered;
    this.#gathered = [];
    const imported = events.filter(({ kind }) => kind === 'imported').length;
    if (imported > 0) this.announce(`${counted(imported, 'capsule')} imported`);
    for (const listener of [...this.#listeners]) keepingFocus(main, () => listener(events));
    const isNewUser = events.some(({ userId }) => userId && !this.overview.users.includes(userId));
    if (isNewUser || events.some(({ format, kind }) => format === 'construct' || kind === 'rejected'))
      this.#reload(false);
  }

  /** @param {boolean} isMissed Also what the view shows may have changed. */
  async #reload(isMissed) {
    if (isMissed) this.render();
    if (this.#isReloading !== 'no') {
      this.#isReloading = 'and again';
      return;
    }
    do {
      this.#isReloading = 'yes';
      await new Promise((resolve) => setTimeout(resolve, RELOAD));
      try {
        this.overview = await ask('/api/overview');
        this.#update();
        await this.check();
      } catch (error) {
        this.isRefused(error);
      }
    } while (/** @type {string} */ (this.#isReloading) === 'and again');
    this.#isReloading = 'no';
  }
}

/** Where the token is asked for. */
function door() {
  const input = element('input', {
    type: 'password',
    id: 'token',
    autocomplete: 'off',
    required: true,
    spellcheck: 'false',
    'aria-describedby': 'said',
  });
  const said = element('p', { id: 'said', role: 'alert' });
  const open = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    keepToken(input.value.trim());
    try {
      await ask('/api/overview');
    } catch (error) {
      forgetToken();
      said.textContent =
        error instanceof Unauthorized
          ? 'This is not the token.'
          : 'The server can’t be reached, or can’t take this token.';
      input.select();
      return;
    }
    page.open();
  };
  return element(
    'form',
    { class: 'door panel', submit: open },
    element('h1', {}, 'This vault is locked'),
    element('p', {}, 'Enter the token that the server was started with. It is kept until this tab is closed.'),
    element('label', { for: 'token' }, 'Token'),
    input,
    said,
    element('button', { type: 'submit' }, 'Open'),
  );
}

const page = new Page();
addEventListener('hashchange', () => !navigation.hidden && page.render({ isMove: true }));
document.querySelector('.skip')?.addEventListener('click', (event) => {
  // The address names the view.
  event.preventDefault();
  main.focus();
});
page.open();
