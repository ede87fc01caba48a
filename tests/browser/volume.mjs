// A small chest as a volume, whose labels are known, and the service's streamed answer for it.

import { encodeMask, sliceOf } from './mock.mjs';
import { inShape, SHAPES } from './png.mjs';

export const SIZE = [96, 80, 12];
const HU = { outside: -1000, body: 40, lungs: -850, ggo: -500, consolidation: 30 };
const CLASSES = [
  ['lungs', 1],
  ['ggo', 2],
  ['consolidation', 3],
];

/** Whether lesions are in slice k: in the middle half, more of them towards its end. */
function sick(k, depth) {
  return k >= depth / 4 && k < (3 * depth) / 4;
}

/** 0 background, 1 lungs, 2 GGO, 3 consolidation, of a voxel as shown. The shapes tell left from
 * right and front from back, and every fourth slice leaves one lung out. */
export function labelAt(x, y, k, [width, height, depth] = SIZE) {
  const inside = (shape) => inShape(shape, x, y, width, height);
  if (sick(k, depth) && SHAPES.consolidation.some(inside)) {
    return 3;
  }
  if (sick(k, depth) && SHAPES.ggo.slice(0, 1 + (k % 2)).some(inside)) {
    return 2;
  }
  return SHAPES.lungs.slice(k % 4 === 3 ? 1 : 0).some(inside) ? 1 : 0;
}

/** Hounsfield units of a voxel as shown. */
export function huAt(x, y, k, size = SIZE) {
  const label = labelAt(x, y, k, size);
  if (label > 0) {
    return HU[CLASSES[label - 1][0]] + ((x * 7 + y * 13 + k * 5) % 20);
  }
  const [u, v] = [x / size[0] - 0.5, y / size[1] - 0.52];
  return (u / 0.47) ** 2 + (v / 0.4) ** 2 < 1 ? HU.body + ((x + y) % 15) : HU.outside;
}

/** The answer for slice k: one detection per class, its mask the labels. */
export function answerOf(k, size = SIZE, { score = 0.9 } = {}) {
  const [width, height] = size;
  const masks = CLASSES.map(() => new Uint8Array(width * height));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const label = labelAt(x, y, k, size);
      for (let c = 1; c <= label; c++) {
        // The lung goes on below the lesions; a consolidation is no ground glass.
        if (c === 1 || c === label) {
          masks[c - 1][y * width + x] = 1;
        }
      }
    }
  }
  const area = masks.map((data) => data.reduce((sum, v) => sum + v, 0));
  const plain = sliceOf({ width, height, regions: 4, unique: 4 });
  return {
    ...plain,
    detections: CLASSES.flatMap(([name, id], i) =>
      area[i] === 0 ? [] : [detection(i + 1, name, id, score - 0.1 * i, masks[i], width, height)],
    ),
    burden: {
      lung_px: area[0],
      ggo_px: area[1],
      consolidation_px: area[2],
      affected_pct: +((100 * (area[1] + area[2])) / area[0]).toFixed(2),
    },
    warnings: [],
  };
}

function detection(id, name, classId, score, data, width, height) {
  const [xs, ys] = [[], []];
  data.forEach((v, i) => {
    if (v !== 0) {
      xs.push(i % width);
      ys.push(Math.floor(i / width));
    }
  });
  const [x0, y0] = [Math.min(...xs), Math.min(...ys)];
  return {
    id,
    class: name,
    class_id: classId,
    score,
    bbox_xywh: [x0, y0, Math.max(...xs) + 1 - x0, Math.max(...ys) + 1 - y0],
    area_px: xs.length,
    segmentation: encodeMask({ width, height, data }),
  };
}

/** Events of a whole answer, in their order, as the service writes them. */
export function eventsOf(size = SIZE, { spacing = [0.8, 0.8, 5] } = {}) {
  const depth = size[2];
  const { model, input, disclaimer } = sliceOf({ width: size[0], height: size[1] });
  const slices = Array.from({ length: depth }, (_, k) => answerOf(k, size));
  const voxel = (spacing[0] * spacing[1] * spacing[2]) / 1000;
  const sum = (name) => slices.reduce((total, s) => total + s.burden[name], 0);
  const part = (share) => {
    const [lung, ggo, consolidation] = ['lung_px', 'ggo_px', 'consolidation_px'].map(
      (name) => sum(name) * share * voxel,
    );
    return {
      lung_ml: lung,
      ggo_ml: ggo,
      consolidation_ml: consolidation,
      affected_ml: ggo + consolidation,
      affected_pct: (100 * (ggo + consolidation)) / lung,
    };
  };
  const rows = slices.map((s, k) => ({ slice: k, affected_pct: s.burden.affected_pct }));
  const input3d = { ...input, kind: 'nifti-1' };
  const names = ['control', 'common_pneumonia', 'covid_19'];
  return [
    { event: 'accepted', schema_version: '1.0', request_id: 'req-volume', queue_position: 2 },
    {
      event: 'volume',
      model,
      input: input3d,
      volume: {
        shape: size,
        spacing_mm: spacing,
        orientation: 'LPS',
        slices: depth,
        voxel_ml: voxel,
        slices_selected: { first: 0, step: 1, count: depth },
      },
      warnings: [{ code: 'anisotropic', detail: 'Slices are 5 mm apart.' }],
      disclaimer,
    },
    ...slices.map(
      ({ classification, detections, explanation, burden, warnings, timing_ms: timing }, k) => ({
        event: 'slice',
        slice: k,
        position_mm: -300 + spacing[2] * k,
        classification,
        detections,
        explanation,
        burden,
        warnings,
        timing_ms: timing,
        progress: { done: k + 1, total: depth, eta_ms: 2500 * (depth - k - 1) },
      }),
    ),
    {
      event: 'summary',
      input: input3d,
      summary: {
        complete: true,
        slices_done: depth,
        slices_failed: 0,
        burden: { total: part(1), right: part(0.55), left: part(0.45) },
        sides_rule: 'Right and left are divided at the middle of the lungs found.',
        vote: {
          rule: 'The mean of the slices with much lung.',
          slices: depth,
          classes: names.map((name, id) => ({ id, name, probability: [0.04, 0.3, 0.81][id], votes: 0 })),
          predicted: 'covid_19',
        },
        worst_slices: [...rows].sort((a, b) => b.affected_pct - a.affected_pct).slice(0, 5),
        profile: rows,
      },
      warnings: [],
      timing_ms: { queue: 1, decode: 20, infer: 2000, encode: 10 },
    },
    {
      event: 'done',
      request_id: 'req-volume',
      slices_done: depth,
      slices_failed: 0,
      timing_ms: { queue: 1, decode: 20, infer: 2000, encode: 10 },
    },
  ];
}

/** Begins a stream; returns a function that writes events. */
export function beginStream(response) {
  response.writeHead(200, {
    'Content-Type': 'application/x-ndjson',
    'Cache-Control': 'no-store',
    'X-Accel-Buffering': 'no',
    'X-Request-Id': 'req-volume',
  });
  response.flushHeaders();
  return (...events) => response.write(events.map((e) => `${JSON.stringify(e)}\n`).join(''));
}

/** The whole answer at once. */
export function sendVolume(response, size = SIZE, options = {}) {
  beginStream(response)(...eventsOf(size, options));
  response.end();
}
