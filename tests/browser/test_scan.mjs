// A phantom's volume on the real service: sent, answered slice by slice, summed up, overlaid, kept.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { choose, drop, openPage, pixels, text, waitPhase, withEnd } from './browser.mjs';
import { encodeNiftiGz, readerOf } from './nifti.mjs';
import { check, save, waitText } from './pages.mjs';
import { programs, startService } from './service.mjs';

const SIDE = 128;
const DEPTH = process.env.SHORT ? 6 : 10;
const HEADER = 352; // of the label map, before its voxels
const [[, oneshot, built]] = programs();

/** A volume as `oneshot phantom` writes it: columns to the left, rows to the back, as it is shown. */
function phantomVolume() {
  const folder = mkdtempSync(join(tmpdir(), 'oneshot-'));
  const path = join(folder, 'phantom.nii.gz');
  const options = ['--volume', DEPTH, '--size', SIDE, '--kind', 'covid', '--seed', 5];
  execFileSync(oneshot, ['phantom', '--nifti', path, ...options.map(String)]);
  const buffer = readFileSync(path);
  rmSync(folder, { recursive: true });
  return { name: 'phantom.nii.gz', mimeType: 'application/gzip', buffer };
}

const waitSlice = (page, k) => waitText(page, '.slice-number', new RegExp(`^${k + 1} / ${DEPTH}$`));
const number = (words) => parseFloat(words.replaceAll(',', ''));

/** Masks, and nothing else, tint what at(x, y, k) of the label map says, in slices `list`. */
async function assertCovered(page, at, list) {
  await check(page, '[data-option=boxes]', false);
  for (const layer of ['lungs', 'ggo', 'consolidation']) {
    await page.locator(`[data-opacity=${layer}]`).fill('60');
  }
  let found = 0;
  for (const k of list) {
    await page.locator('#slice').fill(String(k + 1));
    await waitSlice(page, k);
    const points = [];
    for (let y = 9; y < SIDE - 9; y += 2) {
      for (let x = 9; x < SIDE - 9; x += 2) {
        const near = [-1, 0, 1].flatMap((dy) => [-1, 0, 1].map((dx) => at(x + dx, y + dy, k)));
        if (near.every((v) => v === near[0])) {
          points.push([x, y]);
        }
      }
    }
    await check(page, '[name=mode][value=findings]', true);
    const on = await pixels(page, { width: SIDE, height: SIDE }, points);
    await check(page, '[name=mode][value=image]', true);
    const off = await pixels(page, { width: SIDE, height: SIDE }, points);
    points.forEach(([x, y], i) => {
      const [r, , b] = on[i].map((v, c) => v - off[i][c]);
      const wanted = at(x, y, k);
      found += wanted > 0 ? 1 : 0;
      // Blue for lungs; yellow and orange, which take blue away, for lesions.
      const drawn = r === 0 && b === 0 ? 0 : b >= r ? 1 : 2;
      assert.equal(drawn, Math.min(wanted, 2), `slice ${k}: ${x},${y} is ${wanted}`);
    });
  }
  assert.ok(found > 100, `only ${found} points of the label map are anything`);
}

for (const [name, program, there] of programs().slice(0, process.env.SHORT ? 1 : 2)) {
  const skip = !built ? `${oneshot} is not built` : there ? false : `${program} is not built`;
  describe(`a volume on ${name}`, { skip }, () => {
    let file;
    let service;

    before(async () => {
      file = phantomVolume();
      // The stand-in answers at once, and nothing could be seen coming.
      const env = { FAKE_PREDICT_MS: '60', FAKE_TRAINED: '1' };
      service = await startService(program, { prefix: '/ct', env });
    });
    after(() => service?.stop());

    /** What the service itself answers, without the viewer. */
    const ask = async (accept, body = file.buffer) => {
      const response = await fetch(new URL('v1/predict', service.url), {
        method: 'POST',
        body,
        headers: { Accept: accept },
      });
      assert.equal(response.status, 200);
      return response;
    };

    let answer;
    const askOnce = async () => {
      answer ??= await (await ask('application/json')).json();
      return answer;
    };

    const onPage = (what, body, options = {}) =>
      test(what, async () => {
        const page = await openPage(service.url, options);
        await page.waitForSelector('#service[data-state=ready]');
        await withEnd(page, body);
      });

    const openDone = async (page) => {
      await choose(page, file);
      await waitPhase(page, 'done');
      await page.waitForSelector('#results:visible');
    };

    onPage('slice by slice, each as soon as it is there', async (page) => {
      // What the page says while it works, noted by the page itself: a test that looks now and
      // then may miss it.
      await page.evaluate(() => {
        window.said = [];
        new MutationObserver(() => {
          const words = document.getElementById('busy-text')?.textContent;
          if (words && window.said.at(-1)?.words !== words) {
            const phase = document.body.dataset.phase;
            window.said.push({ words, phase, answered: document.body.matches('.answered') });
          }
        }).observe(document.body, { subtree: true, childList: true, characterData: true });
      });
      await drop(page, [file]);
      // The first slices are answered while the last ones are not.
      await waitText(page, '#busy-text', new RegExp(`^Slice \\d+ of ${DEPTH}$`));
      await page.locator('#slice').fill('1');
      await waitSlice(page, 0);
      await page.waitForSelector('#results:visible');
      await waitPhase(page, 'done');
      const said = await page.evaluate(() => window.said);
      const steps = said
        .filter(({ phase }) => phase === 'busy')
        .map(({ words }) => /^Slice (\d+) of/.exec(words)?.[1])
        .filter(Boolean)
        .map(Number);
      assert.ok(steps.length >= 3, `slices were told ${steps.length} times: ${steps}`);
      assert.deepEqual(steps, [...steps].sort((a, b) => a - b));
      assert.ok(said.some(({ phase, answered }) => phase === 'busy' && answered));
      // What arrived is what was dropped.
      const hash = createHash('sha256').update(file.buffer).digest('hex');
      const hashes = await page.$$eval('.facts code', (codes) => codes.map((c) => c.title));
      assert.ok(hashes.some((title) => title.includes(hash)), `${hash} not in ${hashes}`);
    });

    onPage('burden, vote, worst slices and every slice as the service has them', async (page) => {
      await openDone(page);
      const direct = await askOnce();
      const { burden, vote, worst_slices: worst } = direct.summary;
      const { total } = burden;
      const figure = await text(page, '#volume-panel .figure');
      assert.ok(Math.abs(number(figure) - total.affected_pct) < 0.051, figure);
      const rows = page.locator('.burden-table tbody tr');
      for (const [row, key] of ['lung_ml', 'ggo_ml', 'consolidation_ml'].entries()) {
        const cells = await rows.nth(row).locator('td').allInnerTexts();
        ['right', 'left', 'total'].forEach((side, i) => {
          const [shown, wanted] = [number(cells[i]), burden[side][key]];
          assert.ok(Math.abs(shown - wanted) <= (wanted >= 100 ? 0.51 : 0.051), `${key} ${side}`);
        });
      }
      if (vote.predicted !== null && vote.predicted !== undefined) {
        const { probability } = vote.classes.find((c) => c.name === vote.predicted);
        const shown = await text(page, '#volume-panel .verdict-value');
        assert.ok(Math.abs(number(shown) - 100 * probability) < 0.06, shown);
        assert.ok((await text(page, '.vote-rule')).endsWith(vote.rule));
      }
      assert.deepEqual(
        await page.$$eval('.worst .chip', (chips) => chips.map((chip) => +chip.dataset.slice)),
        worst.slice(0, 6).map((w) => w.slice),
      );
      for (const chip of [0, 1].filter((i) => i < worst.length)) {
        await page.locator('.worst .chip').nth(chip).click();
        const k = worst[chip].slice;
        await waitSlice(page, k);
        await waitText(page, '.slice-title', new RegExp(`^Slice ${k + 1} of ${DEPTH}$`));
        const { detections, classification } = direct.slices[k];
        assert.equal(await page.locator('.findings tbody tr').count(), detections.length);
        const shown = await page.locator('.class-value').allInnerTexts();
        (classification?.classes ?? []).forEach((c, i) =>
          assert.ok(Math.abs(parseFloat(shown[i]) - 100 * c.probability) < 0.06),
        );
      }
    });

    onPage(
      'masks cover the label map, class for class; both can be kept',
      async (page) => {
        await openDone(page);
        const labels = await save(page, '#save-labels');
        assert.equal(labels.name, 'phantom.labels.nii.gz');
        const map = gunzipSync(labels.bytes);
        const direct = gunzipSync(Buffer.from(await (await ask('application/x-nifti')).arrayBuffer()));
        assert.ok(map.equals(direct), 'the label map is another than the service makes');
        assert.equal(map.length, HEADER + SIDE * SIDE * DEPTH);
        // Axis by axis as it was sent: sform of input and output are the same bytes.
        assert.ok(map.subarray(280, 328).equals(gunzipSync(file.buffer).subarray(280, 328)));
        const at = readerOf(map, { size: [SIDE, SIDE, DEPTH], orientation: 'LPS' });
        await assertCovered(page, at, [Math.floor(DEPTH / 3), DEPTH - 2]);
      },
      { acceptDownloads: true },
    );

    // The service and the page each find out by themselves how a file lies.
    for (const orientation of process.env.SHORT ? [] : ['RAS', 'LAI', 'SPR', 'AIL', 'PRS']) {
      onPage(`stored as ${orientation}, the masks cover the label map`, async (page) => {
        const hu = gunzipSync(file.buffer);
        const voxel = (x, y, k) => hu.readInt16LE(HEADER + 2 * ((k * SIDE + y) * SIDE + x));
        const size = [SIDE, SIDE, DEPTH];
        const spacing = [3.3, 3.3, 20];
        const buffer = encodeNiftiGz({ size, at: voxel, orientation, spacing });
        await choose(page, { name: `${orientation}.nii.gz`, mimeType: '', buffer });
        await waitPhase(page, 'done');
        await page.waitForSelector('#layer-bar:visible');
        const map = gunzipSync(
          Buffer.from(await (await ask('application/x-nifti', buffer)).arrayBuffer()),
        );
        await assertCovered(page, readerOf(map, { size, orientation }), [3, 5]);
      });
    }

    onPage(
      'answer, findings and picture can be kept, and the report is one page',
      async (page) => {
        await openDone(page);
        const direct = await askOnce();
        const json = JSON.parse((await save(page, '#save-json')).bytes);
        assert.deepEqual(json.summary.burden, direct.summary.burden);
        assert.deepEqual(
          json.slices.map((s) => s.detections),
          direct.slices.map((s) => s.detections),
        );
        const csv = (await save(page, '#save-csv')).bytes.toString().trim().split('\r\n');
        const detections = direct.slices.flatMap((s) => s.detections);
        assert.equal(csv.length - 1, detections.length);
        const png = (await save(page, '#save-png')).bytes;
        assert.equal(png.toString('latin1', 1, 4), 'PNG');
        const paper = (await page.pdf({ preferCSSPageSize: true })).toString('latin1');
        assert.equal(paper.match(/\/Type \/Page\b/g).length, 1);
        const command = await text(page, '.command');
        assert.ok(command.includes(`${service.url}v1/predict`), command);
      },
      { acceptDownloads: true },
    );
  });
}
