// Unpacks NIfTI and DICOM beside the page, slice by slice as the bytes come.
//
// In: {files: [File], most: bytes that may be unpacked}. Out, in this order: 'head' (what the stack
// is), 'plane' per slice ({k, values, low, high}; values travel without a copy), 'end'; or 'error'
// ({code, message}) at any time.

import { isDicom, readDicom } from './dicom.js';
import { determinant, FormatError, HEADER_BYTES, isNifti, readNifti } from './nifti.js';
import { axialOrder, storedOrder, takeSlice } from './orient.js';

const AIR = -1024; // what a voxel that is not a number counts as, in HU

self.onmessage = async ({ data }) => {
  try {
    await decode(data);
    self.postMessage({ type: 'end' });
  } catch (error) {
    self.postMessage({
      type: 'error',
      code: error instanceof FormatError ? error.code : 'file',
      message: error.message,
    });
  }
};

async function decode({ files, most }) {
  const start = new Uint8Array(await files[0].slice(0, 160).arrayBuffer());
  const packed = start[0] === 0x1f && start[1] === 0x8b;
  if (packed || isNifti(start)) {
    await decodeNifti(files[0], packed, most);
  } else if (isDicom(start)) {
    await decodeSeries(files, most);
  } else {
    throw new FormatError(
      'unsupported_media',
      'It is none of PNG, NIfTI (.nii, .nii.gz) and DICOM. Its name does not count, ' +
        'its first bytes do.',
    );
  }
}

/* ---- NIfTI ---- */

async function decodeNifti(file, packed, most) {
  const source = new Source(file, packed);
  const header = readNifti(await source.peek(HEADER_BYTES));
  const { dims } = header;
  const size = header.array.BYTES_PER_ELEMENT;
  const voxels = dims[0] * dims[1] * dims[2];
  if (!packed && file.size < header.offset + voxels * size) {
    throw new FormatError(
      'bad_nifti',
      `The header asks for ${header.offset + voxels * size} bytes, the file has ` +
        `${file.size}. Was it copied completely?`,
    );
  }
  if (voxels * Math.max(2, size) > most) {
    throw new FormatError(
      'too_large_here',
      `It holds ${dims.join(' × ')} voxels, more than this page unpacks.`,
    );
  }
  const order = axialOrder(dims, header.affine);
  const emit = emitter(order, header);
  await source.skip(header.offset);
  // Slices lie one after the other: show each when it is there. Otherwise all has to be there.
  const inOrder = order.axes[2] === 2;
  const unit = inOrder ? dims[0] * dims[1] : voxels;
  for (let from = 0; from < voxels; from += unit) {
    const bytes = await source.take(unit * size);
    if (!header.little && size > 1) {
      swapBytes(bytes, size);
    }
    const values = plain(new header.array(bytes.buffer), header);
    const first = inOrder ? from / unit : 0;
    const last = inOrder ? first + 1 : order.size[2];
    for (let k = first; k < last; k++) {
      emit(values, k, from);
    }
  }
  source.cancel();
}

/** The bytes of a file one after the other, inflated where they are packed. */
class Source {
  constructor(file, packed) {
    const stream = packed
      ? file.stream().pipeThrough(new DecompressionStream('gzip'))
      : file.stream();
    this.reader = stream.getReader();
    this.rest = new Uint8Array(0);
  }

  /** The next `n` bytes, fewer at the end, without taking them. */
  async peek(n) {
    while (this.rest.length < n) {
      const part = await this.#read();
      if (part === null) {
        break;
      }
      const joined = new Uint8Array(this.rest.length + part.length);
      joined.set(this.rest);
      joined.set(part, this.rest.length);
      this.rest = joined;
    }
    return this.rest.slice(0, n);
  }

  async skip(n) {
    for (let left = n; left > 0;) {
      const part = await this.#next();
      this.rest = part.subarray(Math.min(left, part.length));
      left -= Math.min(left, part.length);
    }
  }

  async take(n) {
    const bytes = new Uint8Array(n);
    for (let have = 0; have < n;) {
      const part = await this.#next();
      const used = Math.min(part.length, n - have);
      bytes.set(used === part.length ? part : part.subarray(0, used), have);
      this.rest = part.subarray(used);
      have += used;
    }
    return bytes;
  }

  cancel() {
    this.reader.cancel().catch(() => {});
  }

  async #next() {
    if (this.rest.length > 0) {
      return this.rest;
    }
    const part = await this.#read();
    if (part === null) {
      throw new FormatError(
        'bad_nifti',
        'The file ends before its last voxel. Was it copied completely?',
      );
    }
    return part;
  }

  async #read() {
    let part;
    try {
      part = await this.reader.read();
    } catch (error) {
      throw new FormatError('bad_nifti', `It cannot be unpacked: ${error.message}`);
    }
    return part.done ? null : part.value;
  }
}

function swapBytes(bytes, size) {
  for (let at = 0; at < bytes.length; at += size) {
    for (let i = 0; i < size / 2; i++) {
      const other = at + size - 1 - i;
      [bytes[at + i], bytes[other]] = [bytes[other], bytes[at + i]];
    }
  }
}

/** Types the page draws from: 8 and 16 bit as they are, everything else as float32. */
function plain(values, { slope, inter }) {
  if (values.BYTES_PER_ELEMENT <= 2) {
    return values;
  }
  const out = values instanceof Float32Array ? values : Float32Array.from(values, Number);
  const air = (AIR - inter) / slope;
  for (let i = 0; i < out.length; i++) {
    if (!Number.isFinite(out[i])) {
      out[i] = air;
    }
  }
  return out;
}

/* ---- DICOM ---- */

async function decodeSeries(files, most) {
  const slices = [];
  for (const file of files) {
    if (file.size > most) {
      throw new FormatError('too_large_here', `${file.name} is too large for one slice.`);
    }
    slices.push(readDicom(new Uint8Array(await file.arrayBuffer())));
  }
  const [first] = slices;
  const odd = slices.findIndex((s) => s.width !== first.width || s.height !== first.height);
  if (odd > 0) {
    throw new FormatError('bad_dicom', `${files[odd].name} has another size than the first.`);
  }
  const { affine, known } = place(slices);
  const dims = [first.width, first.height, slices.length];
  const order = files.length === 1 ? storedOrder(dims, affine) : axialOrder(dims, affine);
  const emit = emitter(order, { slope: first.slope, inter: first.inter, frames: 1, dims }, {
    unit: first.hu ? 'HU' : null,
    known,
    inverted: first.inverted,
  });
  const area = first.width * first.height;
  if (order.axes[2] === 2) {
    slices.forEach((slice, k) => emit(sameScale(slice, first), k, k * area));
  } else {
    const all = new Float32Array(area * slices.length);
    slices.forEach((slice, k) => all.set(sameScale(slice, first), k * area));
    for (let k = 0; k < order.size[2]; k++) {
      emit(all, k, 0);
    }
  }
}

/** Values of a slice as if it had the slope and intercept of the first. */
function sameScale(slice, first) {
  return slice.slope === first.slope && slice.inter === first.inter
    ? slice.values
    : Float32Array.from(
        slice.values,
        (v) => (v * slice.slope + slice.inter - first.inter) / first.slope,
      );
}

/** Sorts slices along their normal and says where they lie (RAS); known: whether they tell. */
function place(slices) {
  const [first] = slices;
  const [dx, dy] = first.spacing ?? [1, 1];
  const known =
    first.orientation !== null &&
    slices.every((s) => s.position !== null) &&
    first.spacing !== null;
  const o = known ? first.orientation : [1, 0, 0, 0, 1, 0];
  const across = o.slice(0, 3);
  const down = o.slice(3, 6);
  const normal = [
    across[1] * down[2] - across[2] * down[1],
    across[2] * down[0] - across[0] * down[2],
    across[0] * down[1] - across[1] * down[0],
  ];
  const along = (s) => s.position.reduce((sum, v, i) => sum + v * normal[i], 0);
  if (known) {
    slices.sort((a, b) => along(a) - along(b));
  } else {
    slices.sort((a, b) => a.number - b.number);
  }
  const n = slices.length;
  const reach = known && n > 1 ? (along(slices[n - 1]) - along(slices[0])) / (n - 1) : 0;
  const step = reach > 0 ? reach : (first.thickness || 1);
  const origin = known ? slices[0].position : [0, 0, 0];
  const rows = [0, 1, 2].map((i) => [across[i] * dx, down[i] * dy, normal[i] * step, origin[i]]);
  // DICOM counts to the left and to the back, RAS the other way.
  const affine = rows.map((row, i) => row.map((v) => (i < 2 ? -v : v)));
  return {
    affine: Math.abs(determinant(affine)) > 1e-12 ? affine : [[-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0]],
    known,
  };
}

/* ---- out ---- */

/** Posts the head now; the result posts slice k out of values that begin at voxel `from`. */
function emitter(order, { slope, inter, frames, dims }, { unit = null, known = true, inverted = false } = {}) {
  const [width, height, depth] = order.size;
  self.postMessage({
    type: 'head',
    head: {
      width,
      height,
      depth,
      slope,
      inter,
      unit,
      inverted,
      frames,
      stored: dims,
      spacing: known ? order.spacing : null,
      affine: known ? order.affine : null,
      marks: known ? order.marks : null,
      code: known ? order.code : '',
    },
  });
  return (values, k, from) => {
    const out = takeSlice(new values.constructor(width * height), values, order, k, from);
    let [low, high] = [Infinity, -Infinity];
    for (let i = 0; i < out.length; i++) {
      low = out[i] < low ? out[i] : low;
      high = out[i] > high ? out[i] : high;
    }
    self.postMessage({ type: 'plane', k, values: out, low, high }, [out.buffer]);
  };
}
