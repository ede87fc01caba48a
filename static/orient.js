// From the order in which voxels are stored to axial slices as CT is looked at: the patient's right
// on the left, the front on top.

const PERMUTATIONS = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
];

/**
 * How to walk a grid of `dims` voxels under `affine` (rows of four, to RAS in mm). Returns
 * {size [columns, rows, slices], stride [3] and base (of the voxel shown first, in voxels),
 * axes [3] (which stored axis each shown one is), spacing [3] in mm, affine of the shown grid,
 * marks {left, right, top, bottom, first, last}}.
 * Columns run to the patient's left, rows to the back; slices keep the order of the file.
 */
export function axialOrder(dims, affine) {
  const columns = [0, 1, 2].map((k) => affine.map((row) => row[k]));
  const lengths = columns.map((c) => Math.hypot(...c) || 1);
  const cosine = (axis, k) => columns[k][axis] / lengths[k];
  // The assignment of stored axes to R-L, A-P and S-I that fits best as a whole.
  const axes = PERMUTATIONS.reduce((best, p) => (fit(p) > fit(best) + 1e-9 ? p : best));
  function fit(p) {
    return p.reduce((sum, k, axis) => sum + Math.abs(cosine(axis, k)), 0);
  }
  const flip = [cosine(0, axes[0]) > 0, cosine(1, axes[1]) > 0, false];
  const stored = [1, dims[0], dims[0] * dims[1]];
  const size = axes.map((k) => dims[k]);
  const stride = axes.map((k, shown) => (flip[shown] ? -stored[k] : stored[k]));
  // Where a sum of steps begins when some axes are walked from their far end.
  const begin = (steps, from) =>
    axes.reduce((sum, k, shown) => sum + (flip[shown] ? steps[k] * (dims[k] - 1) : 0), from);
  const shownAffine = affine.map((row) => [
    ...axes.map((k, shown) => (flip[shown] ? -row[k] : row[k])),
    begin(row, row[3]),
  ]);
  const upwards = cosine(2, axes[2]) > 0;
  return {
    size,
    stride,
    base: begin(stored, 0),
    axes,
    spacing: axes.map((k) => lengths[k]),
    affine: shownAffine,
    marks: {
      left: 'R',
      right: 'L',
      top: 'A',
      bottom: 'P',
      first: upwards ? 'I' : 'S',
      last: upwards ? 'S' : 'I',
    },
  };
}

/**
 * The same for a picture that is shown as it is stored, wherever it lies: a single DICOM slice, of
 * which the service speaks in the pixels of the file.
 */
export function storedOrder(dims, affine) {
  const columns = [0, 1, 2].map((k) => affine.map((row) => row[k]));
  const [across, down, on] = columns.map((c) => {
    const axis = [0, 1, 2].reduce((best, i) => (Math.abs(c[i]) > Math.abs(c[best]) ? i : best));
    return [letter(axis, -c[axis]), letter(axis, c[axis])];
  });
  return {
    size: dims,
    stride: [1, dims[0], dims[0] * dims[1]],
    base: 0,
    axes: [0, 1, 2],
    spacing: columns.map((c) => Math.hypot(...c) || 1),
    affine,
    marks: {
      left: across[0],
      right: across[1],
      top: down[0],
      bottom: down[1],
      first: on[0],
      last: on[1],
    },
  };
}

function letter(axis, direction) {
  return ['LR', 'PA', 'IS'][axis][direction > 0 ? 1 : 0];
}

/** Millimetres (RAS) of the middle of a voxel of the shown grid. */
export function toWorld(affine, [x, y, k]) {
  return affine.map((row) => row[0] * x + row[1] * y + row[2] * k + row[3]);
}

/** [12.5, -40, 8] → 'R 12.5  P 40.0  S 8.0 mm'. */
export function worldText(world) {
  return (
    world
      .map((v, axis) => `${letter(axis, v < 0 ? -1 : 1)}\u00a0${Math.abs(v).toFixed(1)}`)
      .join(' ') + '\u00a0mm'
  );
}

/** Takes one axial slice out of a stored grid (or out of part of one that begins at `from`). */
export function takeSlice(out, values, order, k, from = 0) {
  const [width, height] = order.size;
  const [dx, dy, dz] = order.stride;
  const start = order.base + k * dz - from;
  if (dx === 1 && dy === width) {
    out.set(values.subarray(start, start + width * height));
    return out;
  }
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0, at = start + y * dy; x < width; x++, at += dx) {
      out[to++] = values[at];
    }
  }
  return out;
}
