// The viewer's modules one by one, run in the browser they are written for.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { closePage, openPage } from './browser.mjs';
import { encodeMask, Mock, sliceOf } from './mock.mjs';
import { encodePng } from './png.mjs';

let mock;
let page;

before(async () => {
  mock = await new Mock().start();
  page = await openPage(mock.url);
});
after(async () => {
  await closePage(page);
  await mock.stop();
});

/** Calls module.name(...args) in the page; an exception comes back as {error}. */
function call(module, name, ...args) {
  return page.evaluate(
    async ([from, what, list]) => {
      const functions = await import(new URL(from, document.baseURI));
      try {
        const result = await functions[what](...list);
        return JSON.parse(
          JSON.stringify(result, (key, value) =>
            ArrayBuffer.isView(value) ? [...value] : value,
          ) ?? 'null',
        );
      } catch (error) {
        return { error: `${error.name}: ${error.message}` };
      }
    },
    [module, name, args],
  );
}

test('runs of a mask, worked out by hand', async () => {
  // 3 → '3'. 16 has bit 16 set, so a second group keeps it positive: 'P' (48 + 32 + 0) is
  // 16 & 31 = 16 | 32 = 48 → '`', then '0'.
  assert.deepEqual(await call('rle.js', 'decodeCounts', '3'), [3]);
  assert.deepEqual(await call('rle.js', 'decodeCounts', '`0'), [16]);
  // 100 = 3·32 + 4: group 4 | 32 → 'T', group 3 → '3'.
  assert.deepEqual(await call('rle.js', 'decodeCounts', 'T3'), [100]);
  // From the fourth run on the difference to the run two before: 5 2 1 4 is 5 2 1 (4-2).
  assert.deepEqual(await call('rle.js', 'decodeCounts', '5212'), [5, 2, 1, 4]);
  // A negative difference: 1 - 7 = -6 = …11010, one group 26 → 'J'.
  assert.deepEqual(await call('rle.js', 'decodeCounts', '073J'), [0, 7, 3, 1]);
  assert.deepEqual(await call('rle.js', 'decodeCounts', ''), []);
  // 2^26 needs six groups; shifts would still hold it, 2^34 they would not.
  assert.deepEqual(await call('rle.js', 'decodeCounts', 'PPPPP2'), [2 ** 26]);
  assert.deepEqual(await call('rle.js', 'decodeCounts', 'PPPPPP`0'), [2 ** 34]);
});

test('strings that are no mask are refused', async () => {
  for (const wrong of ['T', '3 ', '3\u0100', '00O', '007J']) {
    const { error } = await call('rle.js', 'decodeCounts', wrong);
    if (wrong === '007J') {
      // 0, 0, 7, then 0 + (-6): negative.
      assert.match(error, /RangeError.*negative/);
    } else if (wrong === '00O') {
      assert.match(error, /RangeError.*negative/); // 'O' is 31: -1
    } else {
      assert.match(error, /RangeError/, wrong);
    }
  }
});

test('a mask is column by column, height first', async () => {
  // Two rows, three columns; ones at (0,1), (1,0), (1,1): column-major 0 1 | 1 1 | 0 0.
  const mask = await call('rle.js', 'decodeMask', { size: [2, 3], counts: '132' });
  assert.deepEqual(mask, { width: 3, height: 2, area: 3, data: [0, 1, 0, 1, 1, 0] });
  // Four rows, two columns: ones in the second column only, rows 2 and 3.
  assert.deepEqual(
    (await call('rle.js', 'decodeMask', { size: [4, 2], counts: [6, 2] })).data,
    [0, 0, 0, 0, 0, 1, 0, 1],
  );
  // The same as a plain list; a mask that begins with a one has an empty first run.
  assert.deepEqual(
    (await call('rle.js', 'decodeMask', { size: [2, 3], counts: [1, 3, 2] })).data,
    [0, 1, 0, 1, 1, 0],
  );
  assert.deepEqual(
    (await call('rle.js', 'decodeMask', { size: [2, 2], counts: '013' })).data,
    [1, 0, 0, 0],
  );
  for (const [size, counts] of [
    [[2, 3], '131'],
    [[2, 3], '133'],
    [[0, 3], ''],
    [[2], '13'],
  ]) {
    assert.match(
      (await call('rle.js', 'decodeMask', { size, counts })).error ?? '',
      /RangeError/,
    );
  }
});

test('a mask survives being written and read', async () => {
  const [width, height] = [37, 91];
  const data = Array.from({ length: width * height }, (_, i) =>
    Number((i * i * 7) % 101 < 40 !== (i % 13 === 0)),
  );
  const read = await call('rle.js', 'decodeMask', encodeMask({ width, height, data }));
  assert.deepEqual(read.data, data);
  assert.equal(
    read.area,
    data.reduce((a, b) => a + b),
  );
});

test('an outline runs once around each part and each hole', async () => {
  const draw = (rows) =>
    call('outline.js', 'traceOutline', {
      width: rows[0].length,
      height: rows.length,
      data: rows.join('').split('').map(Number),
    });
  assert.deepEqual(await draw(['000', '010', '000']), [[1, 1, 2, 1, 2, 2, 1, 2]]);
  const ring = await draw(['111', '101', '111']);
  assert.equal(ring.length, 2);
  assert.deepEqual(ring[0], [0, 0, 3, 0, 3, 3, 0, 3]);
  assert.equal(ring[1].length, 8);
  // Pixels that touch at a corner are two parts.
  assert.equal((await draw(['10', '01'])).length, 2);
  assert.deepEqual(await draw(['00', '00']), []);
  // The area inside the loops is the number of ones, holes running the other way.
  const rows = ['0110', '1111', '1101', '0111'];
  const area = (await draw(rows)).reduce((sum, loop) => {
    for (let i = 0; i < loop.length; i += 2) {
      const j = (i + 2) % loop.length;
      sum += (loop[i] * loop[j + 1] - loop[j] * loop[i + 1]) / 2;
    }
    return sum;
  }, 0);
  assert.equal(
    area,
    rows
      .join('')
      .split('')
      .filter((c) => c === '1').length,
  );
});

test('an answer is checked before it is shown', async () => {
  const good = sliceOf({ width: 64 });
  const slice = await call('slice.js', 'readSlice', good);
  assert.equal(slice.detections.length, 5);
  assert.equal(slice.classification.predicted.name, 'covid_19');
  assert.equal(slice.regions.length, 16);
  const broken = (change) => {
    const copy = structuredClone(good);
    change(copy);
    return call('slice.js', 'readSlice', copy);
  };
  const errors = [
    [(s) => delete s.input, /input/],
    [
      (s) => {
        s.detections = {};
      },
      /detections/,
    ],
    [
      (s) => {
        s.detections[1].score = 'high';
      },
      /detections\[1\]\.score/,
    ],
    [
      (s) => {
        s.detections[2].bbox_xywh = [1, 2, 3];
      },
      /detections\[2\]\.bbox_xywh/,
    ],
    [
      (s) => {
        s.detections[0].segmentation.size = [63, 64];
      },
      /mask/,
    ],
    [
      (s) => {
        s.explanation.rois[4].attention_for = null;
      },
      /rois\[4\]\.attention_for/,
    ],
    [
      (s) => {
        s.input.width = 0;
      },
      /input\.width/,
    ],
  ];
  for (const [change, message] of errors) {
    assert.match((await broken(change)).error ?? 'no error', message);
  }
  assert.equal(
    (
      await broken((s) => {
        s.classification = null;
      })
    ).classification,
    null,
  );
  assert.deepEqual(
    (
      await broken((s) => {
        s.explanation = null;
      })
    ).regions,
    [],
  );
  assert.equal(
    (
      await broken((s) => {
        s.detections[0].segmentation = null;
      })
    ).detections[0].mask,
    null,
  );
});

test('regions on one box count as one place, their weights added', async () => {
  const slice = await call(
    'slice.js',
    'readSlice',
    sliceOf({ width: 64, regions: 16, unique: 5 }),
  );
  const places = await call('slice.js', 'placesOf', slice.regions);
  assert.equal(places.length, 5);
  assert.equal(
    places.reduce((n, p) => n + p.regions.length, 0),
    16,
  );
  for (const branch of ['for', 'against']) {
    const sum = places.reduce((total, p) => total + p.weights[branch], 0);
    assert.ok(Math.abs(sum - 1) < 1e-9);
  }
});

test('Retry-After as seconds and as a date', async () => {
  const now = Date.parse('2024-05-01T10:00:00Z');
  assert.equal(await call('api.js', 'retryAfterSeconds', '7', now), 7);
  assert.equal(
    await call('api.js', 'retryAfterSeconds', 'Wed, 01 May 2024 10:00:30 GMT', now),
    30,
  );
  assert.equal(await call('api.js', 'retryAfterSeconds', '0', now), 1);
  assert.equal(await call('api.js', 'retryAfterSeconds', '999999', now), 3600);
  for (const none of [null, '', 'soon']) {
    assert.equal(await call('api.js', 'retryAfterSeconds', none, now), null);
  }
});

test('a curl command is safe to paste', async () => {
  assert.equal(
    await call('save.js', 'curlCommand', 'http://h/v1/predict?a=1&b=2', "it's $(x).png", false),
    "curl --data-binary '@it'\\''s $(x).png' 'http://h/v1/predict?a=1&b=2'",
  );
  assert.match(
    await call('save.js', 'curlCommand', 'http://h/p', 'a.png', true),
    /Bearer \$ONESHOT_KEY/,
  );
});

test('16-bit greys are read in full, every row filter', async () => {
  const [width, height] = [9, 11];
  const values = Array.from({ length: width * height }, (_, i) => (i * 7919) % 65536);
  const bytes = [...encodePng(width, height, values, 16)];
  const read = (list) =>
    page.evaluate(async (data) => {
      const { readDeepGrey } = await import(new URL('png.js', document.baseURI));
      const result = await readDeepGrey(Uint8Array.from(data));
      return result === null ? null : [...result];
    }, list);
  assert.deepEqual(await read(bytes), values);
  assert.equal(
    await read([
      ...encodePng(
        width,
        height,
        values.map((v) => v >> 8),
        8,
      ),
    ]),
    null,
  );
  assert.equal(await read(bytes.slice(0, bytes.length - 40)), null);
});

test('colours of the classes keep apart for colour-blind eyes', async () => {
  const colours = await page.evaluate(async () => {
    const { OBJECT_CLASSES, ATTENTION } = await import(new URL('palette.js', document.baseURI));
    return {
      classes: OBJECT_CLASSES.map((c) => c.colour),
      branches: Object.values(ATTENTION).map((a) => a.colour),
    };
  });
  for (const set of Object.values(colours)) {
    for (const [kind, matrix] of Object.entries(VISION)) {
      for (let i = 0; i < set.length; i++) {
        for (let j = 0; j < i; j++) {
          const distance = labDistance(seenAs(set[i], matrix), seenAs(set[j], matrix));
          assert.ok(
            distance > 25,
            `${set[i]} and ${set[j]} (${kind}): ${distance.toFixed(1)}`,
          );
        }
      }
    }
  }
});

// Linear RGB as seen without one kind of cones (Machado, Oliveira, Fernandes 2009, severity 1).
const VISION = {
  ordinary: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
};

function seenAs(colour, matrix) {
  const linear = [1, 3, 5]
    .map((at) => parseInt(colour.slice(at, at + 2), 16) / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return matrix.map((row) =>
    Math.min(
      1,
      Math.max(
        0,
        row.reduce((s, m, k) => s + m * linear[k], 0),
      ),
    ),
  );
}

function labDistance(a, b) {
  const lab = ([r, g, bl]) => {
    const [x, y, z] = [
      (0.4124 * r + 0.3576 * g + 0.1805 * bl) / 0.9505,
      0.2126 * r + 0.7152 * g + 0.0722 * bl,
      (0.0193 * r + 0.1192 * g + 0.9505 * bl) / 1.089,
    ].map((v) => (v > 216 / 24389 ? Math.cbrt(v) : ((24389 / 27) * v + 16) / 116));
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
  };
  const [p, q] = [lab(a), lab(b)];
  return Math.hypot(...p.map((v, i) => v - q[i]));
}
