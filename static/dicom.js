// Enough of DICOM to show an uncompressed CT slice, with or without preamble. Names and other
// personal tags are stepped over. Takes what the service takes; what only the service has to know is
// left to it to refuse.

import { FormatError } from './nifti.js';

const ROOT = '1.2.840.10008.1.2'; // Implicit VR Little Endian; all others begin with it
const EXPLICIT = `${ROOT}.1`;
const SYNTAXES = {
  '.1.99': 'Deflated',
  '.2': 'Explicit VR Big Endian',
  '.4.50': 'JPEG Baseline',
  '.4.51': 'JPEG Extended',
  '.4.70': 'JPEG Lossless',
  '.4.80': 'JPEG-LS Lossless',
  '.4.81': 'JPEG-LS Near-Lossless',
  '.4.90': 'JPEG 2000 Lossless',
  '.4.91': 'JPEG 2000',
  '.4.201': 'High-Throughput JPEG 2000 Lossless',
  '.5': 'RLE Lossless',
};

const MOST_ELEMENTS = 65536; // up to the pixels
const MOST_DEPTH = 32; // of sequences in sequences
const SHORT = /^(A[EST]|CS|D[AST]|F[DL]|IS|L[OT]|PN|S[HLST]|TM|U[ILS])$/; // 16-bit lengths
const ITEM = 0xfffee000;
const ITEM_END = 0xfffee00d;
const SEQUENCE_END = 0xfffee0dd;

const TAGS = {
  syntax: 0x00020010,
  thickness: 0x00180050,
  series: 0x0020000e,
  position: 0x00200032,
  orientation: 0x00200037,
  samples: 0x00280002,
  photometric: 0x00280004,
  frames: 0x00280008,
  rows: 0x00280010,
  columns: 0x00280011,
  spacing: 0x00280030,
  allocated: 0x00280100,
  stored: 0x00280101,
  high: 0x00280102,
  signed: 0x00280103,
  intercept: 0x00281052,
  slope: 0x00281053,
  pixels: 0x7fe00010,
};
const NAMES = new Map(Object.entries(TAGS).map(([name, tag]) => [tag, name]));

/** What lies behind the bytes that are there; more of the file has to be read. */
export class Cut extends Error {}

const bad = (text) => new FormatError('bad_dicom', text);
const unsupported = (text) => new FormatError('unsupported_media', text);
const latin = (bytes, from, to) => String.fromCharCode(...bytes.subarray(from, to));
const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const hasPreamble = (bytes) => bytes.length >= 132 && latin(bytes, 128, 132) === 'DICM';

/** Whether bytes begin as DICOM does. Old writers leave out all that comes before the data set. */
export function isDicom(bytes) {
  if (bytes.length < 8 || hasPreamble(bytes)) {
    return bytes.length >= 8;
  }
  const [group, number, low, high] = [0, 2, 4, 6].map((at) => viewOf(bytes).getUint16(at, true));
  const kind = latin(bytes, 4, 6);
  return /^[A-Z]{2}$/.test(kind)
    ? (group === 2 || group === 8) && SHORT.test(kind) && high <= bytes.length - 8
    : group === 8 && number <= 0x18 && low <= 64 && high === 0;
}

/**
 * What the beginning of a file of `length` bytes says: {width, height, allocated, stored, high,
 * signed, inverted, slope, inter, spacing [x, y] or null, position [3] and orientation [6] (LPS) or
 * null, thickness, series, at (of the pixels)}; null for DICOM without a picture. Throws
 * FormatError, and Cut where more bytes are needed.
 */
export function readDicom(bytes, length) {
  const found = scan(bytes, length);
  const { pixels } = found;
  if (pixels === undefined) {
    if (found.rows !== undefined) {
      throw bad('Its pixels are missing: the file was cut off.');
    }
    return null;
  }
  const text = (name) => textOf(bytes, found[name]);
  const short = (name, otherwise) =>
    found[name]?.length === 2 ? viewOf(bytes).getUint16(found[name].from, true) : otherwise;
  const numbers = (name, n) => {
    const list = text(name)
      .split('\\')
      .map((word) => (word.trim() === '' ? NaN : Number(word)));
    return list.length === n && list.every((v) => Math.abs(v) < 1e9) ? list : null;
  };
  const one = (name, otherwise) => numbers(name, 1)?.[0] ?? otherwise;
  const kind = text('photometric');
  if (!kind.startsWith('MONOCHROME') || short('samples', 1) !== 1 || one('frames', 1) > 1) {
    throw unsupported(
      `It is ${kind || 'no known kind of picture'}, or has several frames. Open grey slices, one per file, several files together.`,
    );
  }
  const [width, height, allocated] = ['columns', 'rows', 'allocated'].map((name) => short(name, 0));
  const stored = short('stored', allocated);
  const high = short('high', stored - 1);
  if (![8, 16].includes(allocated) || stored < 1 || high < stored - 1 || high >= allocated) {
    throw unsupported(
      `Its pixels have ${stored} of ${allocated} bits; up to 8 or 16 can be shown.`,
    );
  }
  const size = (width * height * allocated) / 8;
  if (size === 0 || (pixels.length !== size && pixels.length !== size + (size & 1))) {
    throw bad(
      `${width} × ${height} pixels are ${size} bytes, but Pixel Data have ${pixels.length}.`,
    );
  }
  const between = numbers('spacing', 2); // between rows, then between columns
  return {
    width,
    height,
    allocated,
    stored,
    high,
    signed: short('signed', 0) > 0,
    inverted: kind === 'MONOCHROME1',
    slope: one('slope', 1) || 1,
    inter: one('intercept', 0),
    spacing: between?.every((mm) => mm > 0) ? [between[1], between[0]] : null,
    position: numbers('position', 3),
    orientation: numbers('orientation', 6),
    thickness: Math.abs(one('thickness', 0)),
    series: text('series'),
    at: pixels.from,
  };
}

function textOf(bytes, { from, length } = { from: 0, length: 0 }) {
  return latin(bytes, from, from + Math.min(length, 400)).replace(/^[\0 ]+|[\0 ]+$/g, '');
}

/** Pixels of a whole file. Bits above and below the stored ones may hold something else. */
export function unpackDicom(slice, bytes) {
  const { width, height, allocated, stored, high, signed, at } = slice;
  const wide = allocated === 16;
  if (at + (width * height * allocated) / 8 > bytes.length) {
    throw bad('The pixels are cut off.');
  }
  const kinds = wide ? [Uint16Array, Int16Array] : [Uint8Array, Int8Array];
  const part = bytes.slice(at, at + (width * height * allocated) / 8);
  const values = new kinds[signed ? 1 : 0](part.buffer);
  if (stored < allocated) {
    const [left, right] = [31 - high, 32 - stored];
    for (let i = 0; i < values.length; i++) {
      values[i] = signed ? (values[i] << left) >> right : (values[i] << left) >>> right;
    }
  }
  return values;
}

/** The series a slice is of; null where its beginning does not say, '' where it has none. */
export function seriesOf(bytes, length) {
  const found = {};
  try {
    scan(bytes, length, found);
  } catch (error) {
    if (error instanceof Cut && found.series === undefined) {
      return null;
    }
  }
  return textOf(bytes, found.series);
}

/* ---- elements (PS3.5, 7) ---- */

/** Walks the top level up to the pixels; where the elements of TAGS are, by their names. */
function scan(bytes, length, found = {}) {
  const reader = { view: viewOf(bytes), bytes, length, left: MOST_ELEMENTS };
  let explicit = null; // of the data set; meta information always is
  for (let at = hasPreamble(bytes) ? 132 : 0; at < length; ) {
    need(reader, at, 8);
    const meta = explicit === null && reader.view.getUint16(at, true) === 2;
    if (!meta) {
      explicit ??= isExplicit(textOf(bytes, found.syntax), latin(bytes, at + 4, at + 6));
    }
    const element = next(reader, at, meta || explicit);
    const name = NAMES.get(element.tag);
    if (name === 'pixels' && element.length === null) {
      throw unsupported(`Its pixels are compressed. ${HOW}`);
    }
    if (name !== undefined && element.length !== null) {
      if (name === 'pixels') {
        found.pixels = element;
        return found;
      }
      need(reader, element.from, element.length);
      found[name] = element;
    }
    at = skip(reader, element, meta || explicit, 0);
  }
  return found;
}

const HOW =
  `Save it as Explicit VR Little Endian (${EXPLICIT}), for example with ` +
  '“gdcmconv --raw in.dcm out.dcm”, and open that.';

/** Whether elements name their kind of value. Where no syntax says so, the first one shows it. */
function isExplicit(syntax, kind) {
  if (syntax === '') {
    return /^[A-Z]{2}$/.test(kind);
  }
  if (syntax === ROOT || syntax === EXPLICIT) {
    return syntax === EXPLICIT;
  }
  const name = SYNTAXES[syntax.replace(ROOT, '')];
  const what = name ? `${name}, which is not read here` : 'which is not known here';
  throw unsupported(`Its transfer syntax is ${syntax}: ${what}. ${HOW}`);
}

function need({ bytes, length }, at, count) {
  if (at + count > length) {
    throw bad('The file ends in the middle of an element: it was cut off.');
  }
  if (at + count > bytes.length) {
    throw new Cut();
  }
}

/** {tag, kind, from, length} at a place; length is null where the element says that it has none. */
function next(reader, at, explicit) {
  const { view, bytes } = reader;
  need(reader, at, 8);
  const tag = view.getUint16(at, true) * 0x10000 + view.getUint16(at + 2, true);
  let [kind, from, length] = ['', at + 8, view.getUint32(at + 4, true)];
  if (explicit && tag < 0xfffe0000) {
    kind = latin(bytes, at + 4, at + 6);
    if (!/^[A-Z]{2}$/.test(kind)) {
      throw bad('An element has no value representation: the file is damaged.');
    }
    if (SHORT.test(kind)) {
      length = view.getUint16(at + 6, true);
    } else {
      need(reader, at, 12);
      [from, length] = [at + 12, view.getUint32(at + 8, true)];
    }
  }
  if (reader.left-- <= 0) {
    throw bad(`It has more than ${MOST_ELEMENTS} elements before its pixels.`);
  }
  length = length === 0xffffffff ? null : length;
  if (length > reader.length - from) {
    throw bad(`An element has ${length} bytes, more than follow: the file was cut off.`);
  }
  return { tag, kind, from, length };
}

/** Where an element ends, whatever is nested in it. */
function skip(reader, { kind, from, length }, explicit, depth) {
  if (length !== null) {
    return from + length;
  }
  if (depth >= MOST_DEPTH) {
    throw bad('Sequences are nested too deeply.');
  }
  const inside = explicit && kind !== 'UN'; // PS3.5, 6.2.2
  for (let at = from; ; ) {
    const item = next(reader, at, false);
    if (item.tag === SEQUENCE_END) {
      return item.from;
    }
    if (item.tag !== ITEM) {
      throw bad('A sequence holds something that is no item: the file is damaged.');
    }
    at = item.from + (item.length ?? 0);
    while (item.length === null) {
      const element = next(reader, at, inside);
      at = element.tag === ITEM_END ? element.from : skip(reader, element, inside, depth + 1);
      if (element.tag === ITEM_END) {
        break;
      }
    }
  }
}
