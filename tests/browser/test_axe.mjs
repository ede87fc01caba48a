// axe-core on the page in each of its main states, in both themes and on a phone.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { choose, openPage, showSlice, waitPhase, withEnd } from './browser.mjs';
import { infoOf, Mock, sendJson, sendProblem, sliceOf } from './mock.mjs';
import { niiGz, openAnswered, waitText } from './pages.mjs';
import { beginStream, eventsOf, sendVolume } from './volume.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
let source;
let mock;

before(async () => {
  source = await readFile(AXE, 'utf8');
  mock = await new Mock().start();
});
after(() => mock.stop());

/** What axe-core complains about: "rule: selector of what it is about (why)". */
async function violations(page) {
  if (!(await page.evaluate(() => 'axe' in window))) {
    // By the debugger, which the page's policy does not bind.
    await page.evaluate(source);
  }
  return page.evaluate(async () => {
    const { violations: found } = await window.axe.run(document, { resultTypes: ['violations'] });
    return found.flatMap(({ id, nodes }) =>
      nodes.map((node) => `${id}: ${node.target.join(' ')} (${node.failureSummary})`),
    );
  });
}

const STATES = {
  empty: (page) => page.waitForSelector('#service[data-state=ready]'),
  slice: async (page) => {
    mock.reply = (request, response) => sendJson(response, 200, sliceOf({ width: 256 }));
    await showSlice(page);
    await page.locator('tr[data-finding="2"]').click();
    await page.locator('summary').click();
  },
  streaming: async (page) => {
    mock.reply = (request, response) => {
      beginStream(response)(...eventsOf().slice(0, 10));
    };
    await choose(page, { ...niiGz(), name: 'first.nii.gz' });
    await waitText(page, '#busy-text', /^Slice 8 of 12$/);
  },
  volume: async (page) => {
    mock.reply = (request, response) => sendVolume(response);
    await openAnswered(page);
    await page.waitForSelector('#volume-panel:visible');
  },
  attention: async (page) => {
    await page.locator('[name=mode][value=both]').check({ force: true });
  },
  error: async (page) => {
    mock.reply = (request, response) =>
      sendProblem(response, 429, 'queue_full', 'Full.', { 'Retry-After': '60' });
    await choose(page);
    await waitPhase(page, 'problem');
  },
  'asking for a key': async (page) => {
    mock.reply = (request, response) => sendProblem(response, 401, 'unauthorized', 'Send a key.');
    await choose(page);
    await page.waitForSelector('.key-form:visible');
  },
  keys: async (page) => {
    await page.evaluate(() => document.getElementById('help').click());
    await page.waitForSelector('#keys:visible');
  },
};

const LOOKS = Object.entries({
  light: { colorScheme: 'light' },
  dark: { colorScheme: 'dark' },
  'a phone': { width: 390, height: 844, colorScheme: 'light', hasTouch: true, isMobile: true },
  'a phone, dark, untrained': { width: 390, height: 844, colorScheme: 'dark', trained: false },
});
for (const [name, options] of LOOKS.slice(0, process.env.SHORT ? 1 : LOOKS.length)) {
  test(`axe-core finds nothing: ${name}`, async () => {
    const { trained = true, ...rest } = options;
    mock.info = infoOf({ trained });
    const page = await openPage(mock.url, { allowed: [401, 429], reducedMotion: 'reduce', ...rest });
    await withEnd(page, async () => {
      for (const [state, reach] of Object.entries(STATES)) {
        await reach(page);
        assert.deepEqual(await violations(page), [], state);
      }
    });
  });
}
