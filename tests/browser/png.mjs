// A small PNG writer, and slices to write with it.

import { deflateSync } from 'node:zlib';

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) {
    c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  }
  return c;
});

export function crc32(bytes) {
  let c = 0xffffffff;
  for (const byte of bytes) {
    c = TABLE[(c ^ byte) & 255] ^ (c >>> 8);
  }
  return (c ^ 0xffffffff) >>> 0;
}

function chunk(type, data) {
  const out = Buffer.alloc(12 + data.length);
  out.writeUInt32BE(data.length, 0);
  out.write(type, 4, 'latin1');
  Buffer.from(data).copy(out, 8);
  out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
  return out;
}

/** A grey PNG: values row by row, depth 8 or 16. Rows take the filters 0..4 in turn. */
export function encodePng(width, height, values, depth = 8) {
  const size = depth / 8;
  const stride = width * size;
  const plain = Buffer.alloc(stride * height);
  values.forEach((value, i) => plain.writeUIntBE(value, i * size, size));
  const rows = Buffer.alloc((stride + 1) * height);
  for (let y = 0; y < height; y++) {
    const filter = y % 5;
    rows[y * (stride + 1)] = filter;
    for (let i = 0; i < stride; i++) {
      const at = y * stride + i;
      const left = i >= size ? plain[at - size] : 0;
      const up = y > 0 ? plain[at - stride] : 0;
      const corner = i >= size && y > 0 ? plain[at - stride - size] : 0;
      rows[y * (stride + 1) + 1 + i] = plain[at] - predicted(filter, left, up, corner);
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = depth;
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function predicted(filter, left, up, corner) {
  if (filter < 4) {
    return [0, left, up, (left + up) >> 1][filter];
  }
  const paeth = left + up - corner;
  const [a, b, c] = [left, up, corner].map((value) => Math.abs(paeth - value));
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

const inside = (x, y, cx, cy, rx, ry) => ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1;

/** Shapes of the phantom on a unit square: centre and radii. */
export const SHAPES = {
  lungs: [
    [0.32, 0.5, 0.15, 0.26],
    [0.68, 0.5, 0.15, 0.26],
  ],
  ggo: [
    [0.29, 0.6, 0.075, 0.09],
    [0.7, 0.42, 0.06, 0.07],
  ],
  consolidation: [[0.71, 0.66, 0.05, 0.055]],
};

/** Whether a pixel of a width × height phantom lies in a shape. */
export function inShape([cx, cy, rx, ry], x, y, width, height) {
  return inside((x + 0.5) / width, (y + 0.5) / height, cx, cy, rx, ry);
}

/** Greys of something that looks like an axial chest slice in a lung window; 0..255. */
export function phantom(width = 512, height = width) {
  const values = new Uint8Array(width * height);
  let seed = 7;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [u, v] = [(x + 0.5) / width, (y + 0.5) / height];
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      const grain = ((seed >>> 16) % 17) - 8;
      let value = 4;
      if (inside(u, v, 0.5, 0.52, 0.46, 0.37)) {
        value = 196 + 14 * Math.sin(9 * u) * Math.sin(7 * v);
      }
      if (
        inside(u, v, 0.5, 0.52, 0.43, 0.34) &&
        !inside(u, v, 0.5, 0.52, 0.405, 0.315) &&
        Math.sin(22 * Math.atan2(v - 0.52, u - 0.5)) > 0.1
      ) {
        value = 250;
      }
      if (SHAPES.lungs.some((s) => inside(u, v, ...s))) {
        value = 34 + 22 * (Math.sin(60 * u + 8 * v) * Math.sin(50 * v - 9 * u)) ** 6 * 6;
      }
      if (SHAPES.ggo.some((s) => inside(u, v, ...s))) {
        value = 92 + 18 * Math.sin(70 * u) * Math.sin(63 * v);
      }
      if (SHAPES.consolidation.some((s) => inside(u, v, ...s))) {
        value = 176;
      }
      if (inside(u, v, 0.5, 0.76, 0.05, 0.05)) {
        value = 246;
      }
      if (inside(u, v, 0.5, 0.42, 0.025, 0.022)) {
        value = 6;
      }
      values[y * width + x] = Math.max(0, Math.min(255, Math.round(value + grain)));
    }
  }
  return values;
}

export function phantomPng(width = 512, height = width) {
  return encodePng(width, height, phantom(width, height));
}
