// The page around a slice: files in, what is said about them, what can be kept.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  choose,
  closePage,
  drop,
  openPage,
  showSlice,
  SLICE,
  text,
  waitPhase,
} from './browser.mjs';
import { infoOf, sendJson, sliceOf } from './mock.mjs';
import { nii, onMock, save, silent, waitText } from './pages.mjs';
import { phantomPng } from './png.mjs';
import { answerOf, labelAt } from './volume.mjs';

// Below a prefix, so that every address on the page has to be a relative one.
const SIZE = { width: 256, height: 256 };
const { mock, withPage } = onMock('/ct/slices', (request, response) =>
  sendJson(response, 200, sliceOf(SIZE)),
);

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

withPage('a sample volume is one click away', {}, async (page) => {
  mock.reply = silent;
  await page.waitForSelector('#service[data-state=ready]');
  await page.getByRole('button', { name: 'Sample volume' }).click();
  await waitText(page, '#file-facts', /^192 × 192 × 32 px .* mm · 53\d KiB$/);
  assert.equal(await text(page, '#file-name'), 'sample.nii.gz');
  assert.equal(await text(page, '.slice-number'), '17 / 32');
});

withPage('how much has been sent is told', {}, async (page) => {
  mock.reply = silent;
  await page.waitForSelector('#service[data-state=ready]');
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  await session.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: 0,
    downloadThroughput: -1,
    uploadThroughput: 50_000, // bytes per second
  });
  await page.evaluate(() => {
    window.shares = [];
    new MutationObserver(() => {
      const share = document.querySelector('.busy-bar')?.getAttribute('aria-valuenow');
      if (share && document.querySelector('.busy-detail').textContent.includes(' of ')) {
        window.shares.push(Number(share));
      }
    }).observe(document.getElementById('busy'), {
      subtree: true,
      childList: true,
      attributes: true,
    });
  });
  await choose(page, nii());
  await page.waitForFunction(() => new Set(window.shares).size >= 3);
  const shares = await page.evaluate(() => window.shares);
  assert.deepEqual(shares, [...shares].sort((a, b) => a - b));
  assert.ok(shares.some((share) => share > 0 && share < 100), `${shares}`);
});

withPage(
  'the command is copied by a button',
  { permissions: ['clipboard-read', 'clipboard-write'] },
  async (page) => {
    await showSlice(page);
    await page.getByRole('button', { name: 'Copy curl command' }).click();
    await page.waitForFunction(
      async () =>
        (await navigator.clipboard.readText()) === document.querySelector('.command').textContent,
    );
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^curl --data-binary/);
  },
);

withPage('which model answers is in sight wherever the page is', { height: 600 }, async (page) => {
  await showSlice(page);
  for (const top of [0, 400, 100_000]) {
    await page.evaluate((y) => window.scrollTo(0, y), top);
    for (const part of ['.research', '.model-name', '.foot code', '.trained']) {
      const { y, height } = await page.locator(part).boundingBox();
      assert.ok(y >= 0 && y + height <= 600, `${part} is at ${y} after scrolling to ${top}`);
    }
  }
  assert.equal(await text(page, '.foot code'), 'sha256 4f0c2b7de0a9…');
  assert.equal(await text(page, '.trained'), 'trained');
});

withPage('closing the only file forgets it', {}, async (page) => {
  await showSlice(page);
  assert.match(await page.content(), /slice 7\.png/);
  await page.getByRole('button', { name: 'Close this file' }).click();
  await waitPhase(page, 'empty');
  assert.ok(await page.isVisible('#intro'));
  assert.ok(await page.isVisible('#guide'));
  assert.ok(await page.isHidden('#results'));
  const canvas = await page.evaluate(() => {
    const { width, height } = document.getElementById('canvas');
    const context = document.getElementById('canvas').getContext('2d');
    return context.getImageData(0, 0, width, height).data.some((v) => v !== 0);
  });
  assert.equal(canvas, false, 'something of it is still drawn');
  assert.doesNotMatch(await page.content(), /slice 7\.png|req-5b1e/);
  await showSlice(page);
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
  assert.equal(await page.locator('main img:not(.drop-icon)').count(), 0);
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
  const json = await save(page, '#save-json');
  assert.equal(json.name, 'slice 7.oneshot.json');
  assert.equal(json.bytes.toString(), sent);
  const png = await save(page, '#save-png');
  assert.equal(png.name, 'slice 7.oneshot.png');
  assert.equal(png.bytes.toString('latin1', 1, 4), 'PNG');
  assert.ok(png.bytes.readUInt32BE(20) > 2 * 256, 'a legend below the slice');
  assert.equal(
    await text(page, '.command'),
    `curl --data-binary '@slice 7.png' '${mock.url}v1/predict?masks=rle'`,
  );
});

withPage('the label map of a slice is a PNG of its classes', { acceptDownloads: true }, async (page) => {
  const [width, height] = [96, 80];
  mock.reply = (request, response) => sendJson(response, 200, answerOf(6, [width, height, 12]));
  await showSlice(page, { ...SLICE, buffer: phantomPng(width, height) });
  assert.equal(await text(page, '#save-labels'), 'Label map (PNG)');
  // What is hidden on the page is in the map all the same.
  await page.locator('[data-layer=ggo]').uncheck();
  const { name, bytes } = await save(page, '#save-labels');
  assert.equal(name, 'slice 7.labels.png');
  assert.equal(mock.requests.length, 1, 'it is no second request');
  // Read by the browser's own decoder.
  const greys = await page.evaluate(async (base64) => {
    const data = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([data], { type: 'image/png' }));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext('2d');
    context.drawImage(bitmap, 0, 0);
    const pixels = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
    return [bitmap.width, bitmap.height, ...pixels.filter((_, i) => i % 4 === 0)];
  }, bytes.toString('base64'));
  assert.deepEqual(greys.slice(0, 2), [width, height]);
  const seen = new Set();
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const label = labelAt(x, y, 6, [width, height, 12]);
      seen.add(label);
      assert.equal(greys[2 + y * width + x], label, `${x},${y}`);
    }
  }
  assert.deepEqual([...seen].sort(), [0, 1, 2, 3]);
  assert.equal(bytes[24], 8, 'bits');
  assert.equal(bytes[25], 0, 'grey');
});
