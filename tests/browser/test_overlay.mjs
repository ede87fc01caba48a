// Overlays of a volume lie where its labels are, however it is stored, zoomed and moved.

import assert from 'node:assert/strict';
import { choose, pixels, waitPhase } from './browser.mjs';
import { ORIENTATIONS } from './nifti.mjs';
import { check, grey, nii, onMock, openAnswered, sliceNumber, waitRead, waitSlice } from './pages.mjs';
import { labelAt, sendVolume, SIZE } from './volume.mjs';

const [WIDTH, HEIGHT] = SIZE;
const FLAT = { width: WIDTH, height: HEIGHT };
const { withPage } = onMock('/ct', (request, response) => sendVolume(response));

/**
 * The area of one class as the mask draws it and as the picture shows it, both in pixels of the
 * canvas, and how far they are apart at most. The picture is told by its greys.
 */
function misplaced(page, low, high) {
  return page.evaluate(
    async ([least, most]) => {
      const frame = () =>
        new Promise((resolve) => {
          requestAnimationFrame(() => requestAnimationFrame(resolve));
        });
      const canvas = document.getElementById('canvas');
      const { width, height } = canvas;
      const grab = async (mode) => {
        document.querySelector(`[name=mode][value=${mode}]`).click();
        await frame();
        return canvas.getContext('2d').getImageData(0, 0, width, height).data;
      };
      const plain = await grab('image');
      const drawn = await grab('findings');
      const edge = 2;
      const picture = new Uint8Array(width * height);
      const mask = new Uint8Array(width * height);
      for (let y = edge; y < height - edge; y++) {
        for (let x = edge; x < width - edge; x++) {
          const i = y * width + x;
          const isGrey = plain[4 * i] === plain[4 * i + 2];
          picture[i] = isGrey && plain[4 * i] >= least && plain[4 * i] <= most ? 1 : 0;
          // At least half tinted: the line around the mask is one and a half pixels wide.
          mask[i] = Math.abs(drawn[4 * i] - plain[4 * i]) > 60 ? 1 : 0;
        }
      }
      const near = (set, i) => {
        for (const dy of [-width, 0, width]) {
          for (const dx of [-1, 0, 1]) {
            if (set[i + dy + dx]) {
              return true;
            }
          }
        }
        return false;
      };
      let [wrong, area] = [0, 0];
      for (let i = width + 1; i < width * (height - 1) - 1; i++) {
        area += picture[i];
        wrong += (picture[i] && !near(mask, i)) || (mask[i] && !near(picture, i)) ? 1 : 0;
      }
      return { wrong, area };
    },
    [low, high],
  );
}

async function assertAligned(page, what) {
  const [low, high] = [grey(-500) - 2, grey(-480) + 2];
  const { wrong, area } = await misplaced(page, low, high);
  assert.ok(area > 500, `${what}: only ${area} pixels of ground glass in the picture`);
  assert.equal(wrong, 0, `${what}: ${wrong} pixels are off by more than one`);
}

async function groundGlassOnly(page) {
  await check(page, '[data-option=boxes]', false);
  await check(page, '[data-layer=lungs]', false);
  await check(page, '[data-layer=consolidation]', false);
  await page.locator('[data-opacity=ggo]').fill('100');
}

withPage('masks lie where the picture is, in all 48 orientations, zoomed and moved', {}, async (page) => {
  assert.equal(new Set(ORIENTATIONS).size, 48);
  const some = process.env.QUICK ? ORIENTATIONS.filter((_, i) => i % 13 === 5) : ORIENTATIONS;
  let set = false;
  for (const orientation of some) {
    const name = `${orientation}.nii`;
    await choose(page, { ...nii({ orientation }), name });
    await waitRead(page, name);
    await waitPhase(page, 'done');
    if (!set) {
      await page.waitForSelector('#layer-bar:visible');
      await groundGlassOnly(page);
      set = true;
    }
    await assertAligned(page, orientation);
    await page.locator('#stage').focus();
    await page.keyboard.press('ArrowDown');
    await waitSlice(page, 7);
    await assertAligned(page, `${orientation}, one slice on`);
    // Larger, and not where it was.
    await page.locator('#stage').focus();
    for (const key of ['+', '+', 'Shift+ArrowLeft', 'Shift+ArrowDown']) {
      await page.keyboard.press(key);
    }
    await assertAligned(page, `${orientation}, zoomed and moved`);
    await page.locator('#stage').focus();
    await page.keyboard.press('0');
  }
});

withPage('masks stay where they belong, zoomed and moved', {}, async (page) => {
  await openAnswered(page);
  await groundGlassOnly(page);
  await page.locator('#stage').focus();
  for (const keys of [
    ['+'],
    ['Shift+ArrowLeft', 'Shift+ArrowUp'],
    ['+', '+', 'ArrowRight'],
    ['-', '-', '-', '-', '-'],
    ['x'],
  ]) {
    for (const key of keys) {
      await page.keyboard.press(key);
    }
    if (keys[0] === 'x') {
      break; // smaller than its own pixels there is nothing to be exact about
    }
    await assertAligned(page, keys.join(' '));
    await page.locator('#stage').focus();
  }
  const box = await page.locator('#canvas').boundingBox();
  await page.keyboard.press('0');
  await page.mouse.move(box.x + 260, box.y + 330);
  await page.keyboard.down('Control');
  await page.mouse.wheel(0, -250);
  await page.keyboard.up('Control');
  await page.mouse.down({ button: 'middle' });
  await page.mouse.move(box.x + 300.5, box.y + 301.25, { steps: 3 });
  await page.mouse.up({ button: 'middle' });
  await page.mouse.move(2, 2); // what is pointed at is drawn otherwise
  assert.equal(await sliceNumber(page), '7 / 12', 'Ctrl and wheel zoom');
  await assertAligned(page, 'by mouse');
});

withPage('masks filled, outlined and hatched', {}, async (page) => {
  await openAnswered(page);
  await groundGlassOnly(page);
  await page.locator('[data-opacity=ggo]').fill('50');
  const inside = [];
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      const around = [-2, 0, 2].every((d) => labelAt(x + d, y, 6) === 2 && labelAt(x, y + d, 6) === 2);
      if (around) {
        inside.push([x, y]);
      }
    }
  }
  assert.ok(inside.length > 20);
  const tinted = async (style) => {
    await check(page, `[name=style][value=${style}]`, true);
    const colours = await pixels(page, FLAT, inside);
    return colours.filter(([r, , b]) => r - b > 20).length / colours.length;
  };
  assert.equal(await tinted('fill'), 1);
  assert.equal(await tinted('outline'), 0);
  const share = await tinted('hatch');
  assert.ok(share > 0.1 && share < 0.7, `hatched: ${share}`);
  await page.locator('#stage').focus();
  await page.keyboard.press('s');
  assert.ok(await page.isChecked('[name=style][value=fill]'));
});
