// A real Chromium that a test controls: it opens the URLs passed to `$BROWSER`, and acts on the
// provider's pages as the test's person.
//
//   node chromium.mjs '{"folder": "/tmp/x"}'
//
// Its first line on stdout contains the address at which it is controlled. It exits when its stdin
// closes, and leaves its profile (with the history) and its network log in the folder.

import { createServer } from 'node:http';
import { chromium } from 'playwright-core';

const { folder } = JSON.parse(process.argv[2]);
const SECONDS = 20_000;

const browser = await chromium.launchPersistentContext(`${folder}/profile`, {
  executablePath: '/usr/bin/chromium',
  headless: true,
  viewport: { width: 900, height: 760 },
  args: [
    '--no-sandbox', // the tests may run as root
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
    `--log-net-log=${folder}/net.json`,
    '--net-log-capture-mode=Everything',
  ],
});
browser.setDefaultTimeout(SECONDS);

let person = { do: 'sign-in', as: 'alice' };
let tab; // the most recently opened one
let ended = Promise.resolve();

const orders = {
  async become({ who }) {
    person = who;
  },
  async open({ url }) {
    tab = undefined;
    const page = await browser.newPage();
    ended = visit(page, url);
    tab = page;
    ended.catch(() => {}); // `ended` reports the error
  },
  async opened() {
    await tab?.waitForLoadState();
    return { url: tab?.url() ?? '' };
  },
  async ended() {
    while (!tab) await new Promise((resolve) => setTimeout(resolve, 20));
    await ended;
    return shown(tab);
  },
  async goto({ url }) {
    await go(tab, () => tab.goto(url));
    return shown(tab);
  },
  async reload() {
    await go(tab, () => tab.reload());
    return shown(tab);
  },
  async close() {
    await tab.close();
  },
  async forget_cookies() {
    await browser.clearCookies();
  },
  async screenshot({ path, scheme }) {
    await tab.emulateMedia({ colorScheme: scheme });
    await tab.screenshot({ path });
  },
};

/** Opens the URL, and fills in forms until there are none left. */
async function visit(page, url) {
  await go(page, () => page.goto(url));
  if (person.do === 'leave') return;
  for (let pages = 0; pages < 10; pages += 1) {
    const cancel = page.getByRole('link', { name: '[ Cancel ]' });
    const submit = page.locator('button[type=submit]');
    if (person.do === 'decline' && (await cancel.count())) {
      await go(page, () => follow(page, cancel));
    } else if (await submit.count()) {
      const login = page.locator('input[name=login]');
      if (await login.count()) {
        await login.fill(person.as);
        await page.locator('input[name=password]').fill('anything');
      }
      await go(page, () => follow(page, submit.first()));
    } else {
      break;
    }
  }
}

function follow(page, link) {
  return Promise.all([page.waitForNavigation({ waitUntil: 'load' }), link.click({ noWaitAfter: true })]);
}

/** Ignores failed connections: Chromium then shows its own error page. */
async function go(page, action) {
  try {
    await action();
  } catch (error) {
    if (!/net::|chrome-error|ERR_/.test(error.message)) throw error;
    // It appears a moment after the error. After ERR_ABORTED the previous page stays.
    if (/ERR_ABORTED/.test(error.message)) return;
    await page.waitForFunction(() => location.protocol === 'chrome-error:' && document.body?.innerText);
  }
}

async function shown(page) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await read(page);
    } catch (error) {
      // Chromium's error page appears a moment after the error.
      if (tries > 20 || !/context was destroyed/.test(error.message)) throw error;
      await page.waitForLoadState();
    }
  }
}

function read(page) {
  return page.evaluate(() => ({
    url: location.href,
    title: document.title,
    text: document.body?.innerText ?? '',
    referrer: document.referrer,
    history: globalThis.navigation?.entries().map((entry) => entry.url) ?? [],
    status: performance.getEntriesByType('navigation')[0]?.responseStatus,
  }));
}

const control = createServer(async (request, response) => {
  let all = '';
  for await (const chunk of request) all += chunk;
  let answer;
  try {
    const order = JSON.parse(all);
    answer = { result: (await orders[order.order](order)) ?? null };
  } catch (error) {
    answer = { error: String(error.stack) };
  }
  response.end(JSON.stringify(answer));
});
control.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ control: `http://127.0.0.1:${control.address().port}` }));
});

process.stdin.on('end', async () => {
  await browser.close();
  process.exit(0);
}).resume();
