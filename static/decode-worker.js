// Unpacks NIfTI and DICOM beside the page, slice by slice as the bytes come.
//
// In: {files: [File], most: bytes that may be unpacked}. Out, in this order: 'head' (what the stack
// is), 'plane' per slice ({k, values, low, high}; values travel without a copy), 'end'; or 'error'
// ({code, message}) at any time.

import { isDicom } from './dicom.js';
import { badNifti, FormatError, HEADER_BYTES, isNifti, isPacked, readNifti } from './nifti.js';
import { axialOrder, storedOrder, takeSlice } from './orient.js';
import { readPixels, readSeries, sourceOf } from './series.js';
import { isZip, readZip } from './zip.js';

const START = 4096; // bytes that tell what a file is
const AIR = -1024; // what a voxel that is not a number counts as, in HU

self.onmessage = async ({ data }) => {
  try {
    await decode(data);
    self.postMessage({ type: 'end' });
  } catch (error) {
    self.postMessage({
      type: 'error',
      code: error instanceof FormatError ? error.code : '',
      message: error.message,
    });
  }
};

async function decode({ files, most }) {
  const start = new Uint8Array(await files[0].slice(0, START).arrayBuffer());
  const packed = isPacked(start);
  if (packed || isNifti(start)) {
    await decodeNifti(files[0], packed, most);
  } else if (isZip(start)) {
    await decodeSeries(await readZip(files[0], most), false, most);
  } else if (isDicom(start)) {
    await decodeSeries(files.map(sourceOf), files.length === 1, most);
  } else {
    throw new FormatError(
      'unsupported_media',
      'It is none of PNG, NIfTI (.nii, .nii.gz), DICOM and a zip of DICOM slices. Its name does ' +
        'not count, its first bytes do.',
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
    throw badNifti(
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
  const emit = emitter(order, { ...header, unpacked: packed ? voxels * size : 0 });
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
    for (let left = n; left > 0; ) {
      const part = await this.#next();
      this.rest = part.subarray(Math.min(left, part.length));
      left -= Math.min(left, part.length);
    }
  }

  async take(n) {
    const bytes = new Uint8Array(n);
    for (let have = 0; have < n; ) {
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
      throw badNifti('The file ends before its last voxel. Was it copied completely?');
    }
    return part;
  }

  async #read() {
    const part = await this.reader.read().catch((error) => {
      throw badNifti(`It cannot be unpacked: ${error.message}`);
    });
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

/** `single`: a picture rather than a volume of one slice. */
async function decodeSeries(sources, single, most) {
  const { slices, affine, known } = await readSeries(sources);
  const [first] = slices;
  const area = first.width * first.height;
  if (area * slices.length * 2 > most) {
    throw new FormatError('too_large_here', 'It holds more than this page unpacks.');
  }
  const dims = [first.width, first.height, slices.length];
  const order = single ? storedOrder(dims, affine) : axialOrder(dims, affine);
  const { slope, inter, inverted } = first;
  const emit = emitter(order, { slope, inter, inverted, known, frames: 1 });
  const inOrder = order.axes[2] === 2;
  const all = inOrder ? null : new Float32Array(area * slices.length);
  for (const [k, slice] of slices.entries()) {
    const values = await readPixels(slice, first);
    if (inOrder) {
      emit(values, k, k * area);
    } else {
      all.set(values, k * area);
    }
  }
  for (let k = 0; all !== null && k < order.size[2]; k++) {
    emit(all, k, 0);
  }
}

/* ---- out ---- */

/** Posts the head now; the result posts slice k out of values that begin at voxel `from`. */
function emitter(order, { slope, inter, frames, unpacked = 0, known = true, inverted = false }) {
  const [width, height, depth] = order.size;
  self.postMessage({
    type: 'head',
    head: {
      width,
      height,
      depth,
      slope,
      inter,
      unit: 'HU',
      inverted,
      frames,
      unpacked,
      spacing: known ? order.spacing : null,
      affine: known ? order.affine : null,
      marks: known ? order.marks : null,
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
