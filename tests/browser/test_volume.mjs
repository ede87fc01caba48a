// Volumes: shown from their own bytes, looked through, measured.

import assert from 'node:assert/strict';
import { choose, pixels, SLICE, text, waitPhase } from './browser.mjs';
import { encodeNifti, encodeNiftiGz } from './nifti.mjs';
import {
  assertShown,
  check,
  grey,
  nii,
  niiGz,
  onMock,
  silent,
  waitRead,
  waitSlice,
  waitText,
} from './pages.mjs';
import { huAt, sendVolume, SIZE } from './volume.mjs';

const [WIDTH, HEIGHT, DEPTH] = SIZE;
const FLAT = { width: WIDTH, height: HEIGHT };
const { mock, withPage } = onMock('/ct', (request, response) => sendVolume(response));

/** A volume on the page, all of it unpacked; nobody answers. */
async function open(page, file = niiGz()) {
  mock.reply = silent;
  await choose(page, file);
  await waitRead(page, file.name);
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

withPage('files that cannot be read say why, and do not travel', {}, async (page) => {
  const whole = encodeNifti({ size: SIZE, at: huAt });
  const broken = (change) => {
    const copy = Buffer.from(whole);
    change(copy);
    return copy;
  };
  for (const [name, buffer, code, detail] of [
    ['short.nii', whole.subarray(0, 9000), 'bad_nifti', /asks for 184672 bytes, the file has 9000/],
    ['pair.hdr', broken((b) => b.write('ni1', 344)), 'bad_nifti', /\.hdr\/\.img pair/],
    ['type.nii', broken((b) => b.writeInt16LE(128, 70)), 'bad_nifti', /datatype is 128/],
    ['dim.nii', broken((b) => b.writeInt16LE(-5, 42)), 'bad_nifti', /-5 × 80 × 12/],
    ['huge.nii', broken((b) => [32000, 32000, 32000].forEach((n, i) => b.writeInt16LE(n, 42 + 2 * i))), 'bad_nifti', /asks for 65536000000352 bytes/],
    ['photo.jpg', Buffer.from('\xff\xd8\xff\xe0 JFIF, and more of it', 'latin1'), 'unsupported_media', /none of PNG, NIfTI/],
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

const LIMITS = [
  ['max_body_bytes', 1000, () => nii(), /takes up to 1000 bytes \(--max-body\)/],
  ['max_pixels', 7679, () => nii(), /A slice has 7,680 pixels.*up to 7,679 \(--max-pixels\)/],
  ['max_pixels', 65535, () => SLICE, /65,536 pixels.*--max-pixels/],
  ['max_slices', 10, () => nii(), /12 slices.*up to 10 \(--max-slices\)/],
  ['max_buffered_bytes', 184000, () => niiGz(), /unpacks to 180 KiB.*--max-buffered/],
  ['max_inflate_ratio', 2, () => niiGz(), /over 2 times its size \(--max-inflate-ratio\)/],
];

withPage('limits of the service are checked before anything travels', {}, async (page) => {
  mock.reply = silent;
  const { limits } = mock.info;
  for (const [name, limit, file, detail] of LIMITS) {
    mock.info.limits = { ...limits, [name]: limit };
    await page.reload();
    await page.waitForSelector('#service[data-state=ready]');
    await choose(page, file());
    await page.waitForSelector('.problem[data-code=payload_too_large]');
    assert.match(await text(page, '.problem-detail'), detail, name);
    if (name === 'max_slices') {
      await assertShown(page, 6); // it can be looked at all the same
    }
  }
  assert.equal(mock.requests.length, 0);
});

withPage('what just fits is sent; so are some slices of too many', {}, async (page) => {
  mock.reply = silent;
  Object.assign(mock.info.limits, { max_pixels: WIDTH * HEIGHT, max_slices: 10 });
  await page.reload();
  await page.waitForSelector('#service[data-state=ready]');
  await page.locator('summary').click();
  await page.locator('#o-slices').fill('0:5');
  await choose(page, nii());
  await waitText(page, '#busy-text', /queue|Sending/);
  while (mock.requests.length < 1) {
    await page.waitForTimeout(20);
  }
  assert.equal(mock.requests[0].query.get('slices'), '0:5');
});

withPage('limits hold for files that are not on the page, too', {}, async (page) => {
  mock.reply = silent;
  mock.info.limits.max_pixels = WIDTH * HEIGHT;
  await page.reload();
  await page.waitForSelector('#service[data-state=ready]');
  await choose(page, [nii(), SLICE, { ...SLICE, name: 'cut.nii', buffer: nii().buffer.subarray(0, 9000) }]);
  await page.waitForFunction(() => document.querySelectorAll('li[data-status=failed]').length > 1);
  assert.equal(mock.requests.length, 1, 'only the first travels');
  await page.getByRole('button', { name: /^slice 7\.png/ }).click();
  assert.match(await text(page, '.problem-detail'), /65,536 pixels/);
});

withPage('a NIfTI of one slice is a slice', {}, async (page) => {
  mock.reply = silent;
  const buffer = encodeNifti({ size: [WIDTH, HEIGHT, 1], at: (x, y) => huAt(x, y, 6) });
  buffer.writeInt16LE(2, 40); // two dimensions, and no third
  await choose(page, { name: 'flat.nii', mimeType: '', buffer });
  await waitText(page, '#file-facts', /^96 × 80 px · 0\.8 × 0\.8 × 5 mm/);
  assert.ok(await page.isHidden('.slicebar'));
  await assertShown(page, 6);
});

withPage('letters at the edges say how the patient lies', {}, async (page) => {
  for (const orientation of ['LPS', 'RAI', 'SPR', 'AIL']) {
    await open(page, { ...niiGz({ orientation }), name: `${orientation}.nii.gz` });
    const ends = await page.locator('.end-mark').allInnerTexts();
    assert.deepEqual(ends, orientation.includes('S') ? ['I', 'S'] : ['S', 'I'], orientation);
    const letters = await page.evaluate(() => {
      const canvas = document.getElementById('canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      let [left, top, right, bottom] = [Infinity, Infinity, 0, 0];
      for (let i = 0; i < data.length; i += 4) {
        if (data[i] > 220 && data[i] - data[i + 2] > 90) {
          const [x, y] = [(i / 4) % canvas.width, Math.floor(i / 4 / canvas.width)];
          [left, right] = [Math.min(left, x), Math.max(right, x)];
          [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
        }
      }
      return { left, top, right: canvas.width - right, bottom: canvas.height - bottom };
    });
    const box = await page.locator('#canvas').boundingBox();
    const scale = Math.min(box.width / WIDTH, box.height / HEIGHT);
    const [x, y] = [(box.width - WIDTH * scale) / 2, (box.height - HEIGHT * scale) / 2];
    for (const [edge, at] of Object.entries({ left: x, right: x, top: y, bottom: y })) {
      assert.ok(letters[edge] > at && letters[edge] < at + 30, `${orientation}, ${edge}: ${letters[edge]}`);
    }
  }
});
