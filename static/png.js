// Enough of PNG to say what a file is, to read 16-bit greys, of which a browser keeps 8 bits, and to
// write 8-bit ones.

import { crc32, inflate } from './zip.js';

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** {width, height, depth, colour, interlaced} of a PNG's header, or null. */
export function readHeader(bytes) {
  if (bytes.length < 29 || !SIGNATURE.every((value, index) => bytes[index] === value)) {
    return null;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    width: view.getUint32(16),
    height: view.getUint32(20),
    depth: bytes[24],
    colour: bytes[25],
    interlaced: bytes[28] !== 0,
  };
}

/**
 * The samples of a 16-bit grey PNG as Uint16Array, row by row; null when it is another kind of
 * PNG, or does not unpack cleanly.
 */
export async function readDeepGrey(bytes) {
  const header = readHeader(bytes);
  if (
    header?.depth !== 16 ||
    header.colour !== 0 ||
    header.interlaced ||
    header.width * header.height > 2 ** 26
  ) {
    return null;
  }
  try {
    const stride = header.width * 2;
    const rows = await inflate(dataChunks(bytes), (stride + 1) * header.height, 'deflate');
    return unfilter(rows, header.width, header.height, stride);
  } catch {
    return null;
  }
}

function dataChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts = [];
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (type === 'IDAT') {
      parts.push(bytes.subarray(at + 8, at + 8 + length));
    }
    at += 12 + length;
  }
  return new Blob(parts);
}

/** A grey PNG of 8 bits, as a Blob. */
export async function writeGrey(width, height, values) {
  const rows = new Uint8Array((width + 1) * height); // each begins with its filter, none
  for (let y = 0; y < height; y++) {
    rows.set(values.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  }
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream('deflate'));
  const header = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  const chunk = (type, data) => {
    const bytes = new Uint8Array(12 + data.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, data.length);
    bytes.set(
      [...type].map((c) => c.charCodeAt(0)),
      4,
    );
    bytes.set(data, 8);
    view.setUint32(8 + data.length, crc32(bytes.subarray(4, -4)));
    return bytes;
  };
  const data = new Uint8Array(await new Response(packed).arrayBuffer());
  const parts = [chunk('IHDR', header), chunk('IDAT', data), chunk('IEND', [])];
  return new Blob([new Uint8Array(SIGNATURE), ...parts], { type: 'image/png' });
}

function unfilter(rows, width, height, stride) {
  const samples = new Uint16Array(width * height);
  let above = new Uint8Array(stride);
  for (let y = 0; y < height; y++) {
    const start = y * (stride + 1);
    const filter = rows[start];
    const line = rows.subarray(start + 1, start + 1 + stride);
    for (let i = 0; i < stride; i++) {
      const left = i >= 2 ? line[i - 2] : 0;
      const up = above[i];
      const corner = i >= 2 ? above[i - 2] : 0;
      line[i] += predict(filter, left, up, corner);
    }
    for (let x = 0; x < width; x++) {
      samples[y * width + x] = line[2 * x] * 256 + line[2 * x + 1];
    }
    above = line;
  }
  return samples;
}

function predict(filter, left, up, corner) {
  if (filter === 1) {
    return left;
  }
  if (filter === 2) {
    return up;
  }
  if (filter === 3) {
    return (left + up) >> 1;
  }
  if (filter === 4) {
    const estimate = left + up - corner;
    const byLeft = Math.abs(estimate - left);
    const byUp = Math.abs(estimate - up);
    const byCorner = Math.abs(estimate - corner);
    return byLeft <= byUp && byLeft <= byCorner ? left : byUp <= byCorner ? up : corner;
  }
  return 0;
}
