// Screenshots of the main states at three sizes, dark and light, into build/, to be looked at.

import { test } from 'node:test';
import { BUILD, choose, openPage, showSlice, waitPhase, withEnd } from './browser.mjs';
import { Mock, sendJson, sendProblem, sliceOf } from './mock.mjs';
import { encodeNiftiGz } from './nifti.mjs';
import { waitText } from './pages.mjs';
import { beginStream, eventsOf, huAt, sendVolume } from './volume.mjs';

const SIZES = [
  [1280, 800],
  [390, 844],
  [3840, 2160],
];
const SIZE = [192, 160, 24];
const VOLUME = {
  name: 'chest.nii.gz',
  mimeType: 'application/gzip',
  buffer: encodeNiftiGz({ size: SIZE, at: (x, y, k) => huAt(x, y, k, SIZE) }),
};

for (const [width, height] of SIZES) {
  test(`pictures of the page at ${width} by ${height}`, async (t) => {
    const mock = await new Mock().start();
    t.after(() => mock.stop());
    const options = { width, height, allowed: [429], reducedMotion: 'reduce' };
    await withEnd(await openPage(mock.url, options), async (page) => {
      const shoot = async (name, fullPage = false) => {
        for (const colorScheme of ['dark', 'light']) {
          await page.emulateMedia({ colorScheme });
          const path = `${BUILD}viewer-${width}-${name}-${colorScheme}.png`;
          await page.screenshot({ path, fullPage });
        }
      };
      await page.waitForSelector('#service[data-state=ready]');
      await shoot('empty');
      mock.reply = (request, response) => sendJson(response, 200, sliceOf({ width: 256 }));
      await showSlice(page);
      await page.waitForSelector('#results:visible');
      await shoot('slice', true);
      mock.reply = (request, response) => {
        beginStream(response)(...eventsOf(SIZE).slice(0, 18));
      };
      await choose(page, VOLUME);
      await waitText(page, '#busy-text', /^Slice 16 of 24$/);
      await waitText(page, '.slice-title', /^Slice 13 of 24$/);
      await page.waitForSelector('#results:visible');
      await page.waitForSelector('#volume-panel:visible');
      await shoot('streaming');
      mock.reply = (request, response) => sendVolume(response, SIZE);
      await choose(page, { ...VOLUME, name: 'second.nii.gz' });
      await waitPhase(page, 'done');
      await page.waitForSelector('#volume-panel:visible');
      await page.waitForSelector('#results:visible');
      await shoot('volume', true);
      await page.locator('[name=mode][value=both]').check({ force: true });
      await page.locator('[name=style][value=hatch]').check({ force: true });
      await shoot('both');
      mock.reply = (request, response) =>
        sendProblem(response, 429, 'queue_full', 'All 64 places are taken.', {
          'Retry-After': '20',
        });
      await choose(page, { ...VOLUME, name: 'third.nii.gz' });
      await page.waitForSelector('.problem');
      await shoot('problem');
    });
  });
}
