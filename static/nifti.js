// Headers of NIfTI-1 and NIfTI-2: what the voxels are and where they lie in the patient.

/** A file that cannot be shown, in words for its reader. code: 'bad_nifti', 'bad_dicom', … */
export class FormatError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'FormatError';
    this.code = code;
  }
}

export const badNifti = (text) => new FormatError('bad_nifti', text);

/** Bytes that have to be there before readNifti() can say anything. */
export const HEADER_BYTES = 540;

// datatype → the typed array that holds voxels as they are.
const TYPES = {
  2: Uint8Array,
  4: Int16Array,
  8: Int32Array,
  16: Float32Array,
  64: Float64Array,
  256: Int8Array,
  512: Uint16Array,
  768: Uint32Array,
  1024: BigInt64Array,
  1280: BigUint64Array,
};

/** Whether bytes begin like a .gz. */
export const isPacked = (bytes) => bytes[0] === 0x1f && bytes[1] === 0x8b;

/** Whether bytes begin like NIfTI of any version and byte order. */
export function isNifti(bytes) {
  if (bytes.length < 4) {
    return false;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return [true, false].some((little) => [348, 540].includes(view.getInt32(0, little)));
}

/**
 * {dims [3], array, little, slope, inter, offset, affine (three rows of four, to RAS in mm),
 * frames}. Throws FormatError naming the field that is wrong.
 */
export function readNifti(bytes) {
  if (!isNifti(bytes) || bytes.length < 348) {
    throw badNifti('The file is too short for a NIfTI header.');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = [348, 540].includes(view.getInt32(0, true));
  const second = view.getInt32(0, little) === 540;
  const at = fieldsOf(view, little, second);
  if (!/^n[+]/.test(at.magic)) {
    throw badNifti(
      /^ni/.test(at.magic)
        ? 'This is the header of a .hdr/.img pair. Save it as one .nii file.'
        : 'The field magic does not say NIfTI.',
    );
  }
  const array = TYPES[at.datatype];
  if (array === undefined) {
    throw badNifti(`The field datatype is ${at.datatype}; one number per voxel is needed.`);
  }
  const rank = at.dim[0];
  if (!(rank >= 2 && rank <= 7)) {
    throw badNifti(`The field dim[0] is ${rank}; 2 to 4 can be shown.`);
  }
  const dims = [1, 2, 3].map((i) => (i <= rank ? at.dim[i] : 1));
  if (!dims.every((n) => Number.isInteger(n) && n >= 1 && n <= 32768)) {
    throw badNifti(`The field dim says ${dims.join(' × ')} voxels.`);
  }
  if (!(at.offset >= (second ? 544 : 352) && at.offset < 2 ** 31)) {
    at.offset = second ? 544 : 352;
  }
  const frames = rank > 3 ? at.dim.slice(4, rank + 1).reduce((a, b) => a * Math.max(1, b), 1) : 1;
  const scaled = Number.isFinite(at.slope) && at.slope !== 0;
  return {
    dims,
    array,
    little,
    slope: scaled ? at.slope : 1,
    inter: scaled && Number.isFinite(at.inter) ? at.inter : 0,
    offset: at.offset,
    frames,
    affine: affineOf(at).map((row) => row.map((v) => v * millimetres(at.units))),
  };
}

function fieldsOf(view, little, second) {
  const wide = (from) => Number(view.getBigInt64(from, little));
  const list = (n, read) => Array.from({ length: n }, (_, i) => read(i));
  if (second && view.byteLength < HEADER_BYTES) {
    throw badNifti('The file is too short for a NIfTI-2 header.');
  }
  const real = (from) => (second ? view.getFloat64(from, little) : view.getFloat32(from, little));
  const text = (from) => String.fromCharCode(...list(3, (i) => view.getUint8(from + i)));
  const reals = (from, n) => list(n, (i) => real(from + (second ? 8 : 4) * i));
  const at = second
    ? { magic: 4, datatype: 12, pixdim: 104, slope: 176, inter: 184, quatern: 352, srow: 400 }
    : { magic: 344, datatype: 70, pixdim: 76, slope: 112, inter: 116, quatern: 256, srow: 280 };
  return {
    magic: text(at.magic),
    datatype: view.getInt16(at.datatype, little),
    pixdim: reals(at.pixdim, 8),
    slope: real(at.slope),
    inter: real(at.inter),
    quatern: reals(at.quatern, 6),
    srow: reals(at.srow, 12),
    ...(second
      ? {
          dim: list(8, (i) => wide(16 + 8 * i)),
          offset: wide(168),
          qform: view.getInt32(344, little),
          sform: view.getInt32(348, little),
          units: view.getInt32(500, little),
        }
      : {
          dim: list(8, (i) => view.getInt16(40 + 2 * i, little)),
          offset: real(108),
          qform: view.getInt16(252, little),
          sform: view.getInt16(254, little),
          units: view.getUint8(123),
        }),
  };
}

// Lengths are in metres (1), millimetres (2) or micrometres (3).
function millimetres(units) {
  return { 1: 1000, 3: 0.001 }[units & 7] ?? 1;
}

// sform over qform over voxel sizes, as NIfTI says.
function affineOf({ sform, qform, srow, quatern, pixdim }) {
  const usable = (rows) =>
    rows.flat().every(Number.isFinite) && Math.abs(determinant(rows)) > 1e-12;
  if (sform > 0) {
    const rows = [srow.slice(0, 4), srow.slice(4, 8), srow.slice(8, 12)];
    if (usable(rows)) {
      return rows;
    }
  }
  const step = [1, 2, 3].map((i) => (pixdim[i] > 0 && Number.isFinite(pixdim[i]) ? pixdim[i] : 1));
  if (qform > 0) {
    const rows = fromQuaternion(quatern, step, pixdim[0] < 0 ? -1 : 1);
    if (usable(rows)) {
      return rows;
    }
  }
  return [0, 1, 2].map((row) => [0, 1, 2, 3].map((k) => (k === row ? step[row] : 0)));
}

function fromQuaternion([b, c, d, x, y, z], step, handed) {
  const rest = 1 - (b * b + c * c + d * d);
  let a = Math.sqrt(Math.max(0, rest));
  if (rest < 1e-7) {
    const length = Math.hypot(b, c, d);
    [a, b, c, d] = [0, b / length, c / length, d / length];
  }
  const rotation = [
    [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
    [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
    [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
  ];
  const shift = [x, y, z];
  return rotation.map((row, i) => [
    row[0] * step[0],
    row[1] * step[1],
    row[2] * step[2] * handed,
    shift[i],
  ]);
}

export function determinant([a, b, c]) {
  return (
    a[0] * (b[1] * c[2] - b[2] * c[1]) -
    a[1] * (b[0] * c[2] - b[2] * c[0]) +
    a[2] * (b[0] * c[1] - b[1] * c[0])
  );
}
