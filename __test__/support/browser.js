'use strict';

// A real browser for the tests of the page. It is not downloaded: it is the system's own.

const fs = require('node:fs');
const { after } = require('node:test');
const { setTimeout: delay } = require('node:timers/promises');

// By a name that the type checker does not follow: its types need those of a browser.
const { chromium } = require(/** @type {string} */ ('playwright-core'));
const { atEnd } = require('./at-end');

/** @typedef {any} BrowserPage As playwright-core has it. */

const PLACES = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];
const executablePath = PLACES.find((place) => place !== undefined && fs.existsSync(place));

/** Where CI must have one, and tests fail without: not every runner of GitHub has. */
const isExpected = process.env.CI && process.platform === 'linux' && process.arch === 'x64';
/** Why tests in a browser are left out; `false` if they are not. */
const skip =
  executablePath === undefined && !isExpected && 'no Chromium: install it, or set CHROMIUM to where its program is';

/** @type {Promise<any> | undefined} */
let launched;

after(async () => (await launched)?.close());

/**
 * A page in a window of its own, and whatever goes wrong in it: errors on its console, exceptions, violations of its
 * policy, dialogs, and requests to others than the server.
 *
 * @param {import('node:test').TestContext} test
 * @param {string} url The server's.
 * @param {object} [options]
 * @returns {Promise<{ page: BrowserPage, troubles: string[] }>}
 */
async function openPage(test, url, options = {}) {
  // Chromium has no sandbox for root, as which tests run in containers.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  launched ??= chromium.launch({ executablePath: executablePath ?? 'chromium', args });
  const context = await (await launched).newContext({ locale: 'en-GB', timezoneId: 'UTC', ...options });
  atEnd(test, () => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  /** @type {string[]} */
  const troubles = [];
  page.on('console', (/** @type {any} */ message) => {
    if (['error', 'warning'].includes(message.type())) troubles.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (/** @type {any} */ error) => troubles.push(`exception: ${error}`));
  page.on('dialog', (/** @type {any} */ dialog) => {
    troubles.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('request', (/** @type {any} */ request) => {
    if (!request.url().startsWith(`${url}/`)) troubles.push(`request: ${request.url()}`);
  });
  await page.exposeFunction('violated', (/** @type {string} */ text) => troubles.push(`policy: ${text}`));
  await page.addInitScript(`addEventListener('securitypolicyviolation', (event) =>
    violated(event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sample));`);
  return { page, troubles };
}

/**
 * Waits until something holds in a page. What playwright has for this runs texts as scripts, which the page does not let it.
 *
 * @param {BrowserPage} page
 * @param {string} expression
 */
async function untilIn(page, expression) {
  for (let waited = 0; !(await page.evaluate(expression)); waited += 10) {
    if (waited > 10_000)
      throw new Error(`it has not come to ${expression}:\n${await page.locator('main').innerText()}`);
    await delay(10);
  }
}

module.exports = { openPage, skip, untilIn };
