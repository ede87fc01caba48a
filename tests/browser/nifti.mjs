// Writes NIfTI-1 volumes in any order of storage.

import { gzipSync } from 'node:zlib';

const TYPES = {
  uint8: { code: 2, bits: 8, write: 'writeUInt8' },
  int16: { code: 4, bits: 16, write: 'writeInt16' },
  int32: { code: 8, bits: 32, write: 'writeInt32' },
  float32: { code: 16, bits: 32, write: 'writeFloat' },
  float64: { code: 64, bits: 64, write: 'writeDouble' },
  uint16: { code: 512, bits: 16, write: 'writeUInt16' },
};
// What increases along a stored axis: the axis of the patient, and whether it is RAS's direction.
const LETTERS = { R: [0, 1], L: [0, -1], A: [1, 1], P: [1, -1], S: [2, 1], I: [2, -1] };

/** All 48 ways to store a volume: three letters, where the stored axes point. */
export const ORIENTATIONS = (() => {
  const pairs = ['RL', 'AP', 'SI'];
  const orders = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ];
  return orders.flatMap((order) =>
    [0, 1, 2, 3, 4, 5, 6, 7].map((bits) =>
      order.map((axis, i) => pairs[axis][(bits >> i) & 1]).join(''),
    ),
  );
})();

/**
 * A .nii of what a reader sees: size [columns, rows, slices], at(x, y, k) the value of a voxel as
 * shown (columns to the patient's left, rows to the back, slices as the file counts). `origin` is
 * where voxel (0, 0, 0) as shown lies, RAS in mm.
 */
export function encodeNifti({
  size,
  at,
  orientation = 'LPS',
  spacing = [0.8, 0.8, 5],
  origin = [100, 120, -300],
  type = 'int16',
  little = true,
  slope = 1,
  inter = 0,
  qform = false,
}) {
  const { code, bits, write } = TYPES[type];
  const axes = [...orientation].map((letter) => LETTERS[letter]);
  const dims = axes.map(([axis]) => size[axis]);
  const end = little ? 'LE' : 'BE';
  const head = Buffer.alloc(352);
  const i16 = (value, at) => head[`writeInt16${end}`](value, at);
  const f32 = (value, at) => head[`writeFloat${end}`](value, at);
  head[`writeInt32${end}`](348, 0);
  [3, ...dims, 1, 1, 1, 1].forEach((n, i) => i16(n, 40 + 2 * i));
  i16(code, 70);
  i16(bits, 72);
  axes.forEach(([axis], i) => f32(spacing[axis], 80 + 4 * i));
  f32(352, 108);
  f32(slope, 112);
  f32(inter, 116);
  head[123] = 2;
  i16(qform ? 0 : 1, 254);
  // As shown x runs to the left and y to the back; k runs as it is stored.
  const runs = [-1, -1, axes.find(([axis]) => axis === 2)[1]];
  axes.forEach(([axis, sign], i) => {
    f32(sign * spacing[axis], 280 + 16 * axis + 4 * i);
  });
  const flipped = axes.map(([axis, sign]) => axis < 2 && sign !== runs[axis]);
  for (let axis = 0; axis < 3; axis++) {
    const i = axes.findIndex(([a]) => a === axis);
    const first = flipped[i] ? origin[axis] + runs[axis] * spacing[axis] * (size[axis] - 1) : origin[axis];
    f32(first, 280 + 16 * axis + 12);
  }
  head.write('n+1\0', 344, 'latin1');
  const body = Buffer.alloc((dims[0] * dims[1] * dims[2] * bits) / 8);
  const put = body[bits === 8 ? write : `${write}${end}`].bind(body);
  let offset = 0;
  const shown = [0, 0, 0];
  for (let c = 0; c < dims[2]; c++) {
    for (let b = 0; b < dims[1]; b++) {
      for (let a = 0; a < dims[0]; a++) {
        [a, b, c].forEach((v, i) => {
          shown[axes[i][0]] = flipped[i] ? dims[i] - 1 - v : v;
        });
        put(at(...shown), offset);
        offset += bits / 8;
      }
    }
  }
  return Buffer.concat([head, body]);
}

/** Reads voxels of one byte that lie as encodeNifti stores them: the function at(x, y, k) of it. */
export function readerOf(bytes, { size, orientation }) {
  const axes = [...orientation].map((letter) => LETTERS[letter]);
  const dims = axes.map(([axis]) => size[axis]);
  return (...shown) => {
    const [a, b, c] = axes.map(([axis, sign], i) =>
      axis < 2 && sign > 0 ? dims[i] - 1 - shown[axis] : shown[axis],
    );
    return bytes[352 + (c * dims[1] + b) * dims[0] + a];
  };
}

/** The same, packed. */
export function encodeNiftiGz(options) {
  return gzipSync(encodeNifti(options), { level: 1 });
}
