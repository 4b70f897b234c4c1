// A person with a browser: headless Chromium opens an address, signs in at the test's OAuth server, clicks on its
// consent page, and stays where that leads.
//
//   node browser.mjs --chromium PATH --account user-1 [--refuse] URL
//
// It prints one line of JSON: where the browser ended, and what is written there.

import { parseArgs } from 'node:util';

import puppeteer from 'puppeteer-core';

const PATIENCE_MS = 20_000;
const MOST_PAGES = 8;

const { values: options, positionals: [address] } = parseArgs({
  allowPositionals: true,
  options: {
    account: { type: 'string', default: 'user-1' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
    refuse: { type: 'boolean', default: false },
  },
});

const browser = await puppeteer.launch({
  executablePath: options.chromium,
  args: [
    // Chromium's sandbox does not run as root, and nothing here is a stranger's.
    '--no-sandbox',
    '--disable-dev-shm-usage',
    // The pages name a font of another host, which no test should wait for.
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
  ],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.goto(address, { waitUntil: 'domcontentloaded' });
  await settle(page);
  for (let pages = 0; await act(page); pages += 1) {
    await settle(page);
    if (pages === MOST_PAGES) throw new Error(`no end of pages: ${page.url()}`);
  }
  const text = await page.evaluate(() => document.body.innerText);
  console.log(JSON.stringify({ url: page.url(), text }));
} finally {
  await browser.close();
}

// Some pages go on by themselves, by a form that a script submits.
async function settle(page) {
  await page.waitForNetworkIdle({ idleTime: 300, timeout: PATIENCE_MS });
}

// Does what the page asks for. False if it asks for nothing.
async function act(page) {
  const leave = async (click) => {
    await Promise.all([page.waitForNavigation({ waitUntil: 'domcontentloaded' }), click()]);
    return true;
  };
  if (await page.$('form[id="op.deviceConfirmForm"]')) {
    const wanted = options.refuse ? 'button[name=abort]' : 'button[autofocus]';
    return leave(() => page.click(wanted));
  }
  if (await page.$('input[name=login]')) {
    await page.$eval('input[name=login]', (field) => { field.value = ''; });
    await page.type('input[name=login]', options.account);
    await page.type('input[name=password]', 'any');
    return leave(() => page.click('button[type=submit]'));
  }
  if (await page.$('input[name=prompt][value=consent]')) {
    const wanted = options.refuse ? '.login-help a' : 'button[type=submit]';
    return leave(() => page.click(wanted));
  }
  return false;
}
