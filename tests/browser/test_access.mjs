// A smoke check of what people with other eyes and other hands need.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { choose, closePage, openPage, showSlice, waitPhase } from './browser.mjs';
import { infoOf, Mock, sendJson, sendProblem, sliceOf } from './mock.mjs';

let mock;

before(async () => {
  mock = await new Mock().start();
});
after(() => mock.stop());

/** In the page: every complaint about names, roles, ids and headings. */
function inspect() {
  const complaints = [];
  const tell = (node, what) =>
    complaints.push(
      `${node.tagName.toLowerCase()}#${node.id}.${node.getAttribute('class') ?? ''}: ${what}`,
    );
  const seen = (node) => node.checkVisibility({ visibilityProperty: true });
  const nameOf = (node) => {
    const by = node.getAttribute('aria-labelledby');
    return (
      (by
        ? by
            .split(' ')
            .map((id) => document.getElementById(id)?.textContent ?? '')
            .join(' ')
        : (node.getAttribute('aria-label') ??
          [...(node.labels ?? [])].map((l) => l.textContent).join(' '))
      ).trim() ||
      (node.matches('button, a, summary, h1, h2, h3') ? node.textContent.trim() : '')
    );
  };
  for (const node of document.querySelectorAll(
    'button, a[href], input, select, summary, dialog, [role=application], section, table',
  )) {
    const name = node.matches('table') ? (node.caption?.textContent ?? '') : nameOf(node);
    if (name === '') {
      tell(node, 'has no name');
    }
  }
  const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
  ids.filter((id, i) => ids.indexOf(id) !== i).forEach((id) => complaints.push(`id ${id} twice`));
  for (const attribute of ['aria-labelledby', 'aria-describedby', 'for']) {
    for (const node of document.querySelectorAll(`[${attribute}]`)) {
      for (const id of node.getAttribute(attribute).split(' ')) {
        if (document.getElementById(id) === null) {
          tell(node, `${attribute} names ${id}, which is not there`);
        }
      }
    }
  }
  let level = 0;
  for (const heading of [...document.querySelectorAll('h1, h2, h3')].filter(seen)) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) {
      tell(heading, `heading jumps from ${level} to ${next}`);
    }
    level = next;
  }
  for (const [selector, n] of [
    ['h1', 1],
    ['main', 1],
    ['header.top', 1],
    ['[role=status]', 1],
  ]) {
    if (document.querySelectorAll(selector).length !== n) {
      complaints.push(`not ${n} of ${selector}`);
    }
  }
  if (document.documentElement.lang !== 'en' || document.title === '') {
    complaints.push('no language or title');
  }
  // Targets: 24 CSS pixels each way, unless inside a label that is larger.
  for (const node of [...document.querySelectorAll('button, select, input')].filter(seen)) {
    const box = (node.closest('label') ?? node).getBoundingClientRect();
    if (box.width > 1 && (box.width < 24 || box.height < 19)) {
      tell(node, `is ${box.width} × ${box.height}`);
    }
  }
  return complaints;
}

/** In the page: every visible text that stands out from its ground by less than it should. */
function contrast() {
  const parse = (colour) => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 1;
    const context = canvas.getContext('2d');
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return { r, g, b, a: a / 255 };
  };
  const cache = new Map();
  const read = (colour) => {
    if (!cache.has(colour)) {
      cache.set(colour, parse(colour));
    }
    return cache.get(colour);
  };
  const over = (top, under, opacity = 1) => {
    const a = top.a * opacity;
    const mix = (x, y) => x * a + y * (1 - a);
    return { r: mix(top.r, under.r), g: mix(top.g, under.g), b: mix(top.b, under.b), a: 1 };
  };
  const light = ({ r, g, b }) =>
    [r, g, b]
      .map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const groundOf = (node) => {
    const chain = [];
    for (let at = node; at !== null; at = at.parentElement) {
      chain.unshift(at);
    }
    let ground = { r: 255, g: 255, b: 255, a: 1 };
    for (const at of chain) {
      ground = over(read(getComputedStyle(at).backgroundColor), ground);
    }
    return ground;
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (
      walker.currentNode.data.trim() === '' ||
      !node.checkVisibility({ visibilityProperty: true }) ||
      node.closest(
        '.sr-only, script, :disabled, [inert], .quiet, .layer.off, noscript, dialog',
      ) !== null
    ) {
      continue;
    }
    const style = getComputedStyle(node);
    const ground = groundOf(node);
    const ink = over(read(style.color), ground);
    const [high, low] = [light(ink), light(ground)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      weak.push(`${ratio.toFixed(2)} "${walker.currentNode.data.trim().slice(0, 40)}"`);
    }
  }
  return weak;
}

for (const colorScheme of ['dark', 'light']) {
  test(`names, roles and contrast, ${colorScheme}`, async () => {
    mock.info = infoOf({ trained: false });
    const page = await openPage(mock.url, { colorScheme, allowed: [429] });
    await page.waitForSelector('#service[data-state=ready]');
    assert.deepEqual(await page.evaluate(inspect), [], 'empty');
    assert.deepEqual(await page.evaluate(contrast), [], 'empty');
    mock.reply = (request, response) =>
      sendJson(response, 200, sliceOf({ width: 256, trained: false }));
    await showSlice(page);
    await page.locator('summary').click();
    await page.locator('tr[data-finding="2"]').click();
    assert.deepEqual(await page.evaluate(inspect), [], 'answer');
    assert.deepEqual(await page.evaluate(contrast), [], 'answer');
    mock.reply = (request, response) =>
      sendProblem(response, 429, 'queue_full', 'Full.', { 'Retry-After': '60' });
    await choose(page);
    await waitPhase(page, 'problem');
    assert.deepEqual(await page.evaluate(inspect), [], 'problem');
    assert.deepEqual(await page.evaluate(contrast), [], 'problem');
    await closePage(page);
  });
}

test('the keyboard reaches everything and is never trapped', async () => {
  mock.info = infoOf({ trained: true });
  mock.reply = (request, response) => sendJson(response, 200, sliceOf({ width: 256 }));
  const page = await openPage(mock.url);
  await showSlice(page);
  await page.evaluate(() => document.activeElement.blur());
  const stops = [];
  for (let i = 0; i < 70; i++) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(() => {
      const node = document.activeElement;
      if (node === document.body) {
        return '';
      }
      const style = getComputedStyle(
        node.matches('.segmented input') ? node.nextElementSibling : node,
      );
      const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
      const name =
        node.id || node.dataset.layer || node.className || node.type || node.tagName;
      return ring ? name : `${name} NO RING`;
    });
    if (stop === '' || stop === stops[0]) {
      break;
    }
    stops.push(stop);
  }
  assert.ok(stops.length < 70, 'no end');
  assert.deepEqual(
    stops.filter((s) => s.endsWith('NO RING')),
    [],
  );
  for (const wanted of [
    'skip',
    'help',
    'stage',
    'lungs',
    'score-filter',
    'pick',
    'region',
    'save-json',
    'zoom-in',
    'contrast',
    'command',
  ]) {
    assert.ok(
      stops.some((s) => s.includes(wanted)),
      `${wanted} not in ${stops}`,
    );
  }
  await page.click('#help');
  assert.ok(await page.isVisible('#keys'));
  await page.keyboard.press('Escape');
  assert.ok(await page.isHidden('#keys'));
  assert.equal(await page.evaluate(() => document.activeElement.id), 'help');
  await page.click('#help');
  await page.click('#keys-close');
  assert.ok(await page.isHidden('#keys'));
  await closePage(page);
});
