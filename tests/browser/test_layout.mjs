// Where things lie on screens of all sizes: nothing over another, nothing cut off, no scrolling
// where there is room.

import assert from 'node:assert/strict';
import { showSlice } from './browser.mjs';
import { sendJson, sliceOf } from './mock.mjs';
import { onMock, openAnswered } from './pages.mjs';
import { sendVolume } from './volume.mjs';

const { mock, withPage } = onMock('', (request, response) =>
  sendJson(response, 200, sliceOf({ width: 256 })),
);

/** Panels that can be seen, [{name, left, top, right, bottom}], and what is wrong with the page. */
const look = (page) =>
  page.evaluate(() => {
    const seen = (node) => node.getClientRects().length > 0;
    const name = (node) => node.id || node.className || node.tagName;
    const panels = [...document.querySelectorAll('.stage-column, .side .panel, .side .problem')]
      .filter(seen)
      .map((node) => {
        const { left, top, right, bottom } = node.getBoundingClientRect();
        const heading = node.getAttribute('aria-labelledby') ?? name(node);
        return { name: heading, left, top, right, bottom };
      });
    const cut = [...document.querySelectorAll('.side .panel, .side .panel *, .toolbar, .foot')]
      .filter((node) => seen(node) && !node.closest('.sr-only, .file-name, .file-title, canvas'))
      .filter((node) => node.matches('.panel, .toolbar') || getComputedStyle(node).overflowX !== 'visible')
      .filter((node) => node.scrollWidth > node.clientWidth + 1)
      .map(name);
    const { scrollWidth, scrollHeight } = document.documentElement;
    return { panels, cut, across: scrollWidth - innerWidth, down: scrollHeight - innerHeight };
  });

function assertTidy({ panels, cut, across }) {
  assert.ok(panels.length > 4);
  assert.deepEqual(cut, [], 'cut off');
  assert.ok(across <= 0, `${across} px too wide`);
  for (const [i, a] of panels.entries()) {
    for (const b of panels.slice(i + 1)) {
      const apart =
        a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
      assert.ok(apart, `${a.name} and ${b.name} lie over each other`);
    }
  }
}

const nameOf = (part) => (panel) => panel.name.includes(part);

for (const [width, height, columns] of [
  [1100, 700, 1],
  [1280, 800, 1],
  [1800, 1000, 2],
  [1920, 1080, 2],
  [2400, 1350, 3],
  [2560, 1440, 3],
  [3840, 2160, 3],
]) {
  withPage(`panels at ${width} by ${height}`, { width, height }, async (page) => {
    await page.waitForSelector('#model-card:visible');
    await showSlice(page);
    await page.waitForSelector('#results:visible');
    const slice = await look(page);
    assertTidy(slice);
    const [found, options] = [nameOf('h-findings'), nameOf('options')].map((is) =>
      slice.panels.find(is),
    );
    assert.equal(options.left, found.left);
    const rem = await page.evaluate(() =>
      parseFloat(getComputedStyle(document.documentElement).fontSize),
    );
    const between = (options.top - found.bottom) / rem;
    assert.ok(between > 0 && between < 2, `the options lie ${between} rem below the findings`);
    const side = slice.panels.filter((panel) => !nameOf('stage')(panel));
    assert.equal(new Set(side.map((panel) => Math.round(panel.left))).size, columns);
    if (columns === 3) {
      assert.ok(slice.down <= 0, `there is room, but ${slice.down} px are out of sight`);
    }
    mock.reply = (request, response) => sendVolume(response);
    await openAnswered(page);
    await page.waitForSelector('#volume-panel:visible');
    assertTidy(await look(page));
  });
}
