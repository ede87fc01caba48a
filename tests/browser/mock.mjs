// A stand-in for the service, for what a real one cannot be made to do on demand: refuse, stall,
// answer nonsense. It serves the viewer with the policy of the real server and replies to predict
// with whatever a test has put into `reply`.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inShape, SHAPES } from './png.mjs';

const STATIC = fileURLToPath(new URL('../../static/', import.meta.url));
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.gz': 'application/gzip',
};
export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export class Mock {
  /** prefix: '' or '/some/where', as --api-prefix. */
  constructor(prefix = '') {
    this.prefix = prefix;
    this.requests = [];
    this.info = infoOf({ trained: true });
    this.reply = (request, response) => sendJson(response, 200, sliceOf());
    this.server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  async start() {
    await new Promise((resolve) => {
      this.server.listen(0, '127.0.0.1', resolve);
    });
    this.origin = `http://127.0.0.1:${this.server.address().port}`;
    this.url = `${this.origin}${this.prefix}/`;
    return this;
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => {
      this.server.close(resolve);
    });
  }

  async #answer(request, response) {
    const url = new URL(request.url, this.origin);
    const path = url.pathname.startsWith(`${this.prefix}/`)
      ? url.pathname.slice(this.prefix.length)
      : null;
    if (path === '/v1/predict' && request.method === 'POST') {
      const body = [];
      for await (const part of request) {
        body.push(part);
      }
      const record = {
        query: url.searchParams,
        headers: request.headers,
        body: Buffer.concat(body),
      };
      this.requests.push(record);
      await this.reply(record, response);
    } else if (path === '/v1/info') {
      sendJson(response, 200, this.info);
    } else if (path === null) {
      response.writeHead(404).end();
    } else {
      await this.#file(path, request.method, response);
    }
  }

  async #file(path, method, response) {
    const name = path === '/' ? '/index.html' : normalize(path);
    try {
      const bytes = await readFile(join(STATIC, name));
      response.writeHead(200, {
        'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream',
        'Content-Security-Policy': POLICY,
        'X-Content-Type-Options': 'nosniff',
      });
      response.end(method === 'HEAD' ? undefined : bytes);
    } catch {
      response.writeHead(404, { 'Content-Type': 'text/plain' }).end();
    }
  }
}

export function sendJson(response, status, body, headers = {}) {
  response.writeHead(status, {
    'Content-Type': status < 400 ? 'application/json' : 'application/problem+json',
    'Cache-Control': 'no-store',
    'X-Request-Id': body.request_id ?? 'req-mock',
    ...headers,
  });
  response.end(JSON.stringify(body));
}

export function sendProblem(response, status, code, detail, headers = {}) {
  sendJson(
    response,
    status,
    {
      type: 'about:blank',
      title: code,
      status,
      code,
      detail,
      request_id: 'req-7f3a',
    },
    headers,
  );
}

/** Runs of a mask {width, height, data}, column by column, as a compressed string. */
export function encodeMask({ width, height, data }) {
  const runs = [];
  let value = 0;
  let run = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      if (data[y * width + x] !== value) {
        runs.push(run);
        run = 0;
        value = 1 - value;
      }
      run++;
    }
  }
  runs.push(run);
  let counts = '';
  runs.forEach((length, i) => {
    let rest = i > 2 ? length - runs[i - 2] : length;
    for (let more = true; more;) {
      let group = rest & 31;
      rest >>= 5;
      more = group & 16 ? rest !== -1 : rest !== 0;
      group |= more ? 32 : 0;
      counts += String.fromCharCode(group + 48);
    }
  });
  return { size: [height, width], counts };
}

export function infoOf({ trained }) {
  return {
    model: {
      name: 'oneshot-resnext50_32x4d',
      version: '1',
      backbone: 'resnext50_32x4d',
      batch_norm: 'running',
      trained,
      trained_on: trained ? 'phantoms of the test suite' : '',
      parameters: 43516822,
      file: 'oneshot.safetensors',
      sha256: '4f0c2b7de0a94d6f8a5a5a1f0f8e3c2db1907d61b2c45a0f9c87e6d5b4a39281',
    },
    limits: { max_body_bytes: 64 * 2 ** 20, max_pixels: 16777216, timeout_ms: 60000 },
    defaults: { score_threshold: 0.75, max_detections: 16 },
  };
}

/** A detection that covers a shape of the phantom. */
function detectionOf(id, name, classId, score, shape, width, height) {
  const data = new Uint8Array(width * height);
  let area = 0;
  let [x0, y0, x1, y1] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (inShape(shape, x, y, width, height)) {
        data[y * width + x] = 1;
        area++;
        [x0, y0, x1, y1] = [
          Math.min(x0, x),
          Math.min(y0, y),
          Math.max(x1, x + 1),
          Math.max(y1, y + 1),
        ];
      }
    }
  }
  return {
    id,
    class: name,
    class_id: classId,
    score,
    bbox_xywh: [x0, y0, x1 - x0, y1 - y0],
    area_px: area,
    segmentation: encodeMask({ width, height, data }),
  };
}

const CLASS_IDS = { lungs: 1, ggo: 2, consolidation: 3 };

/** The answer for the phantom of this size. */
export function sliceOf({
  width = 512,
  height = width,
  trained = true,
  regions = 16,
  unique = 13,
  requestId = 'req-5b1e',
} = {}) {
  const scores = { lungs: [0.994, 0.991], ggo: [0.921, 0.783], consolidation: [0.866] };
  const detections = Object.entries(SHAPES)
    .flatMap(([name, shapes]) =>
      shapes.map((shape, i) => ({ name, shape, score: scores[name][i] })),
    )
    .sort((a, b) => b.score - a.score)
    .map((d, i) =>
      detectionOf(i + 1, d.name, CLASS_IDS[d.name], d.score, d.shape, width, height),
    );
  const areaOf = (name) =>
    detections.filter((d) => d.class === name).reduce((sum, d) => sum + d.area_px, 0);
  return {
    schema_version: '1.0',
    request_id: requestId,
    model: {
      name: 'oneshot-resnext50_32x4d',
      version: '1',
      trained,
      sha256: '4f0c2b7de0a94d6f8a5a5a1f0f8e3c2db1907d61b2c45a0f9c87e6d5b4a39281',
    },
    input: {
      kind: 'png',
      width,
      height,
      bit_depth: 8,
      sha256: '9c1185a5c5e9fc54612808977ee8f548b2258d31ddadef9c1185a5c5e9fc5461',
      intensity: { mode: 'windowed', window: 1500, level: -600, assumed: true },
    },
    classification:
      regions === 0
        ? null
        : {
            activation: 'sigmoid',
            predicted: 'covid_19',
            classes: [
              { id: 0, name: 'control', logit: -3.12, probability: 0.0423 },
              { id: 1, name: 'common_pneumonia', logit: -0.79, probability: 0.3121 },
              { id: 2, name: 'covid_19', logit: 1.61, probability: 0.8334 },
            ],
          },
    detections,
    explanation: {
      rois: roisOf(regions, unique, width, height),
      unique_rois: Math.min(unique, regions),
    },
    burden: {
      lung_px: areaOf('lungs'),
      ggo_px: areaOf('ggo'),
      consolidation_px: areaOf('consolidation'),
      affected_pct: (100 * (areaOf('ggo') + areaOf('consolidation'))) / areaOf('lungs'),
    },
    warnings: [
      {
        code: 'window_assumed',
        detail:
          'The PNG does not say how it was windowed; a lung window ' +
          '(width 1500, level -600) was assumed.',
      },
      ...(regions > unique
        ? [{ code: 'rois_padded', detail: `${unique} of ${regions} regions are distinct.` }]
        : []),
    ],
    timing_ms: { queue: 0.3, decode: 4.1, infer: 181.6, encode: 2.2 },
    disclaimer: 'Research use only. Not for diagnosis.',
  };
}

function roisOf(count, unique, width, height) {
  const names = ['ggo', 'lungs', 'ggo', 'consolidation', 'ggo', 'lungs'];
  const distinct = Array.from({ length: Math.min(unique, count) }, (_, k) => {
    const [x, y] = [0.2 + 0.11 * (k % 5) + 0.012 * k, 0.26 + 0.15 * Math.floor(k / 4)];
    const [w, h] = [0.06 + 0.02 * (k % 4), 0.08 + 0.025 * (k % 3)];
    return {
      bbox_xywh: [x * width, y * height, w * width, h * height].map((v) => +v.toFixed(2)),
      class: names[k % names.length],
      score: +(0.93 - 0.05 * k).toFixed(3),
    };
  });
  const slots = Array.from({ length: count }, (_, i) =>
    Math.floor((i * distinct.length) / count),
  );
  const raw = (i, phase) => Math.exp(1.5 * Math.sin(phase + 1.7 * i));
  const sum = (phase) => slots.reduce((total, _, i) => total + raw(i, phase), 0);
  return slots.map((k, i) => ({
    rank: i + 1,
    ...distinct[k],
    attention_for: raw(i, 0.4) / sum(0.4),
    attention_against: raw(i, 2.9) / sum(2.9),
    padded: slots.indexOf(k) !== i,
  }));
}
