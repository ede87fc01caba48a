// Folders: dropped as the system hands them over, or chosen; what is in them and what is left out.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { text } from './browser.mjs';
import { encodeDicom, encodeZip } from './dicom.mjs';
import { encodeNiftiGz } from './nifti.mjs';
import { onMock, silent, waitText } from './pages.mjs';
import { phantomPng } from './png.mjs';
import { huAt, SIZE } from './volume.mjs';

const { mock, withPage } = onMock('/ct', silent);
const SMALL = { width: 16, height: 12, at: huAt };
const slice = (k, options = {}) => encodeDicom({ ...SMALL, k, ...options });

/** Files of a series in a folder: {path: bytes}. */
const series = (folder, n, options = {}) =>
  Object.fromEntries(
    Array.from({ length: n }, (_, k) => [`${folder}/IM${k}`, slice(k, options)]),
  );

/** Writes {path: bytes} into a new folder, runs body(its path), and takes it away. */
async function inFolder(files, body) {
  const top = await mkdtemp(join(tmpdir(), 'oneshot-'));
  try {
    for (const [path, bytes] of Object.entries(files)) {
      await mkdir(dirname(join(top, path)), { recursive: true });
      await writeFile(join(top, path), bytes);
    }
    await body(top);
  } finally {
    await rm(top, { recursive: true });
  }
}

/** Drops files and folders of the disk, as the debugger can: the page sees real entries. */
async function dropPaths(page, ...paths) {
  const debug = await page.context().newCDPSession(page);
  const data = { items: [], files: paths, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop']) {
    await debug.send('Input.dispatchDragEvent', { type, x: 300, y: 400, data });
  }
  await debug.detach();
}

const names = (page) =>
  page.$$eval('.file-title', (nodes) => nodes.map((node) => node.textContent).sort());

async function waitNames(page, wanted) {
  await page.waitForFunction(
    (n) => document.querySelectorAll('.file-title').length === n,
    wanted.length,
  );
  assert.deepEqual(await names(page), wanted);
}

/** A report, as systems put one beside the slices: DICOM that holds no picture. */
const report = slice(0, { series: '6' });
const REPORT = report.subarray(0, report.indexOf(Buffer.from([0x28, 0, 2, 0])));

const MIXED = {
  ...series('chest/thin', 5),
  ...series('chest/deep/er/thick', 3, { series: '1.9' }),
  'chest/flat/one.png': phantomPng(64),
  'chest/head.nii.gz': encodeNiftiGz({ size: SIZE, at: huAt }),
  'chest/broken.dcm': slice(0, { series: '7' }).subarray(0, 400),
  'chest/archive': encodeZip(Object.entries(series('s', 2)).map(([name, buffer]) => ({ name, buffer }))),
  // and what is left out
  'chest/DICOMDIR': slice(0),
  'chest/.DS_Store': 'hidden',
  'chest/thin/._IM0': slice(0),
  'chest/.git/IM0': slice(0, { series: '8' }),
  'chest/notes.txt': 'no picture',
  'chest/report.dcm': REPORT,
  'chest/deep/empty': '',
  'chest/table.xlsx': encodeZip([{ name: 'sheet.xml', buffer: Buffer.from('<sheet/>') }]),
  'chest/more.tar.gz': gzipSync('no picture either'),
};
const FOUND = [
  'chest/archive',
  'chest/broken.dcm',
  'chest/deep/er/thick/IM0 and 2 more',
  'chest/flat/one.png',
  'chest/head.nii.gz',
  'chest/thin/IM0 and 4 more',
];

/** Which slice of a series comes first is the system's affair. */
const plain = (list) => list.map((name) => name.replace(/IM\d/, 'IM0'));

withPage('a dropped folder is opened, however deep, without what is no picture', {}, async (page) => {
  await inFolder(MIXED, async (top) => {
    await dropPaths(page, join(top, 'chest'));
    await waitText(page, '#notice', /^Left out: 9 of 21 files in the folder \(hidden files, DICOMDIR/);
    assert.deepEqual(plain(await names(page)), FOUND);
    await page.click('.file-open:has-text("thick")');
    await waitText(page, '#file-facts', /^16 × 12 × 3 px/);
    await page.click('.file-open:has-text("thin")');
    await waitText(page, '#file-facts', /^16 × 12 × 5 px/);
    // The next file has nothing to do with it.
    await dropPaths(page, join(top, 'chest/flat/one.png'));
    await waitText(page, '#file-name', /^one\.png$/);
    assert.ok(await page.isHidden('#notice'));
  });
});

withPage('a folder may be chosen, too', {}, async (page) => {
  await inFolder(MIXED, async (top) => {
    const [chooser] = await Promise.all([
      page.waitForEvent('filechooser'),
      page.getByRole('button', { name: 'Choose a folder' }).press('Enter'),
    ]);
    await chooser.setFiles(join(top, 'chest'));
    await waitText(page, '#notice', /^Left out: \d+ of \d+ files in the folder/);
    assert.deepEqual(plain(await names(page)), FOUND);
    assert.ok(await page.isVisible('.top [data-open=folder]'), 'once more, from the top');
  });
});

withPage('more files than a browser hands out at once', {}, async (page) => {
  await inFolder(series('long', 130), async (top) => {
    await dropPaths(page, join(top, 'long'));
    await waitText(page, '#file-facts', /^16 × 12 × 130 px/);
    assert.ok(await page.isHidden('#notice'), 'nothing was left out');
    while (mock.requests.length < 1) {
      await page.waitForTimeout(20);
    }
    assert.equal(mock.requests[0].headers['content-type'], 'application/zip');
    assert.ok(!mock.requests[0].body.includes('long'), 'names of folders travel');
  });
});

withPage('files and folders together: files are opened whatever they are', {}, async (page) => {
  await inFolder({ ...series('in', 2), 'in/a.txt': 'a', 'b.txt': 'b' }, async (top) => {
    await dropPaths(page, join(top, 'b.txt'), join(top, 'in'));
    await waitText(page, '#notice', /^Left out: 1 of 3 files in the folder/);
    assert.deepEqual(plain(await names(page)), ['b.txt', 'in/IM0 and 1 more']);
    await page.click('.file-open:has-text("b.txt")');
    await page.waitForSelector('.problem[data-code=unsupported_media]');
  });
});

withPage('folders with nothing to open say so', {}, async (page) => {
  await inFolder({ 'texts/a': 'a', 'texts/.b': slice(0), 'texts/c/d': 'd' }, async (top) => {
    await dropPaths(page, join(top, 'texts'));
    await waitText(page, '#notice', /nothing to open: none of 3 files in the folder is a PNG, NIfTI or DICOM/);
    await mkdir(join(top, 'bare'));
    await dropPaths(page, join(top, 'bare'));
    await waitText(page, '#notice', /^The folder is empty\.$/);
    assert.equal(await text(page, '#status'), 'The folder is empty.');
    assert.ok(await page.isVisible('#intro'));
    assert.equal(mock.requests.length, 0);
  });
});

withPage('what cannot be read in a folder is named, the rest is opened', {}, async (page) => {
  // Tests may run as a user whom the system lets read everything, so the browser is made to fail.
  await page.evaluate(() => {
    const { webkitGetAsEntry } = DataTransferItem.prototype;
    const broken = (name) => (done, fail) => fail(new DOMException('no', name));
    const spoil = (entry) => {
      if (entry.name === 'gone') {
        entry.file = broken('NotFoundError');
      } else if (entry.name === 'locked') {
        entry.createReader = () => ({ readEntries: broken('NotReadableError') });
      } else if (entry.isDirectory) {
        const reader = entry.createReader();
        const { readEntries } = reader;
        reader.readEntries = (done, fail) =>
          readEntries.call(reader, (list) => done(list.map(spoil)), fail);
        entry.createReader = () => reader;
      }
      return entry;
    };
    DataTransferItem.prototype.webkitGetAsEntry = function () {
      return spoil(webkitGetAsEntry.call(this));
    };
  });
  await inFolder({ ...series('s', 3), 's/locked/IM9': slice(9), 's/gone': 'x' }, async (top) => {
    await dropPaths(page, join(top, 's'));
    await waitText(page, '#notice', /^“s\/(gone|locked)” and 1 more cannot be read/);
    await waitText(page, '#file-facts', /^16 × 12 × 3 px/);
    await dropPaths(page, join(top, 's/locked'));
    await waitText(page, '#notice', /^“locked” cannot be read/);
  });
});

withPage('a folder without end is given up, dropped or chosen', {}, async (page) => {
  const said = await page.evaluate(async () => {
    const { pictures, walk } = await import(new URL('folders.js', document.baseURI));
    const loop = { name: 'loop', fullPath: '/loop', isDirectory: true };
    loop.createReader = () => ({ readEntries: (done) => done([loop]) });
    const many = Array.from({ length: 16385 }, () => ({ path: 'a/b', file: new File([], 'b') }));
    const words = (error) => `${error.name}: ${error.message}`;
    return Promise.all([walk([loop]).catch(words), pictures(many).catch(words)]);
  });
  const wanted = 'FormatError: There are more than 16384 files. Open a folder in it.';
  assert.deepEqual(said, [wanted, wanted]);
});
