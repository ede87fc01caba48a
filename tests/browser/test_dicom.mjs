// DICOM: what the service takes is on the page before anybody answers, and what it does not take is
// told in words.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { choose, drop, openPage, pixels, text, waitPhase, withEnd } from './browser.mjs';
import { encodeDicom, encodeZip } from './dicom.mjs';
import { assertShown, grey, onMock, silent, waitSlice, waitText } from './pages.mjs';
import { programs, startService } from './service.mjs';
import { huAt, sendVolume, SIZE } from './volume.mjs';

const [WIDTH, HEIGHT, DEPTH] = SIZE;
const FLAT = { width: WIDTH, height: HEIGHT };
const IMPLICIT = '1.2.840.10008.1.2';
const EXPLICIT = '1.2.840.10008.1.2.1';
const { mock, withPage } = onMock('/ct', (request, response) => sendVolume(response));

const slice = (k, options = {}) => encodeDicom({ ...FLAT, at: huAt, k, ...options });
const file = (name, buffer) => ({ name, mimeType: '', buffer });

/** All slices, not in order, every other one in another syntax. */
const series = (options = () => ({})) =>
  Array.from({ length: DEPTH }, (_, i) => {
    const k = (i * 5) % DEPTH;
    const syntax = k % 2 ? IMPLICIT : EXPLICIT;
    return file(`IM${i}`, slice(k, { syntax, ...options(k) }));
  });

async function waitRequest(page) {
  while (mock.requests.length < 1) {
    await page.waitForTimeout(20);
  }
  return mock.requests[0];
}

async function waitProblem(page, name, code) {
  await page.waitForFunction((n) => document.getElementById('file-name').textContent === n, name);
  await page.waitForSelector(`.problem[data-code=${code}]`);
  return text(page, '.problem-detail');
}

withPage('slices dropped together are one volume, in the order of their positions', {}, async (page) => {
  mock.reply = silent;
  const files = series();
  await drop(page, [file('DICOMDIR', slice(0, { series: '' })), ...files]);
  await waitSlice(page, 6);
  await assertShown(page, 6);
  await page.locator('#stage').focus();
  await page.keyboard.press('Home');
  await waitSlice(page, 0);
  await assertShown(page, 0);
  const { body, headers } = await waitRequest(page);
  assert.equal(headers['content-type'], 'application/zip');
  assert.equal(body.toString('latin1', 0, 4), 'PK\x03\x04');
  for (const { buffer } of files) {
    assert.ok(body.includes(buffer), 'a slice is not in the zip as it was');
  }
  assert.ok(!body.includes('IM3'), 'names of files travel');
  assert.ok(!(await page.content()).includes('Nobody'), 'a name is on the page');
});

withPage('a zip of a series is the same volume, packed or stored', {}, async (page) => {
  mock.reply = silent;
  for (const packed of [true, false]) {
    const name = `packed ${packed}.zip`;
    const beside = ['notes.txt', '__MACOSX/IM0', 'chest/.hidden', 'chest/DICOMDIR'];
    const buffer = encodeZip(
      [
        ...beside.map((n) => ({ name: n, buffer: Buffer.from('no slice') })),
        ...series().map((f) => ({ ...f, name: `chest/${f.name}` })),
      ],
      { packed },
    );
    mock.requests = [];
    await choose(page, { name, mimeType: 'application/zip', buffer });
    await waitText(page, '#file-name', new RegExp(name));
    await waitSlice(page, 6);
    await assertShown(page, 6);
    assert.match(await text(page, '#file-facts'), /96 × 80 × 12 px · 0\.8 × 0\.8 × 5 mm/);
    assert.ok((await waitRequest(page)).body.equals(buffer), 'it does not travel as it is');
  }
});

withPage('a single DICOM slice is a picture, as it is stored', {}, async (page) => {
  mock.reply = silent;
  // On the belly: in a volume it would be turned.
  const buffer = slice(6, { orientation: '-1\\0\\0\\0\\-1\\0' });
  await choose(page, file('one.dcm', buffer));
  const { body, headers } = await waitRequest(page);
  await assertShown(page, 6);
  assert.ok(body.equals(buffer), 'it does not travel as it is');
  assert.match(await text(page, '#file-facts'), /96 × 80 px · 0\.8 × 0\.8 × 1 mm/);
  assert.match(headers.accept, /application\/json/);
});

withPage('with and without preamble, both syntaxes, spare bits, scaled', {}, async (page) => {
  mock.reply = silent;
  for (const [name, options] of Object.entries({
    'explicit, bare': { bare: true },
    'implicit, bare': { bare: true, syntax: IMPLICIT },
    'twelve bits of sixteen': { bits: [12, 11] },
    'twelve bits, higher up': { bits: [12, 13] },
    'slope one half': { slope: 0.5 },
  })) {
    await choose(page, file(name, slice(6, options)));
    await waitText(page, '#file-name', new RegExp(`^${name}$`));
    await waitText(page, '#file-facts', /96 × 80 px/);
    await assertShown(page, 6);
  }
});

withPage('MONOCHROME1 is drawn with its smallest value white', {}, async (page) => {
  mock.reply = silent;
  await choose(page, file('inverted.dcm', slice(6, { photometric: 'MONOCHROME1' })));
  await waitText(page, '#file-facts', /96 × 80 px/);
  const at = [[48, 60], [30, 40], [70, 40]];
  const drawn = await pixels(page, FLAT, at);
  at.forEach(([x, y], i) =>
    assert.ok(Math.abs(drawn[i][0] - (255 - grey(huAt(x, y, 6)))) <= 1, `${x},${y}: ${drawn[i]}`),
  );
});

withPage('what cannot be read is named, and does not travel', {}, async (page) => {
  const whole = slice(0);
  const zip = (change) => encodeZip(series(), { change });
  for (const [name, buffer, code, detail] of [
    ['jpeg.dcm', slice(0, { syntax: '1.2.840.10008.1.2.4.90' }), 'unsupported_media',
      /1\.2\.840\.10008\.1\.2\.4\.90: JPEG 2000 Lossless.*Explicit VR Little Endian.*gdcmconv/],
    ['rle.dcm', slice(0, { syntax: '1.2.840.10008.1.2.5' }), 'unsupported_media', /RLE Lossless/],
    ['new.dcm', slice(0, { syntax: '1.2.3' }), 'unsupported_media', /1\.2\.3: which is not known/],
    ['colour.dcm', slice(0, { photometric: 'RGB' }), 'unsupported_media', /RGB.*grey/],
    ['cut.dcm', whole.subarray(0, 5000), 'bad_dicom', /cut off/],
    ['text.zip', encodeZip([file('a.txt', Buffer.from('text'))]), 'unsupported_media', /no DICOM slice/],
    ['cut.zip', zip().subarray(0, 4000), 'bad_dicom', /damaged/],
    ['outside.zip', zip((e) => Object.assign(e, { at: 2 ** 31 })), 'bad_dicom', /damaged/],
    ['sum.zip', zip((e) => Object.assign(e, { crc: ~e.crc >>> 0 })), 'bad_dicom', /damaged/],
    ['longer.zip', zip((e) => Object.assign(e, { size: e.size + 9 })), 'bad_dicom', /./],
    ['locked.zip', zip((e) => Object.assign(e, { flags: 1 })), 'unsupported_media', /encrypted/],
  ]) {
    await choose(page, file(name, buffer));
    assert.match(await waitProblem(page, name, code), detail, name);
  }
  // Slices that do not belong together, in one zip.
  for (const [name, options, detail] of [
    ['scout.zip', (k) => ({ series: k === 3 ? '9.9' : '1.2.3.4' }), /Series Instance UID of IM3/],
    ['twice.zip', (k) => ({ origin: [-100, -120, k === 3 ? -305 : -300] }), /lie in the same place/],
    ['wide.zip', (k) => ({ width: k === 3 ? 64 : WIDTH }), /Rows and Columns of IM3/],
  ]) {
    await choose(page, file(name, encodeZip(series(options))));
    assert.match(await waitProblem(page, name, 'bad_dicom'), detail, name);
  }
  assert.equal(mock.requests.length, 0);
});

withPage('a zip that says it holds more than the page unpacks', {}, async (page) => {
  mock.reply = silent;
  const bomb = encodeZip(series(), { change: (e) => Object.assign(e, { size: 2 ** 31 }) });
  await choose(page, file('bomb.zip', bomb));
  // Whether the service takes it is its own affair.
  assert.ok((await waitRequest(page)).body.equals(bomb));
});

/* ---- on the real service ---- */

for (const [name, program, there] of programs()) {
  describe(`DICOM on ${name}`, { skip: there ? false : `${program} is not built` }, () => {
    let service;
    before(async () => {
      service = await startService(program, { env: { FAKE_TRAINED: '1' } });
    });
    after(() => service?.stop());
    const direct = async (body) => {
      const answer = await fetch(new URL('v1/predict', service.url), { method: 'POST', body });
      return answer.json();
    };

    test('a slice, bare and implicit, is answered', async () => {
      const buffer = slice(6, { bare: true, syntax: IMPLICIT });
      const wanted = await direct(buffer);
      assert.equal(wanted.input?.kind, 'dicom', JSON.stringify(wanted));
      await withEnd(await openPage(service.url), async (page) => {
        await page.waitForSelector('#service[data-state=ready]');
        await choose(page, file('bare', buffer));
        await waitPhase(page, 'done');
        await assertShown(page, 6);
        assert.equal(await page.locator('.findings tbody tr').count(), wanted.detections.length);
      });
    });

    test('files of a series, and a zip of them, are the same volume', async () => {
      const zip = file('series.zip', encodeZip(series()));
      const wanted = await direct(zip.buffer);
      assert.deepEqual(wanted.volume?.shape, SIZE, JSON.stringify(wanted).slice(0, 400));
      await withEnd(await openPage(service.url), async (page) => {
        await page.waitForSelector('#service[data-state=ready]');
        for (const files of [[zip], series()]) {
          await drop(page, files);
          await waitText(page, '#file-name', files.length > 1 ? /^IM0 and 11 more$/ : /^series.zip$/);
          await waitPhase(page, 'done');
          await waitSlice(page, 6);
          await assertShown(page, 6);
          await waitText(page, '.slice-title', /^Slice 7 of 12$/);
          const found = await page.locator('.findings tbody tr').count();
          assert.equal(found, wanted.slices[6].detections.length);
          const figure = parseFloat(await text(page, '#volume-panel .figure'));
          const share = wanted.summary.burden.total.affected_pct;
          assert.ok(share === null || Math.abs(figure - share) < 0.051, `${figure}, ${share}`);
        }
      });
    });
  });
}
