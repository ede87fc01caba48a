// Chromium, and pages that note everything that should not happen.

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { phantomPng } from './png.mjs';

/** Where screenshots go. */
export const BUILD = fileURLToPath(new URL('../../build/', import.meta.url));

let browser = null;

export async function launch() {
  browser ??= await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  return browser;
}

export async function close() {
  await browser?.close();
  browser = null;
}

/**
 * Opens the viewer at `url`. The page keeps in `page.faults` its console errors, exceptions, policy
 * violations and requests to other origins. `allowed`: statuses a test provokes.
 */
export async function openPage(url, { width = 1280, height = 860, allowed = [], ...options } = {}) {
  const context = await (await launch()).newContext({ viewport: { width, height }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000); // of a machine that is busy otherwise
  const faults = [];
  page.faults = faults;
  page.on('pageerror', (error) => faults.push(`exception: ${error.message}`));
  page.on('console', (message) => {
    // Chromium logs every answer that is not 2xx.
    const at = message.location().url;
    const provoked =
      allowed.some((status) => message.text().includes(`status of ${status}`)) ||
      (allowed.includes('offline') && message.text().includes('net::ERR_'));
    if (message.type() === 'error' && !provoked) {
      faults.push(`console: ${message.text()} (${at})`);
    }
  });
  page.on('request', (request) => {
    if (
      !request.url().startsWith('blob:') &&
      new URL(request.url()).origin !== new URL(url).origin
    ) {
      faults.push(`request elsewhere: ${request.url()}`);
    }
  });
  await page.exposeFunction('noteViolation', (violation) => faults.push(violation));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      window.noteViolation(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  await page.goto(url);
  return page;
}

/** Ends a page; fails when anything happened that should not. */
export async function closePage(page) {
  const { faults } = page;
  await page.context().close();
  assert.deepEqual(faults, []);
}

/** Runs body(page) and ends the page, whatever happens: the next test must not wait for it. */
export async function withEnd(page, body) {
  try {
    await body(page);
  } catch (error) {
    const at = await page
      .screenshot({ path: `${BUILD}failed.png` })
      .then(() => `${BUILD}failed.png`, () => 'no picture');
    await page.context().close();
    error.message += `\n${at}; faults: ${JSON.stringify(page.faults)}`;
    throw error;
  }
  await closePage(page);
}

export const SLICE = { name: 'slice 7.png', mimeType: 'image/png', buffer: phantomPng(256) };

export async function choose(page, file = SLICE) {
  await page.setInputFiles('#picker', file);
}

export async function waitPhase(page, phase) {
  await page.waitForSelector(`body[data-phase=${phase}]`);
  // One frame for the drawing that was asked for.
  await page.evaluate(
    () =>
      new Promise((resolve) => {
        requestAnimationFrame(() => requestAnimationFrame(resolve));
      }),
  );
}

export async function showSlice(page, file = SLICE) {
  await choose(page, file);
  await waitPhase(page, 'done');
}

/** Drops files on the page as a mouse would. */
export async function drop(page, files) {
  const transfer = await page.evaluateHandle(
    (list) => {
      const data = new DataTransfer();
      for (const { name, type, base64 } of list) {
        const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
        data.items.add(new File([bytes], name, { type }));
      }
      return data;
    },
    files.map((f) => ({ name: f.name, type: f.mimeType, base64: f.buffer.toString('base64') })),
  );
  for (const event of ['dragenter', 'dragover', 'drop']) {
    await page.dispatchEvent('main', event, { dataTransfer: transfer });
  }
}

/**
 * Colours of the canvas at points of the slice, given as [x, y] in its pixels, while all of it is
 * in view.
 */
export async function pixels(page, size, points) {
  return page.evaluate(
    ({ width, height, at }) =>
      new Promise((resolve) => {
        requestAnimationFrame(() =>
          requestAnimationFrame(() => {
            const canvas = document.getElementById('canvas');
            const scale = Math.min(canvas.width / width, canvas.height / height);
            const [left, top] = [
              (canvas.width - width * scale) / 2,
              (canvas.height - height * scale) / 2,
            ];
            const { data } = canvas
              .getContext('2d')
              .getImageData(0, 0, canvas.width, canvas.height);
            resolve(
              at.map(([x, y]) => {
                const column = Math.floor(left + (x + 0.5) * scale);
                const row = Math.floor(top + (y + 0.5) * scale);
                return [
                  ...data.slice(
                    4 * (row * canvas.width + column),
                    4 * (row * canvas.width + column) + 3,
                  ),
                ];
              }),
            );
          }),
        );
      }),
    { ...size, at: points },
  );
}

export async function text(page, selector) {
  return (await page.textContent(selector)).replaceAll('\u00a0', ' ').trim();
}
