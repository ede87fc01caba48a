// Enough of DICOM to show an uncompressed CT slice. Names and other personal tags are skipped.

import { FormatError } from './nifti.js';

const IMPLICIT = '1.2.840.10008.1.2';
const EXPLICIT = '1.2.840.10008.1.2.1';
const MOST_TAGS = 100_000;
const LONG = new Set(['OB', 'OW', 'OF', 'OD', 'OL', 'OV', 'SQ', 'UC', 'UR', 'UT', 'UN', 'SV', 'UV']);

const WANTED = {
  0x00020010: 'syntax',
  0x00080060: 'modality',
  0x00180050: 'thickness',
  0x0020000e: 'series',
  0x00200013: 'number',
  0x00200032: 'position',
  0x00200037: 'orientation',
  0x00280002: 'samples',
  0x00280004: 'photometric',
  0x00280008: 'frames',
  0x00280010: 'rows',
  0x00280011: 'columns',
  0x00280030: 'spacing',
  0x00280100: 'allocated',
  0x00280101: 'stored',
  0x00280103: 'signed',
  0x00281052: 'intercept',
  0x00281053: 'slope',
};
const SHORTS = new Set(['samples', 'rows', 'columns', 'allocated', 'stored', 'signed']);

export function isDicom(bytes) {
  return bytes.length > 132 && String.fromCharCode(...bytes.subarray(128, 132)) === 'DICM';
}

/**
 * {width, height, values (typed array, as stored), slope, inter, hu, spacing [x, y] or null,
 * position [3] and orientation [6] (LPS) or null, thickness, number, series}. FormatError.
 */
export function readDicom(bytes) {
  const { tags, pixels } = scan(bytes);
  const width = tags.columns;
  const height = tags.rows;
  if (!(width > 0 && height > 0)) {
    throw new FormatError('bad_dicom', 'Rows and Columns are missing.');
  }
  if ((tags.samples ?? 1) !== 1 || /^(RGB|YBR|PALETTE)/.test(tags.photometric ?? '')) {
    throw new FormatError('bad_dicom', 'Only grey slices can be shown.');
  }
  if (Number(tags.frames ?? 1) > 1) {
    throw new FormatError('bad_dicom', 'It holds several frames; one slice per file is needed.');
  }
  if (pixels === null) {
    throw new FormatError('bad_dicom', 'It holds no pixels.');
  }
  const values = samples(bytes, pixels, tags);
  const numbers = (text, n) => {
    const list = (text || 'none').split('\\').map(Number);
    return list.length === n && list.every(Number.isFinite) ? list : null;
  };
  const between = numbers(tags.spacing, 2); // between rows, then between columns
  const [slope] = numbers(tags.slope, 1) ?? [1];
  const [inter] = numbers(tags.intercept, 1) ?? [0];
  return {
    width,
    height,
    values,
    slope: slope || 1,
    inter,
    hu: tags.modality === 'CT' || (inter < -500 && tags.modality === undefined),
    inverted: tags.photometric === 'MONOCHROME1',
    spacing: between === null || !between.every((v) => v > 0) ? null : [between[1], between[0]],
    position: numbers(tags.position, 3),
    orientation: numbers(tags.orientation, 6),
    thickness: (numbers(tags.thickness, 1) ?? [null])[0],
    number: (numbers(tags.number, 1) ?? [0])[0],
    series: tags.series ?? '',
  };
}

function samples(bytes, { from, length }, tags) {
  const { columns, rows, allocated, signed } = tags;
  if (allocated !== 8 && allocated !== 16) {
    throw new FormatError('bad_dicom', `Bits Allocated is ${allocated}; 8 or 16 can be shown.`);
  }
  const size = (columns * rows * allocated) / 8;
  if (length < size || from + size > bytes.length) {
    throw new FormatError('bad_dicom', 'The pixels are cut off.');
  }
  const part = bytes.slice(from, from + size);
  if (allocated === 8) {
    return signed ? new Int8Array(part.buffer) : part;
  }
  const values = signed ? new Int16Array(part.buffer) : new Uint16Array(part.buffer);
  // Bits above the stored ones may hold something else.
  const spare = 16 - (tags.stored ?? 16);
  if (spare > 0 && spare < 16) {
    for (let i = 0; i < values.length; i++) {
      values[i] = signed ? (values[i] << (spare + 16)) >> (spare + 16) : values[i] & (0xffff >> spare);
    }
  }
  return values;
}

/** Walks the top level of a data set. */
function scan(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tags = {};
  let pixels = null;
  let at = 132;
  for (let n = 0; at + 8 <= bytes.length && pixels === null; n++) {
    const meta = view.getUint16(at, true) === 2;
    if (!meta) {
      checkSyntax(tags.syntax);
    }
    const element = readElement(view, at, meta || tags.syntax !== IMPLICIT);
    if (n > MOST_TAGS || element.from > bytes.length) {
      throw new FormatError('bad_dicom', 'An element reaches beyond the file.');
    }
    if (element.tag === 0x7fe00010) {
      pixels = element;
      if (element.length === null) {
        throw new FormatError('unsupported_media', 'Its pixels are compressed.');
      }
    } else if (element.length === null) {
      at = skipItems(view, element.from, meta || tags.syntax !== IMPLICIT, 0);
      continue;
    } else if (element.tag in WANTED && element.from + element.length <= bytes.length) {
      const name = WANTED[element.tag];
      tags[name] = SHORTS.has(name)
        ? view.getUint16(element.from, true)
        : textOf(bytes, element);
    }
    at = element.from + element.length;
  }
  return { tags, pixels };
}

function checkSyntax(syntax) {
  if (syntax !== IMPLICIT && syntax !== EXPLICIT) {
    throw new FormatError(
      'unsupported_media',
      `Its transfer syntax is ${syntax ?? 'not given'}. Save it uncompressed ` +
        '(little endian), then it can be read.',
    );
  }
}

/** {tag, from, length}; length is null where the element says that it has none. */
function readElement(view, at, explicit) {
  const tag = view.getUint16(at, true) * 0x10000 + view.getUint16(at + 2, true);
  let length;
  let from = at + 8;
  const delimiter = tag >= 0xfffe0000;
  if (explicit && !delimiter) {
    const kind = String.fromCharCode(view.getUint8(at + 4), view.getUint8(at + 5));
    if (LONG.has(kind)) {
      from = at + 12;
      length = from <= view.byteLength ? view.getUint32(at + 8, true) : 0;
    } else {
      length = view.getUint16(at + 6, true);
    }
  } else {
    length = view.getUint32(at + 4, true);
  }
  return { tag, from, length: length === 0xffffffff ? null : length };
}

/** Where a sequence of undefined length ends. */
function skipItems(view, at, explicit, depth) {
  if (depth > 16) {
    throw new FormatError('bad_dicom', 'Sequences are nested too deeply.');
  }
  while (at + 8 <= view.byteLength) {
    const element = readElement(view, at, explicit);
    if (element.tag === 0xfffee0dd || element.tag === 0xfffee00d) {
      return element.from;
    }
    at =
      element.length === null
        ? skipItems(view, element.from, explicit, depth + 1)
        : element.from + element.length;
  }
  throw new FormatError('bad_dicom', 'A sequence has no end.');
}

function textOf(bytes, { from, length }) {
  return String.fromCharCode(...bytes.subarray(from, from + Math.min(length, 256)))
    .replace(/[\0 ]+$/, '')
    .trim();
}

/** Which series a slice belongs to, from the beginning of its file. */
export function seriesOf(bytes) {
  return scan(bytes).tags.series ?? '';
}
