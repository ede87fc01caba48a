// The page with an answer on it: files in, pixels, switches, choosing, keyboard, phone.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import {
  choose,
  closePage,
  drop,
  openPage,
  pixels,
  showSlice,
  SLICE,
  text,
  waitPhase,
  withEnd,
} from './browser.mjs';
import { infoOf, Mock, sendJson, sliceOf } from './mock.mjs';
import { encodePng, inShape, phantom, SHAPES } from './png.mjs';

const SIZE = { width: 256, height: 256 };
let mock;

before(async () => {
  // Below a prefix, so that every address on the page has to be a relative one.
  mock = await new Mock('/ct/slices').start();
});
after(() => mock.stop());

function withPage(name, options, body) {
  test(name, async () => {
    mock.requests = [];
    mock.info = infoOf({ trained: true });
    mock.reply = (request, response) => sendJson(response, 200, sliceOf(SIZE));
    const page = await openPage(mock.url, options);
    await withEnd(page, body);
  });
}

const check = (page, selector, on) => page.locator(selector).setChecked(on, { force: true });
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

withPage('the empty page says what to do', {}, async (page) => {
  await page.waitForSelector('#service[data-state=ready]');
  assert.equal(await text(page, '#intro h2'), 'Drop a chest CT here');
  assert.ok(await page.isVisible('.research'));
  assert.match(await text(page, '.research'), /Research use only – not for diagnosis/);
  assert.ok(await page.isHidden('#untrained'));
  assert.ok(await page.isHidden('#results'));
  assert.match(await text(page, '#model-facts'), /resnext50_32x4d/);
});

withPage('a chosen file is sent as it is and its answer shown', {}, async (page) => {
  await showSlice(page);
  assert.equal(mock.requests.length, 1);
  const [request] = mock.requests;
  assert.deepEqual(request.body, SLICE.buffer);
  assert.equal(request.headers['content-type'], 'image/png');
  assert.equal(request.query.get('masks'), 'rle');
  assert.equal(request.headers.authorization, undefined);
  assert.match(await text(page, '.verdict'), /COVID-19\s*83\.3 %/);
  assert.equal(await page.locator('.class-bar').count(), 3);
  assert.match(await text(page, '.assessment'), /do not sum to 100 %/);
  assert.equal(await page.locator('.findings tbody tr').count(), 5);
  assert.equal(await page.locator('.regions li').count(), 16);
  assert.equal(await page.locator('.regions .badge').count(), 3);
  assert.match(await text(page, '.figure'), /^\d+\.\d %$/);
  assert.match(await text(page, '.warnings'), /Window assumed/);
  assert.equal(await text(page, '#request-id'), 'req-5b1e');
  assert.match(await text(page, '.timing-list'), /Model 182 ms/);
  assert.match(await text(page, '#status'), /COVID-19, 83\.3 %. 5 findings, 16 regions/);
  // The bars are as long as their numbers.
  const bars = await page.$$eval('.class-fill', (list) =>
    list.map(
      (bar) =>
        bar.getBoundingClientRect().width / bar.parentElement.getBoundingClientRect().width,
    ),
  );
  [0.0423, 0.3121, 0.8334].forEach((p, i) => assert.ok(Math.abs(bars[i] - p) < 0.01));
});

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

withPage('dropped files become a list, a pasted one joins it', {}, async (page) => {
  await drop(page, [SLICE, { ...SLICE, name: 'other.png' }]);
  await waitPhase(page, 'done');
  assert.equal(await text(page, '#file-name'), 'slice 7.png');
  assert.ok(await page.isHidden('#drop-veil'));
  assert.deepEqual(await page.locator('.file-title').allInnerTexts(), ['slice 7.png', 'other.png']);
  await page.waitForFunction(
    () => document.querySelectorAll('.files li[data-status=done]').length === 2,
  );
  await page.evaluate((base64) => {
    const data = new DataTransfer();
    data.items.add(
      new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], 'pasted.png', {
        type: 'image/png',
      }),
    );
    document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }));
  }, SLICE.buffer.toString('base64'));
  await page.waitForFunction(
    () => document.getElementById('file-name').textContent === 'pasted.png',
  );
  await waitPhase(page, 'done');
  assert.equal(mock.requests.length, 3);
  // Going back asks nobody again, closing takes it off the list.
  await page.getByRole('button', { name: /^other\.png/ }).click();
  await waitPhase(page, 'done');
  assert.equal(await text(page, '#file-name'), 'other.png');
  await page.getByRole('button', { name: 'Close other.png' }).click();
  assert.deepEqual(await page.locator('.file-title').allInnerTexts(), [
    'slice 7.png',
    'pasted.png',
  ]);
  assert.equal(mock.requests.length, 3);
});

withPage('untrained weights are unmissable', {}, async (page) => {
  mock.reply = (request, response) =>
    sendJson(response, 200, sliceOf({ ...SIZE, trained: false }));
  assert.ok(await page.isHidden('#untrained'));
  await showSlice(page);
  assert.ok(await page.isVisible('#untrained'));
  assert.match(await text(page, '#untrained'), /every result is noise/);
  assert.ok(await page.isVisible('.noise-line'));
  const line = await page.$eval(
    '.verdict-name',
    (node) => getComputedStyle(node).textDecorationLine,
  );
  assert.equal(line, 'line-through');
});

test('untrained weights are told before any slice', async () => {
  mock.info = infoOf({ trained: false });
  const page = await openPage(mock.url);
  await page.waitForSelector('#untrained:visible');
  await closePage(page);
});

withPage('no region, no assessment', {}, async (page) => {
  mock.reply = (request, response) => sendJson(response, 200, sliceOf({ ...SIZE, regions: 0 }));
  await showSlice(page);
  assert.match(await text(page, '.assessment'), /No assessment.*gives no class/s);
  assert.match(
    await text(page, '[aria-labelledby=h-regions]'),
    /No region of this slice survived/,
  );
  assert.equal(await page.locator('.regions li').count(), 0);
});

withPage('what the service says is text, never markup', {}, async (page) => {
  const attack = '<img src=x onerror="window.owned=1"><b>bold</b>';
  mock.reply = (request, response) => {
    const answer = sliceOf(SIZE);
    answer.model.name = attack;
    answer.detections[0].class = attack;
    answer.classification.classes[0].name = attack;
    answer.warnings.push({ code: attack, detail: attack });
    sendJson(response, 200, answer, { 'X-Request-Id': 'x' });
  };
  await showSlice(page, { ...SLICE, name: `${attack}.png` });
  assert.equal(await page.evaluate(() => window.owned), undefined);
  assert.equal(await page.locator('main img').count(), 0);
  assert.match(await text(page, '.warnings'), /<b>bold<\/b>/);
});

withPage('a second file is shown at once and answered beside the first', {}, async (page) => {
  let left = 0;
  mock.reply = (request, response) => {
    response.on('close', () => {
      left++;
    });
  };
  await choose(page);
  await page.waitForSelector('#busy:visible');
  while (mock.requests.length < 1) {
    await page.waitForTimeout(20);
  }
  mock.reply = (request, response) =>
    sendJson(response, 200, sliceOf({ ...SIZE, requestId: 'second' }));
  await showSlice(page, { ...SLICE, name: 'second.png' });
  assert.equal(await text(page, '#request-id'), 'second');
  assert.equal(left, 0, 'the first is still being worked on');
  await page.getByRole('button', { name: 'Close slice 7.png' }).click();
  while (left < 1) {
    await page.waitForTimeout(20);
  }
  assert.equal(await text(page, '#request-id'), 'second');
});

withPage('options of the request are sent, and shown in the command', {}, async (page) => {
  await showSlice(page);
  await page.locator('summary').click();
  await page.locator('#o-threshold').fill('0.3');
  await page.locator('#again').click();
  await page.waitForFunction(() =>
    /score_threshold=0\.3/.test(document.querySelector('.command').textContent),
  );
  assert.equal(mock.requests[1].query.get('score_threshold'), '0.3');
  assert.equal(mock.requests[1].query.get('max_detections'), null);
});

withPage('answer, picture and command to take away', { acceptDownloads: true }, async (page) => {
  let sent = '';
  mock.reply = (request, response) => {
    const answer = sliceOf(SIZE);
    sent = JSON.stringify(answer);
    sendJson(response, 200, answer);
  };
  await showSlice(page);
  const save = async (button) => {
    const [download] = await Promise.all([page.waitForEvent('download'), page.click(button)]);
    return { name: download.suggestedFilename(), bytes: await readFile(await download.path()) };
  };
  const json = await save('#save-json');
  assert.equal(json.name, 'slice 7.oneshot.json');
  assert.equal(json.bytes.toString(), sent);
  const png = await save('#save-png');
  assert.equal(png.name, 'slice 7.oneshot.png');
  assert.equal(png.bytes.toString('latin1', 1, 4), 'PNG');
  assert.ok(png.bytes.readUInt32BE(20) > 2 * 256, 'a legend below the slice');
  assert.equal(
    await text(page, '.command'),
    `curl --data-binary '@slice 7.png' '${mock.url}v1/predict?masks=rle'`,
  );
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
    await page.locator('tr[data-finding="2"]').tap();
    assert.equal(await page.locator('tr.selected').count(), 1);
    await page.getByRole('button', { name: 'Zoom to selected' }).first().tap();
    await page.waitForFunction(() => {
      const bounds = document.getElementById('stage').getBoundingClientRect();
      return bounds.top >= -1 && bounds.bottom <= window.innerHeight + 1;
    });
  },
);
