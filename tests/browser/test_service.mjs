// The viewer on the real service: with its model, and with the fake one.

import assert from 'node:assert/strict';
import { createServer, request as forward } from 'node:http';
import { after, before, describe, test } from 'node:test';
import {
  choose,
  closePage,
  openPage,
  pixels,
  showSlice,
  SLICE,
  text,
  waitPhase,
} from './browser.mjs';
import { programs, startService } from './service.mjs';

const SIZE = { width: 256, height: 256 };
const ALL = { score_threshold: '0.02', max_detections: '24' };

for (const [name, program, there] of programs()) {
  describe(`on ${name}`, { skip: there ? false : `${program} is not built` }, () => {
    let service;

    before(async () => {
      service = await startService(program, { prefix: '/ct' });
    });
    after(() => service?.stop());

    /** What the service itself answers, without the viewer. */
    const ask = async () => {
      const url = new URL('v1/predict', service.url);
      Object.entries(ALL).forEach(([key, value]) => url.searchParams.set(key, value));
      const answer = await fetch(url, {
        method: 'POST',
        body: SLICE.buffer,
        headers: { 'Content-Type': 'image/png' },
      });
      assert.equal(answer.status, 200);
      return answer.json();
    };

    /** A page with the viewer's answer to the same. */
    const openAsked = async () => {
      const page = await openPage(service.url);
      await page.waitForSelector('#service[data-state=ready]');
      await page.locator('summary').click();
      await page.locator('#o-threshold').fill(ALL.score_threshold);
      await page.locator('#o-max').fill(ALL.max_detections);
      await showSlice(page);
      return page;
    };

    test('the page loads under a prefix and says what it stands on', async () => {
      const page = await openPage(service.url);
      await page.waitForSelector('#service[data-state=ready]');
      const info = await (await fetch(new URL('v1/info', service.url))).json();
      assert.ok((await text(page, '#model-facts')).includes(info.model.name));
      assert.equal(await page.isVisible('#untrained'), info.model.trained === false);
      const policy = (await fetch(service.url)).headers.get('content-security-policy');
      assert.match(policy, /script-src 'self'/);
      assert.doesNotMatch(policy, /unsafe/);
      await closePage(page);
    });

    test('a slice goes in, everything the service found comes out', async () => {
      const page = await openAsked();
      const direct = await ask();
      assert.equal(
        await page.locator('.findings tbody tr').count(),
        direct.detections.length,
      );
      assert.equal(await page.locator('.regions li').count(), direct.explanation.rois.length);
      if (direct.classification === null) {
        assert.match(await text(page, '.verdict'), /No assessment/);
      } else {
        const shown = await page.locator('.class-value').allInnerTexts();
        direct.classification.classes.forEach((c, i) =>
          assert.ok(Math.abs(parseFloat(shown[i]) - 100 * c.probability) < 0.06),
        );
      }
      assert.equal(await page.isVisible('#untrained'), direct.model.trained === false);
      assert.notEqual(await text(page, '#request-id'), '');
      assert.equal(await page.locator('.warnings li').count(), direct.warnings.length);
      await closePage(page);
    });

    test('masks are drawn where the service put them', async (t) => {
      const { detections } = await ask();
      if (detections.length === 0) {
        t.skip('the model found nothing on the phantom');
        return;
      }
      const page = await openAsked();
      const union = await page.evaluate(
        async (list) => {
          const { decodeMask } = await import(new URL('rle.js', document.baseURI));
          const all = new Uint8Array(list[0].size[0] * list[0].size[1]);
          list.map(decodeMask).forEach((m) =>
            m.data.forEach((v, i) => {
              all[i] |= v;
            }),
          );
          return [...all];
        },
        detections.map((d) => d.segmentation),
      );
      await page.locator('[data-option=boxes]').uncheck();
      for (const layer of ['lungs', 'ggo', 'consolidation']) {
        await page.locator(`[data-opacity=${layer}]`).fill('80');
      }
      // Points whose whole neighbourhood is covered, or is not.
      const points = [];
      for (let y = 4; y < SIZE.height - 4; y += 5) {
        for (let x = 4; x < SIZE.width - 4; x += 5) {
          let sum = 0;
          for (let dy = -3; dy <= 3; dy++) {
            for (let dx = -3; dx <= 3; dx++) {
              sum += union[(y + dy) * SIZE.width + x + dx];
            }
          }
          if (sum === 0 || sum === 49) {
            points.push([x, y, sum === 49]);
          }
        }
      }
      const on = await pixels(page, SIZE, points);
      await page.locator('[data-option=masks]').uncheck();
      const off = await pixels(page, SIZE, points);
      points.forEach(([x, y, covered], i) => {
        const change = Math.max(...on[i].map((v, k) => Math.abs(v - off[i][k])));
        assert.ok(
          covered ? change > 8 : change === 0,
          `${x},${y} ${covered ? 'covered' : 'bare'}: ${off[i]} → ${on[i]}`,
        );
      });
      await closePage(page);
    });

    test('a file that is no picture is refused in words', async () => {
      const page = await openPage(service.url, { allowed: [415, 422] });
      await page.waitForSelector('#service[data-state=ready]');
      await choose(page, {
        name: 'notes.png',
        mimeType: 'image/png',
        buffer: Buffer.from('These are notes, no slice.'),
      });
      await waitPhase(page, 'problem');
      assert.match(await text(page, '.problem-facts'), /unsupported_media|bad_png/);
      assert.ok((await text(page, '.problem-detail')).length > 10);
      await choose(page, {
        ...SLICE,
        buffer: SLICE.buffer.subarray(0, SLICE.buffer.length / 2),
      });
      await page.waitForSelector('.problem[data-code=bad_png]');
      await showSlice(page);
      await closePage(page);
    });

    test('the sample, where this build has one', async (t) => {
      const { status } = await fetch(new URL('sample.png', service.url), { method: 'HEAD' });
      const page = await openPage(service.url);
      if (status !== 200) {
        await page.waitForSelector('#service[data-state=ready]');
        assert.ok(await page.isHidden('[data-sample="sample.png"]'));
        t.diagnostic('this build has no sample.png');
      } else {
        await page.click('[data-sample="sample.png"]');
        await waitPhase(page, 'done');
        assert.equal(await text(page, '#file-name'), 'sample.png');
      }
      await closePage(page);
    });

    test('behind a proxy that puts it somewhere else', async (t) => {
      // As nginx does with `location /team/ct/ { proxy_pass http://…/ct/; }`.
      const proxy = createServer((incoming, outgoing) => {
        if (!incoming.url.startsWith('/team/scans/')) {
          outgoing.writeHead(404).end();
          return;
        }
        const target = new URL(incoming.url.slice('/team/scans/'.length), service.url);
        const { method, headers } = incoming;
        const passed = forward(target, { method, headers }, (answer) => {
          outgoing.writeHead(answer.statusCode, answer.headers);
          answer.pipe(outgoing);
        });
        passed.on('error', () => outgoing.destroy());
        incoming.pipe(passed);
      });
      await new Promise((resolve) => {
        proxy.listen(0, '127.0.0.1', resolve);
      });
      t.after(() => proxy.close());
      const page = await openPage(`http://127.0.0.1:${proxy.address().port}/team/scans/`);
      await page.waitForSelector('#service[data-state=ready]');
      await page.getByRole('button', { name: 'Sample volume' }).click();
      await waitPhase(page, 'done');
      await page.waitForSelector('#volume-panel:visible');
      await closePage(page);
      proxy.closeAllConnections();
    });

    test('the service goes away', async (t) => {
      const other = await startService(program);
      t.after(other.stop);
      const page = await openPage(other.url, { allowed: ['offline', 503] });
      await page.waitForSelector('#service[data-state=ready]');
      await other.stop();
      await choose(page);
      await page.waitForSelector('.problem[data-code=network]');
      assert.match(await text(page, '.problem-title'), /cannot be reached/);
      await closePage(page);
    });
  });
}

// What only the fake model can be told to do.
const [, fake, fakeThere] = programs().find(([name]) => name === 'oneshot-fake');
describe(
  'on a fake model that is slow',
  { skip: fakeThere ? false : `${fake} is not built` },
  () => {
    test('a full queue is waited out', async (t) => {
      const service = await startService(fake, {
        flags: ['--queue', '1'],
        env: { FAKE_PREDICT_MS: '2500', FAKE_TRAINED: '1' },
      });
      t.after(service.stop);
      const page = await openPage(service.url, { allowed: [429] });
      await page.waitForSelector('#service[data-state=ready]');
      assert.ok(await page.isHidden('#untrained'));
      const send = () =>
        fetch(new URL('v1/predict', service.url), { method: 'POST', body: SLICE.buffer });
      // One is worked on, one waits: the queue has no place left.
      const others = [send()];
      const busy = new URL('readyz?verbose', service.url);
      while ((await (await fetch(busy)).json()).busy < 1) {
        await page.waitForTimeout(20);
      }
      others.push(send());
      while ((await (await fetch(busy)).json()).queued < 1) {
        await page.waitForTimeout(20);
      }
      await choose(page);
      await page.waitForSelector('.problem[data-code=queue_full]');
      assert.match(await text(page, '.problem-wait'), /Trying again in \d+ s/);
      await waitPhase(page, 'done');
      assert.equal(
        (await Promise.all(others)).every((r) => r.ok),
        true,
      );
      assert.ok(await page.isHidden('#untrained'));
      await closePage(page);
    });

    test('a model that is still loading is waited for', async (t) => {
      const service = await startService(fake, {
        unready: true,
        env: { FAKE_LOAD_MS: '12000' },
      });
      t.after(service.stop);
      const page = await openPage(service.url, { allowed: [503] });
      await choose(page);
      await page.waitForSelector('.problem[data-code=model_loading]');
      assert.match(await text(page, '#service-text'), /Model loading/);
      await waitPhase(page, 'done');
      await page.waitForSelector('#service[data-state=ready]');
      await closePage(page);
    });
  },
);
