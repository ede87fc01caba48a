// What tests of the page share: a stand-in for the service, pages on it, and what a reader does.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { choose, openPage, pixels, text, waitPhase, withEnd } from './browser.mjs';
import { infoOf, Mock } from './mock.mjs';
import { encodeNifti, encodeNiftiGz } from './nifti.mjs';
import { huAt, SIZE } from './volume.mjs';

const [WIDTH, HEIGHT, DEPTH] = SIZE;

/**
 * A mock for the tests of one file, below `prefix`, that begins each of them with `reply`; and
 * withPage(name, options of openPage, body(page)), a test on it.
 */
export function onMock(prefix, reply) {
  const mock = new Mock(prefix);
  before(() => mock.start());
  after(() => mock.stop());
  const withPage = (name, options, body) =>
    test(name, async () => {
      mock.requests = [];
      mock.info = infoOf({ trained: true });
      mock.reply = reply;
      await withEnd(await openPage(mock.url, options), body);
    });
  return { mock, withPage };
}

/* ---- any slice ---- */

export const check = (page, selector, on) =>
  page.locator(selector).setChecked(on, { force: true });

export const waitText = (page, selector, pattern) =>
  page.waitForFunction(
    ([where, source]) =>
      new RegExp(source).test(
        document.querySelector(where)?.textContent.replaceAll('\u00a0', ' ') ?? '',
      ),
    [selector, pattern.source],
  );

/** Presses a button that saves a file; {name, bytes}. The page needs acceptDownloads. */
export async function save(page, button) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(button)]);
  return { name: download.suggestedFilename(), bytes: await readFile(await download.path()) };
}

/* ---- the small volume of volume.mjs ---- */

/** A service that takes the request and says nothing. */
export const silent = () => {};

export const nii = (options = {}) => ({
  name: 'chest.nii',
  mimeType: '',
  buffer: encodeNifti({ size: SIZE, at: huAt, ...options }),
});
export const niiGz = (options = {}) => ({
  name: 'chest.nii.gz',
  mimeType: 'application/gzip',
  buffer: encodeNiftiGz({ size: SIZE, at: huAt, ...options }),
});

export const sliceNumber = (page) => text(page, '.slice-number');
export const waitSlice = (page, k) =>
  page.waitForFunction(
    (wanted) => document.querySelector('.slice-number')?.textContent === wanted,
    `${k + 1} / ${DEPTH}`,
  );

/** Waits until a file's pixels are all there; then its middle slice is shown. */
export async function waitRead(page, name) {
  await page.waitForFunction(
    ([file, slice]) =>
      document.getElementById('file-name').textContent === file &&
      document.querySelector('.slice-number')?.textContent === slice,
    [name, `${DEPTH / 2 + 1} / ${DEPTH}`],
  );
}

/** A volume on the page with its answer. */
export async function openAnswered(page, file = niiGz()) {
  await choose(page, file);
  await waitPhase(page, 'done');
  await waitSlice(page, DEPTH / 2);
  await page.waitForSelector('#results:visible');
}

/** What grey a value is in a window. */
export const grey = (hu, width = 1500, level = -600) =>
  Math.round(Math.min(255, Math.max(0, ((hu - (level - width / 2)) / width) * 255)));

/** The canvas is grey for grey what the volume holds in slice k. */
export async function assertShown(page, k, window = [1500, -600]) {
  const at = [];
  // Not at the edges, where the letters of the directions are.
  for (let y = 8; y < HEIGHT - 8; y += 9) {
    for (let x = 8; x < WIDTH - 8; x += 9) {
      at.push([x, y]);
    }
  }
  if (await page.isVisible('#modes')) {
    await check(page, '[name=mode][value=image]', true);
  }
  const drawn = await pixels(page, { width: WIDTH, height: HEIGHT }, at);
  at.forEach(([x, y], i) => {
    const wanted = grey(huAt(x, y, k), ...window);
    assert.ok(
      Math.abs(drawn[i][0] - wanted) <= 1,
      `${x},${y} of slice ${k}: ${drawn[i]} instead of ${wanted}`,
    );
  });
}
