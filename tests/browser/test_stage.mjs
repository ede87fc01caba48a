// The slice on the stage: pixels, masks, switches, choosing, keyboard, phone.

import assert from 'node:assert/strict';
import { pixels, showSlice, SLICE, text } from './browser.mjs';
import { sendJson, sliceOf } from './mock.mjs';
import { check, onMock } from './pages.mjs';
import { encodePng, inShape, phantom, SHAPES } from './png.mjs';

const SIZE = { width: 256, height: 256 };
const { mock, withPage } = onMock('/ct/slices', (request, response) =>
  sendJson(response, 200, sliceOf(SIZE)),
);

const scale = async (page) => parseInt(await text(page, '#zoom-level'), 10);

/** Points of the slice at least `margin` pixels inside (or outside) every shape of a class. */
function points(name, inside, margin = 2) {
  const found = [];
  for (let y = 6; y < SIZE.height - 6; y += 7) {
    for (let x = 6; x < SIZE.width - 6; x += 7) {
      const at = (dx, dy) =>
        SHAPES[name].some((shape) =>
          inShape(shape, x + dx, y + dy, SIZE.width, SIZE.height),
        );
      const around = [
        [0, 0],
        [margin, 0],
        [-margin, 0],
        [0, margin],
        [0, -margin],
        [margin, margin],
        [-margin, margin],
        [margin, -margin],
        [-margin, -margin],
      ].map(([dx, dy]) => at(dx, dy));
      if (around.every((v) => v === inside)) {
        found.push([x, y]);
      }
    }
  }
  assert.ok(found.length > 5);
  return found;
}

withPage('masks colour the pixels they cover, and no others', {}, async (page) => {
  await showSlice(page);
  await check(page, '[data-option=boxes]', false);
  const inside = points('ggo', true);
  const outside = ['lungs', 'ggo', 'consolidation']
    .map((name) => points(name, false))
    .reduce((a, b) => a.filter(([x, y]) => b.some(([u, v]) => u === x && v === y)));
  const masked = await pixels(page, SIZE, [...inside, ...outside]);
  await check(page, '[data-option=masks]', false);
  const bare = await pixels(page, SIZE, [...inside, ...outside]);
  inside.forEach((point, i) => {
    const yellow = masked[i][0] - masked[i][2];
    assert.ok(yellow > 25, `${point}: ${masked[i]}`);
    assert.ok(Math.abs(bare[i][0] - bare[i][2]) < 3, `${point} bare: ${bare[i]}`);
  });
  outside.forEach((point, i) => {
    assert.deepEqual(masked[inside.length + i], bare[inside.length + i], `${point}`);
  });
});

withPage('the slice itself is drawn grey for grey', {}, async (page) => {
  await showSlice(page);
  await check(page, '[name=mode][value=image]', true);
  const values = phantom(256);
  const grid = [];
  for (let y = 3; y < 253; y += 4) {
    for (let x = 3; x < 253; x += 4) {
      grid.push([x, y]);
    }
  }
  const drawn = await pixels(page, SIZE, grid);
  // Enlarging mixes neighbours, and may overshoot a little at edges.
  grid.forEach(([x, y], i) => {
    const near = [-257, -256, -255, -1, 0, 1, 255, 256, 257].map(
      (k) => values[y * 256 + x + k],
    );
    const [least, most] = [Math.min(...near), Math.max(...near)];
    const slack = 2 + (most - least) / 8;
    assert.ok(
      drawn[i][0] >= least - slack && drawn[i][0] <= most + slack,
      `${x},${y}: ${drawn[i]} of ${least} to ${most}`,
    );
    assert.deepEqual(drawn[i], [drawn[i][0], drawn[i][0], drawn[i][0]]);
  });
});

withPage('each class has its own switch and opacity', {}, async (page) => {
  await showSlice(page);
  await check(page, '[data-option=boxes]', false);
  const spot = points('consolidation', true).slice(0, 5);
  const tint = async () => {
    const colours = await pixels(page, SIZE, spot);
    return colours.reduce((sum, [r, , b]) => sum + r - b, 0) / colours.length;
  };
  const normal = await tint();
  await page.locator('[data-opacity=consolidation]').fill('90');
  const strong = await tint();
  assert.ok(strong > normal + 30, `${normal} ${strong}`);
  await page.locator('[data-opacity=consolidation]').fill('0');
  assert.ok((await tint()) < normal - 20);
  await page.locator('[data-opacity=consolidation]').fill('90');
  await check(page, '[data-layer=consolidation]', false);
  assert.ok((await tint()) < 12);
  assert.equal(await page.locator('.findings tbody tr:visible').count(), 4);
  await check(page, '[data-layer=consolidation]', true);
  assert.equal(await tint(), strong);
});

withPage('the score filter hides rows and drawings, on this page only', {}, async (page) => {
  await showSlice(page);
  await page.locator('#score-filter').fill('0.9');
  assert.equal(await page.locator('.findings tbody tr:visible').count(), 3);
  assert.equal(await text(page, 'output[for=score-filter]'), '3 of 5 shown');
  const [low] = [[0.7 * 256, 0.42 * 256].map(Math.round)];
  const [colour] = await pixels(page, SIZE, [low]);
  assert.ok(colour[0] - colour[2] < 20, `hidden lesion is still drawn: ${colour}`);
  await page.locator('#score-filter').fill('1');
  assert.ok(await page.isVisible('.empty'));
  assert.equal(mock.requests.length, 1);
});

withPage('slice and table point at each other', {}, async (page) => {
  await showSlice(page);
  const row = page.locator('tr[data-finding="2"]'); // the larger lesion
  await row.click();
  assert.equal(await row.locator('button').getAttribute('aria-pressed'), 'true');
  await row.click();
  assert.equal(await row.locator('button').getAttribute('aria-pressed'), 'false');
  const box = await page.locator('#canvas').boundingBox();
  const size = Math.min(box.width, box.height);
  const at = (x, y) => [
    box.x + (box.width - size) / 2 + x * size,
    box.y + (box.height - size) / 2 + y * size,
  ];
  await page.mouse.move(...at(0.29, 0.6));
  await page.waitForSelector('tr[data-finding="2"].hovered');
  assert.match(await text(page, '#probe'), /x 74 {2}y 153 {2}grey \d+.*GGO/);
  await page.mouse.click(...at(0.71, 0.66));
  assert.equal(await page.locator('tr.selected').getAttribute('data-finding'), '3');
  await page.mouse.click(...at(0.02, 0.02));
  assert.equal(await page.locator('tr.selected').count(), 0);
});

/** Points along the edges of a box of the slice, and points well inside it. */
function edgesOf([x, y, w, h]) {
  const along = [0.3, 0.45, 0.6, 0.75];
  return along.flatMap((t) => [
    [Math.round(x), Math.round(y + t * h)],
    [Math.round(x + w), Math.round(y + t * h)],
    [Math.round(x + t * w), Math.round(y + h)],
  ]);
}

const changed = (before, after) =>
  before.filter((colour, i) => colour.some((v, c) => Math.abs(v - after[i][c]) > 20)).length;

withPage('boxes lie where the answer puts them, with class and score', {}, async (page) => {
  await showSlice(page);
  await check(page, '[data-option=masks]', false);
  for (const { bbox_xywh: box } of sliceOf(SIZE).detections) {
    const [x, y, w, h] = box;
    const edges = edgesOf(box);
    const tag = [[Math.round(x) + 2, Math.round(y) - 3]];
    const inside = [[Math.round(x + w / 4), Math.round(y + 0.4 * h)]];
    const on = await pixels(page, SIZE, [...edges, ...tag, ...inside]);
    await check(page, '[data-option=boxes]', false);
    const off = await pixels(page, SIZE, [...edges, ...tag, ...inside]);
    await check(page, '[data-option=boxes]', true);
    const n = edges.length;
    // Some of a dashed line is not drawn.
    assert.ok(changed(on.slice(0, n), off.slice(0, n)) >= n / 2, `no line along ${box}`);
    assert.equal(changed(on.slice(n, n + 1), off.slice(n, n + 1)), 1, `no words at ${box}`);
    assert.deepEqual(on.slice(n + 1), off.slice(n + 1), `${box} is not hollow`);
  }
});

withPage('pointing at a row lights its box', {}, async (page) => {
  await showSlice(page);
  const away = () => page.mouse.move(2, 2);
  const { detections, explanation } = sliceOf(SIZE);
  const lights = async (row, box) => {
    await away();
    const dim = await pixels(page, SIZE, edgesOf(box));
    await row.scrollIntoViewIfNeeded();
    await row.hover();
    const lit = await pixels(page, SIZE, edgesOf(box));
    await away();
    assert.deepEqual(await pixels(page, SIZE, edgesOf(box)), dim, 'it stays lit');
    return changed(dim, lit) > 2;
  };
  assert.ok(await lights(page.locator('tr[data-finding="2"]'), detections[2].bbox_xywh));
  await check(page, '[name=mode][value=attention]', true);
  const row = page.locator('li[data-region="6"]');
  assert.ok(await lights(row, explanation.rois[6].bbox_xywh));
});

withPage('regions: both branches, their difference, repeats', {}, async (page) => {
  await showSlice(page);
  await page.getByRole('button', { name: 'Show on slice' }).click();
  assert.ok(await page.isChecked('[name=mode][value=attention]'));
  const values = async () =>
    (await page.locator('.regions .weight-values').allInnerTexts()).map((t) =>
      parseFloat(t.replace('−', '-')),
    );
  const forWeights = await values();
  assert.ok(Math.abs(forWeights.reduce((a, b) => a + b) - 100) < 1);
  assert.deepEqual(
    forWeights,
    [...forWeights].sort((a, b) => b - a),
  );
  await check(page, '[name=branch][value=against]', true);
  assert.notDeepEqual(await values(), forWeights);
  await check(page, '[name=branch][value=difference]', true);
  const difference = await values();
  assert.ok(Math.abs(difference.reduce((a, b) => a + b)) < 1);
  assert.ok(difference.some((v) => v < 0) && difference.some((v) => v > 0));
  await page.getByLabel('Strongest first').uncheck();
  assert.deepEqual(
    await page.locator('.regions .rank').allInnerTexts(),
    Array.from({ length: 16 }, (_, i) => `#${i + 1}`),
  );
  // A region chosen in the list is marked on the slice.
  const ref = sliceOf(SIZE).explanation.rois[6].bbox_xywh;
  const edge = Array.from({ length: 20 }, (_, i) => [
    Math.round(ref[0]),
    Math.round(ref[1] + ref[3] * (0.1 + 0.04 * i)),
  ]);
  const plain = await pixels(page, SIZE, edge);
  await page.locator('li[data-region="6"] button').click();
  const marked = await pixels(page, SIZE, edge);
  assert.notDeepEqual(plain, marked);
});

withPage('everything by keyboard', {}, async (page) => {
  await showSlice(page);
  await page.locator('#stage').focus();
  const fitted = await scale(page);
  await page.keyboard.press('+');
  assert.ok((await scale(page)) > fitted);
  await page.keyboard.press('x');
  assert.equal(await scale(page), 100);
  const probe = [[128, 128]];
  await page.keyboard.press('0');
  assert.equal(await scale(page), fitted);
  await page.keyboard.press('m');
  assert.equal(await page.isChecked('[data-option=masks]'), false);
  await page.keyboard.press('b');
  assert.equal(await page.isChecked('[data-option=boxes]'), false);
  const still = await pixels(page, SIZE, probe);
  for (const key of ['ArrowLeft', 'ArrowLeft', 'ArrowLeft']) {
    await page.keyboard.press(key);
  }
  assert.notDeepEqual(await pixels(page, SIZE, probe), still);
  await page.keyboard.press('n');
  assert.equal(await page.locator('tr.selected').getAttribute('data-finding'), '0');
  await page.keyboard.press('n');
  assert.equal(await page.locator('tr.selected').getAttribute('data-finding'), '1');
  await page.keyboard.press('p');
  await page.keyboard.press('p');
  assert.equal(await page.locator('tr.selected').getAttribute('data-finding'), '4');
  await page.keyboard.press('z');
  assert.ok((await scale(page)) > 2 * fitted);
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('tr.selected').count(), 0);
  await page.keyboard.press('v');
  assert.ok(await page.isChecked('[name=mode][value=attention]'));
  // In the table: one stop, arrows inside.
  await page.locator('tr[data-finding="0"] button').focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('tr.selected').getAttribute('data-finding'), '2');
  assert.equal(await page.locator('.findings button[tabindex="0"]').count(), 1);
  // Letters typed elsewhere do nothing to the slice.
  await page.locator('summary').click();
  await page.locator('#o-max').focus();
  await page.keyboard.press('m');
  assert.equal(await page.isChecked('[data-option=masks]'), false);
});

withPage('zoom and pan with the mouse', {}, async (page) => {
  await showSlice(page);
  const box = await page.locator('#canvas').boundingBox();
  const middle = [box.x + box.width / 2, box.y + box.height / 2];
  const fitted = await scale(page);
  await page.mouse.move(...middle);
  await page.mouse.wheel(0, -600);
  await page.waitForFunction(
    (old) => parseInt(document.getElementById('zoom-level').textContent, 10) > old,
    fitted,
  );
  await check(page, '[name=mode][value=image]', true);
  const spot = [
    [100, 128],
    [150, 90],
  ];
  const still = await pixels(page, SIZE, spot);
  await page.mouse.move(...middle);
  await page.mouse.down();
  await page.mouse.move(middle[0] + 90, middle[1] + 40, { steps: 4 });
  await page.mouse.up();
  assert.notDeepEqual(await pixels(page, SIZE, spot), still);
  assert.equal(await page.locator('tr.selected').count(), 0, 'a drag is not a click');
  await page.click('#zoom-fit');
  assert.equal(await scale(page), fitted);
});

withPage('16-bit slices are shown by their own range', {}, async (page) => {
  const values = Array.from(phantom(256), (v) => 1000 + 4 * v);
  await showSlice(page, { ...SLICE, buffer: encodePng(256, 256, values, 16) });
  assert.equal(await page.getAttribute('#contrast', 'aria-pressed'), 'true');
  await check(page, '[name=mode][value=image]', true);
  const [bone] = await pixels(page, SIZE, [[128, 195]]);
  assert.ok(bone[0] > 220, `bone is ${bone}`);
  const box = await page.locator('#canvas').boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.waitForSelector('#probe:visible');
  assert.ok(parseInt((await text(page, '#probe')).split('grey ')[1], 10) >= 1000);
  await page.click('#contrast');
  const [flat] = await pixels(page, SIZE, [[128, 195]]);
  assert.ok(flat[0] < 20, `unstretched it is nearly black: ${flat}`);
});

withPage(
  'a phone',
  { width: 360, height: 640, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
  async (page) => {
    await showSlice(page);
    await check(page, '[name=mode][value=both]', true);
    const layout = await page.evaluate(() => ({
      overflow: document.documentElement.scrollWidth - window.innerWidth,
      canvas: [
        document.getElementById('canvas').width,
        document.getElementById('stage').clientWidth,
      ],
      side: document.querySelector('.side').getBoundingClientRect().top,
      stage: document.querySelector('.stage-column').getBoundingClientRect().bottom,
    }));
    assert.ok(layout.overflow <= 0, `${layout.overflow} px too wide`);
    assert.equal(layout.canvas[0], 2 * layout.canvas[1], 'drawn at the density of the screen');
    assert.ok(layout.side >= layout.stage, 'panels follow below the slice');
    assert.ok(await page.isVisible('.research'));
    const foot = await page.locator('.foot').boundingBox();
    assert.ok(foot.height <= 64, `the foot of the page is ${foot.height} px high`);
    for (const part of ['.model-name', '.trained', '.foot code']) {
      const { x, width } = await page.locator(part).boundingBox();
      assert.ok(x >= 0 && x + width <= 360, `${part} is cut off`);
    }
    await page.locator('tr[data-finding="2"]').tap();
    assert.equal(await page.locator('tr.selected').count(), 1);
    await page.getByRole('button', { name: 'Zoom to selected' }).first().tap();
    await page.waitForFunction(() => {
      const bounds = document.getElementById('stage').getBoundingClientRect();
      return bounds.top >= -1 && bounds.bottom <= window.innerHeight + 1;
    });
  },
);

withPage('a wall-sized screen', { width: 3840, height: 2160 }, async (page) => {
  await showSlice(page);
  const layout = await page.evaluate(() => ({
    type: parseFloat(getComputedStyle(document.body).fontSize),
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    column: document.querySelector('.stage-column').getBoundingClientRect().bottom,
    foot: document.querySelector('.foot').getBoundingClientRect().top,
    side: document.querySelector('.side').getBoundingClientRect().right,
  }));
  assert.ok(layout.type >= 20, `words of ${layout.type} px`);
  assert.ok(layout.overflow <= 0);
  assert.ok(layout.column <= layout.foot, 'the switches below the slice are out of sight');
  assert.ok(layout.side > 3700, 'the width is not used');
  // Pointing still hits: the middle of a pixel near the edge of the slice.
  const box = await page.locator('#canvas').boundingBox();
  const size = Math.min(box.width, box.height);
  await page.mouse.move(
    box.x + (box.width - size) / 2 + (200.5 * size) / 256,
    box.y + (box.height - size) / 2 + (231.5 * size) / 256,
  );
  await page.waitForSelector('#probe:visible');
  assert.match(await text(page, '#probe'), /^x 200 {2}y 231 /);
});
