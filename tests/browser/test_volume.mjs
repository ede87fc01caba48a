// Volumes: shown from their own bytes, looked through, measured, overlaid where the masks are.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { choose, openPage, pixels, text, waitPhase, withEnd } from './browser.mjs';
import { infoOf, Mock } from './mock.mjs';
import { encodeDicom, encodeNifti, encodeNiftiGz, ORIENTATIONS } from './nifti.mjs';
import { huAt, labelAt, sendVolume, SIZE } from './volume.mjs';

const [WIDTH, HEIGHT, DEPTH] = SIZE;
const FLAT = { width: WIDTH, height: HEIGHT };
let mock;

before(async () => {
  mock = await new Mock('/ct').start();
});
after(() => mock.stop());

function withPage(name, options, body) {
  test(name, async () => {
    mock.requests = [];
    mock.info = infoOf({ trained: true });
    mock.reply = (request, response) => sendVolume(response);
    await withEnd(await openPage(mock.url, options), body);
  });
}

const nii = (options = {}) => ({
  name: 'chest.nii',
  mimeType: '',
  buffer: encodeNifti({ size: SIZE, at: huAt, ...options }),
});
const niiGz = (options = {}) => ({
  name: 'chest.nii.gz',
  mimeType: 'application/gzip',
  buffer: encodeNiftiGz({ size: SIZE, at: huAt, ...options }),
});

const silent = () => {};
const sliceNumber = (page) => text(page, '.slice-number');
const waitSlice = (page, k) =>
  page.waitForFunction(
    (wanted) => document.querySelector('.slice-number')?.textContent === wanted,
    `${k + 1} / ${DEPTH}`,
  );

/** Waits until a file's pixels are all there; then its middle slice is shown. */
async function waitRead(page, name) {
  await page.waitForFunction(
    ([file, slice]) =>
      document.getElementById('file-name').textContent === file &&
      document.querySelector('.slice-number')?.textContent === slice,
    [name, `${DEPTH / 2 + 1} / ${DEPTH}`],
  );
}

/** A volume on the page, all of it unpacked; nobody answers. */
async function open(page, file = niiGz()) {
  mock.reply = silent;
  await choose(page, file);
  await waitRead(page, file.name);
}

/** A volume on the page with its answer. */
async function openAnswered(page, file = niiGz()) {
  await choose(page, file);
  await waitPhase(page, 'done');
  await waitSlice(page, DEPTH / 2);
  await page.waitForSelector('#results:visible');
}

const check = (page, selector, on) => page.locator(selector).setChecked(on, { force: true });
const grey = (hu, width = 1500, level = -600) =>
  Math.round(Math.min(255, Math.max(0, ((hu - (level - width / 2)) / width) * 255)));

/** The canvas is grey for grey what the volume holds in slice k. */
async function assertShown(page, k, window = [1500, -600]) {
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
  const drawn = await pixels(page, FLAT, at);
  at.forEach(([x, y], i) => {
    const wanted = grey(huAt(x, y, k), ...window);
    assert.ok(
      Math.abs(drawn[i][0] - wanted) <= 1,
      `${x},${y} of slice ${k}: ${drawn[i]} instead of ${wanted}`,
    );
  });
}

withPage('a volume is on the page before anybody answers', {}, async (page) => {
  await open(page);
  assert.equal(await page.getAttribute('body', 'data-phase'), 'busy');
  await assertShown(page, DEPTH / 2);
  assert.match(await text(page, '#file-facts'), /96 × 80 × 12 px · 0\.8 × 0\.8 × 5 mm/);
  assert.equal(await text(page, '#window-level'), 'W 1500  L -600');
  await page.locator('#cancel').click();
  await waitPhase(page, 'stopped');
  await assertShown(page, DEPTH / 2);
});

withPage('every type of voxel, both byte orders, scaled and not', {}, async (page) => {
  mock.reply = silent;
  for (const [name, options] of Object.entries({
    'int16 big end first': { little: false },
    int32: { type: 'int32' },
    float32: { type: 'float32' },
    'float64 big end first': { type: 'float64', little: false },
    'int16, slope 0.5': { slope: 0.5, inter: -1024, at: (...p) => (huAt(...p) + 1024) * 2 },
    'uint16, slope NaN': { type: 'uint16', slope: NaN, at: (...p) => huAt(...p) + 1024 },
    'float32 with NaN': {
      type: 'float32',
      at: (x, y, k) => (huAt(x, y, k) === -1000 ? NaN : huAt(x, y, k)),
    },
  })) {
    await choose(page, { ...nii(options), name: `${name}.nii` });
    await waitRead(page, `${name}.nii`);
    const shift = name.includes('NaN') && name.startsWith('uint') ? 1024 : 0;
    const spots = [
      [48, 60],
      [30, 40],
      [1, 1],
    ];
    await page.keyboard.press('Escape');
    const drawn = await pixels(page, FLAT, spots);
    spots.forEach(([x, y], i) => {
      const value = huAt(x, y, 6);
      const shown = name.endsWith('NaN') && !shift && value === -1000 ? -1024 : value + shift;
      assert.ok(Math.abs(drawn[i][0] - grey(shown)) <= 1, `${name} ${x},${y}: ${drawn[i]}`);
    });
  }
});

withPage('keys, wheel, slider and playing go through the slices', {}, async (page) => {
  await open(page);
  await page.locator('#stage').focus();
  const press = async (key, k) => {
    await page.keyboard.press(key);
    await waitSlice(page, k);
  };
  await press('ArrowDown', 7);
  await press('ArrowUp', 6);
  await press('Home', 0);
  await press('ArrowUp', 0);
  await press('PageDown', 10);
  await press('PageDown', 11);
  await press('PageUp', 1);
  await press('End', 11);
  await assertShown(page, 11);
  await page.locator('#canvas').hover();
  await page.mouse.wheel(0, -100);
  await waitSlice(page, 10);
  await page.mouse.wheel(0, 100);
  await waitSlice(page, 11);
  await page.locator('#slice').fill('3');
  await waitSlice(page, 2);
  await assertShown(page, 2);
  await page.locator('#slice').focus();
  await press('ArrowRight', 3);
  await page.locator('#stage').focus();
  await page.keyboard.press('Space');
  assert.equal(await page.getAttribute('#cine', 'aria-pressed'), 'true');
  await waitSlice(page, 6);
  await page.locator('#cine').click();
  assert.equal(await page.getAttribute('#cine', 'aria-pressed'), 'false');
});

withPage('windows by digit keys, buttons and dragging', {}, async (page) => {
  await open(page);
  await page.locator('#stage').focus();
  for (const [key, w, l] of [
    ['2', 350, 40],
    ['3', 2500, 480],
    ['1', 1500, -600],
  ]) {
    await page.keyboard.press(key);
    assert.equal(await text(page, '#window-level'), `W ${w}  L ${l}`);
    await assertShown(page, 6, [w, l]);
    await page.locator('#stage').focus();
  }
  await page.keyboard.press('4');
  const values = [];
  for (let k = 0; k < DEPTH; k++) {
    for (let y = 0; y < HEIGHT; y++) {
      for (let x = 0; x < WIDTH; x++) {
        values.push(huAt(x, y, k));
      }
    }
  }
  const [low, high] = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [0, 0]);
  assert.match(await text(page, '#window-level'), new RegExp(`^W ${high - low} `));
  await page.getByLabel('Mediastinum').check({ force: true });
  const box = await page.locator('#canvas').boundingBox();
  await page.mouse.move(box.x + 200, box.y + 200);
  await page.mouse.down();
  await page.mouse.move(box.x + 300, box.y + 200, { steps: 4 });
  await page.mouse.up();
  const [, wide, level] = /W (\d+) {2}L (-?\d+)/.exec(await text(page, '#window-level'));
  assert.ok(Number(wide) > 400, `dragged to the right: ${wide}`);
  assert.equal(level, '40', 'the level stays');
  await page.mouse.down();
  await page.mouse.move(box.x + 300, box.y + 260, { steps: 4 });
  await page.mouse.up();
  const now = /L (-?\d+)/.exec(await text(page, '#window-level'))[1];
  assert.ok(Number(now) > 60, `dragged down: ${now}`);
  await assertShown(page, 6, [Number(wide), Number(now)]);
});

withPage('value and position under the mouse, in every direction', {}, async (page) => {
  for (const [orientation, z] of [
    ['LPS', -300 + 6 * 5],
    ['RAI', -300 - 6 * 5],
    ['SPR', -300 + 6 * 5],
  ]) {
    await open(page, { ...niiGz({ orientation }), name: `${orientation}.nii.gz` });
    const box = await page.locator('#canvas').boundingBox();
    const scale = Math.min(box.width / WIDTH, box.height / HEIGHT);
    const [x, y] = [30, 44];
    await page.mouse.move(
      box.x + (box.width - WIDTH * scale) / 2 + (x + 0.5) * scale,
      box.y + (box.height - HEIGHT * scale) / 2 + (y + 0.5) * scale,
    );
    await page.waitForSelector('#probe:visible');
    const mm = [100 - 0.8 * x, 120 - 0.8 * y].map((v) => v.toFixed(1));
    assert.equal(
      await text(page, '#probe'),
      `x ${x}  y ${y}  −${-huAt(x, y, 6)} HU  R ${mm[0]} A ${mm[1]} I ${(-z).toFixed(1)} mm`,
    );
  }
});

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

withPage('masks lie where the picture is, in all 48 orientations', {}, async (page) => {
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

withPage('ruler and area, by mouse and by keyboard', {}, async (page) => {
  await open(page);
  const box = await page.locator('#canvas').boundingBox();
  const scale = Math.min(box.width / WIDTH, box.height / HEIGHT);
  const at = (x, y) => [
    box.x + (box.width - WIDTH * scale) / 2 + x * scale,
    box.y + (box.height - HEIGHT * scale) / 2 + y * scale,
  ];
  const drag = async (from, to) => {
    await page.mouse.move(...at(...from));
    await page.mouse.down();
    await page.mouse.move(...at(...to), { steps: 5 });
    await page.mouse.up();
  };
  await check(page, '[name=tool][value=ruler]', true);
  await drag([20, 20], [50, 60]);
  const length = parseFloat(await text(page, '[data-measure=ruler] .measure'));
  assert.ok(Math.abs(length - 0.8 * 50) < 0.3, `a 3-4-5 triangle of 40 mm: ${length}`);
  await check(page, '[name=tool][value=area]', true);
  await drag([24, 30], [40, 46]);
  const area = await text(page, '[data-measure=area] .measure');
  const [, cm2, mean] = /^([\d.]+) cm² · mean (-?\d+) HU ± \d+/.exec(area);
  assert.ok(Math.abs(cm2 - (Math.PI * 64 * 0.64) / 100) < 0.06, area);
  let [sum, n] = [0, 0];
  for (let y = 30; y < 46; y++) {
    for (let x = 24; x < 40; x++) {
      if (((x + 0.5 - 32) / 8) ** 2 + ((y + 0.5 - 38) / 8) ** 2 < 1) {
        sum += huAt(x, y, 6);
        n++;
      }
    }
  }
  assert.ok(Math.abs(mean - sum / n) < 8, `${mean} of ${sum / n}`);
  // With the keyboard alone: eleven steps to the right.
  await page.locator('#stage').focus();
  await page.keyboard.press('r');
  await page.keyboard.press('ArrowRight'); // the crosshair appears
  assert.match(await text(page, '#probe'), /HU/);
  await page.keyboard.press('Enter');
  await page.keyboard.press('Shift+ArrowRight');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  const lengths = await page.locator('[data-measure=ruler] .measure').allInnerTexts();
  assert.equal(parseFloat(lengths[1]), 8.8);
  assert.match(await text(page, '#status'), /Length: 8\.8 mm/);
  await page.keyboard.press('Delete');
  assert.equal(await page.locator('[data-measure]').count(), 2);
  // They belong to their slice.
  await page.keyboard.press('h');
  await page.keyboard.press('Home');
  await waitSlice(page, 0);
  await page.locator('[data-measure=area] .measure').click();
  await waitSlice(page, 6);
  await page.getByRole('button', { name: 'Remove all' }).click();
  assert.ok(await page.isHidden('#h-measures'));
});

withPage('a DICOM series is one volume, in the order of its positions', {}, async (page) => {
  mock.reply = silent;
  const files = Array.from({ length: DEPTH }, (_, i) => {
    const k = (i * 5) % DEPTH; // not in order
    return {
      name: `IM${i}`,
      mimeType: '',
      buffer: encodeDicom({
        width: WIDTH,
        height: HEIGHT,
        at: huAt,
        k,
        syntax: k % 2 ? '1.2.840.10008.1.2' : '1.2.840.10008.1.2.1',
      }),
    };
  });
  await choose(page, files);
  await waitSlice(page, 6);
  await assertShown(page, 6);
  await page.locator('#stage').focus();
  await page.keyboard.press('Home');
  await waitSlice(page, 0);
  await assertShown(page, 0);
  while (mock.requests.length < 1) {
    await page.waitForTimeout(20);
  }
  const [{ body, headers }] = mock.requests;
  assert.equal(headers['content-type'], 'application/zip');
  assert.equal(body.toString('latin1', 0, 4), 'PK\x03\x04');
  for (const { buffer } of files) {
    assert.ok(body.includes(buffer), 'a slice is not in the zip as it was');
  }
  assert.ok(!body.includes('IM3'), 'names of files travel');
  assert.ok(!(await page.content()).includes('Nobody'), 'a name is on the page');
});

withPage('files that cannot be read say why, and do not travel', {}, async (page) => {
  const whole = encodeNifti({ size: SIZE, at: huAt });
  const broken = (change) => {
    const copy = Buffer.from(whole);
    change(copy);
    return copy;
  };
  const dicom = encodeDicom({ width: 8, height: 8, at: () => 0, syntax: '1.2.840.10008.1.2.4.90' });
  for (const [name, buffer, code, detail] of [
    ['short.nii', whole.subarray(0, 9000), 'bad_nifti', /asks for 184672 bytes, the file has 9000/],
    ['pair.hdr', broken((b) => b.write('ni1', 344)), 'bad_nifti', /\.hdr\/\.img pair/],
    ['type.nii', broken((b) => b.writeInt16LE(128, 70)), 'bad_nifti', /datatype is 128/],
    ['dim.nii', broken((b) => b.writeInt16LE(-5, 42)), 'bad_nifti', /-5 × 80 × 12/],
    ['huge.nii', broken((b) => [32000, 32000, 32000].forEach((n, i) => b.writeInt16LE(n, 42 + 2 * i))), 'bad_nifti', /asks for 65536000000352 bytes/],
    ['photo.jpg', Buffer.from('\xff\xd8\xff\xe0 JFIF, and more of it', 'latin1'), 'unsupported_media', /none of PNG, NIfTI/],
    ['packed.dcm', dicom, 'unsupported_media', /1\.2\.840\.10008\.1\.2\.4\.90.*uncompressed/],
  ]) {
    await choose(page, { name, mimeType: '', buffer });
    await page.waitForFunction(
      (file) => document.getElementById('file-name').textContent === file,
      name,
    );
    await page.waitForSelector('.problem:visible');
    assert.match(await text(page, '.problem-detail'), detail, name);
    assert.equal(await page.getAttribute('.problem', 'data-code'), code, name);
  }
  assert.equal(mock.requests.length, 0);
  // One that breaks off in the middle is shown, and sent, as far as it goes.
  const buffer = encodeNiftiGz({ size: SIZE, at: huAt }).subarray(0, 4000);
  await choose(page, { name: 'cut.nii.gz', mimeType: '', buffer });
  await page.waitForFunction(() =>
    document.querySelector('[data-warning=not_shown]')?.checkVisibility(),
  );
  assert.match(await text(page, '[data-warning=not_shown]'), /unpacked|last voxel/);
});

withPage('limits of the service are checked before anything travels', {}, async (page) => {
  mock.info.limits.max_slices = 10;
  await page.reload();
  await page.waitForSelector('#service[data-state=ready]');
  mock.reply = silent;
  await choose(page, nii());
  await page.waitForSelector('.problem[data-code=payload_too_large]');
  assert.match(await text(page, '.problem-detail'), /12 slices.*up to 10/);
  await assertShown(page, 6); // it can be looked at all the same
  assert.equal(mock.requests.length, 0);
});

