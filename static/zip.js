// Zips: written, stored without compression, as a DICOM series travels; read, one entry at a time.
// Numbers of sections are those of PKWARE's APPNOTE 6.3.

import { FormatError } from './nifti.js';

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
export const MOST_ENTRIES = 16384;

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) {
    c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  }
  return c;
});

export function crc32(bytes) {
  let c = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) {
    c = TABLE[(c ^ bytes[i]) & 255] ^ (c >>> 8);
  }
  return (c ^ 0xffffffff) >>> 0;
}

/** A zip of files under made-up names (those of files may name a patient). */
export async function zipOf(files) {
  const parts = [];
  const directory = [];
  let at = 0;
  for (const [index, file] of files.entries()) {
    const name = new TextEncoder().encode(`${String(index + 1).padStart(5, '0')}.dcm`);
    const crc = crc32(new Uint8Array(await file.arrayBuffer()));
    const local = record(LOCAL, name, crc, file.size);
    parts.push(local, name, file);
    directory.push(record(CENTRAL, name, crc, file.size, at), name);
    at += local.length + name.length + file.size;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, END, true);
  end.setUint16(8, files.length, true);
  end.setUint16(10, files.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, at, true);
  return new Blob([...parts, ...directory, end], { type: 'application/zip' });
}

/** A local header (30 bytes), or with `offset` an entry of the directory (46 bytes). */
function record(signature, name, crc, size, offset) {
  const central = offset !== undefined;
  const view = new DataView(new ArrayBuffer(central ? 46 : 30));
  const from = central ? 2 : 0; // the directory has one more version field
  view.setUint32(0, signature, true);
  view.setUint16(4, 20, true);
  if (central) {
    view.setUint16(6, 20, true);
    view.setUint32(42, offset, true);
  }
  view.setUint16(12 + from, 0x21, true); // 1 January 1980: zip knows no "undated"
  view.setUint32(14 + from, crc, true);
  view.setUint32(18 + from, size, true);
  view.setUint32(22 + from, size, true);
  view.setUint16(26 + from, name.length, true);
  return new Uint8Array(view.buffer);
}

/* ---- reading ---- */

const viewOf = async (blob) => new DataView(await blob.arrayBuffer());

function check(fine) {
  if (!fine) {
    throw new FormatError('bad_dicom', 'The zip is damaged. Was it copied completely?');
  }
}

export function isZip(bytes) {
  return bytes[0] === 0x50 && bytes[1] === 0x4b && [3, 5].includes(bytes[2]);
}

/**
 * The files in a zip (a Blob): [{name, size, read(n) → its first n bytes}]. What its table says is
 * checked against the bytes that are there, and against `most` bytes, before anything is unpacked.
 */
export async function readZip(zip, most) {
  const table = await findTable(zip);
  const view = await viewOf(zip.slice(table.from, table.from + table.size));
  const entries = [];
  let [stored, unpacked, at] = [0, 0, 0];
  while (entries.length < table.count) {
    check(at + 46 <= view.byteLength && view.getUint32(at, true) === CENTRAL);
    const [flags, method, ...lengths] = [8, 10, 28, 30, 32].map((from) =>
      view.getUint16(at + from, true),
    );
    const [crc, packed, size, local] = [16, 20, 24, 42].map((from) =>
      view.getUint32(at + from, true),
    );
    const after = lengths.reduce((sum, length) => sum + length, at + 46);
    check(after <= view.byteLength && local + 30 + packed <= table.from);
    check(method !== 0 || size === packed);
    if (flags & 1 || ![0, 8].includes(method)) {
      throw new FormatError(
        'unsupported_media',
        'The zip is encrypted, or packed in an unusual way.',
      );
    }
    stored += packed;
    unpacked += size;
    const path = new TextDecoder().decode(new Uint8Array(view.buffer, at + 46, lengths[0]));
    const entry = { deflated: method === 8, crc, packed, size, at: local, end: table.from };
    entries.push({
      name: path.slice(path.lastIndexOf('/') + 1),
      path,
      size,
      read: (n) => readEntry(zip, entry, Math.min(n, size)),
    });
    at = after;
  }
  check(stored <= zip.size); // else they overlap
  if (unpacked > most) {
    throw new FormatError('too_large_here', 'The zip holds more than this page unpacks.');
  }
  return entries.filter(
    ({ name, path, size }) => size > 0 && !isAside(name) && !path.includes('__MACOSX/'),
  );
}

/** Whether a file or folder of this name is what systems put beside slices. */
export const isAside = (name) => /^(\.|DICOMDIR$|__MACOSX$|$)/i.test(name);

/** Where the table lies (4.3.16). */
async function findTable(zip) {
  const before = Math.max(0, zip.size - 22 - 65535); // a comment may follow
  const view = await viewOf(zip.slice(before));
  let at = view.byteLength - 22;
  while (
    at >= 0 &&
    (view.getUint32(at, true) !== END ||
      view.getUint16(at + 20, true) !== view.byteLength - at - 22)
  ) {
    at--;
  }
  check(at >= 0);
  const count = view.getUint16(at + 10, true);
  const [size, from] = [view.getUint32(at + 12, true), view.getUint32(at + 16, true)];
  if (count > MOST_ENTRIES || from === 0xffffffff) {
    throw new FormatError(
      'unsupported_media',
      `The zip has more than ${MOST_ENTRIES} files, or is zip64.`,
    );
  }
  check(from + size <= before + at);
  return { count, size, from };
}

/** The first n bytes of an entry; once all of them are read, they must be what was packed. */
async function readEntry(zip, { deflated, crc, packed, size, at, end }, n) {
  const local = await viewOf(zip.slice(at, at + 30));
  const from = at + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  check(local.getUint32(0, true) === LOCAL && from + packed <= end);
  const blob = zip.slice(from, from + packed);
  const bytes = deflated
    ? await inflate(blob, n, 'deflate-raw')
    : new Uint8Array(await blob.slice(0, n).arrayBuffer());
  check(n < size || crc32(bytes) === crc);
  return bytes;
}

/** The first n bytes that come out of `format`; no more are taken, whatever a header says. */
export async function inflate(blob, n, format) {
  const reader = blob.stream().pipeThrough(new DecompressionStream(format)).getReader();
  const bytes = new Uint8Array(n);
  for (let have = 0; have < n; ) {
    const { done, value } = await reader.read().catch(() => ({ done: true }));
    check(!done);
    bytes.set(value.subarray(0, n - have), have);
    have += value.length;
  }
  reader.cancel().catch(() => {});
  return bytes;
}
