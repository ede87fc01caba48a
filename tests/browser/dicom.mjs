// Writes DICOM slices, and zips of files.

import { deflateRawSync } from 'node:zlib';
import { crc32 } from './png.mjs';

/**
 * A CT slice as DICOM: explicit or implicit little endian, with a nested sequence on the way.
 * `bare`: without preamble and meta information. `bits` [stored, high] of the 16 of a pixel; the
 * others hold ones.
 */
export function encodeDicom({
  width,
  height,
  at,
  k = 0,
  spacing = [0.8, 0.8, 5],
  origin = [-100, -120, -300],
  syntax = '1.2.840.10008.1.2.1',
  series = '1.2.3.4',
  orientation = '1\\0\\0\\0\\1\\0',
  slope = 1,
  inter = -1024,
  photometric = 'MONOCHROME2',
  bits = [16, 15],
  bare = false,
}) {
  const implicit = syntax === '1.2.840.10008.1.2';
  const element = (group, number, kind, value, plain = implicit) => {
    const text = typeof value === 'string';
    let bytes = text ? Buffer.from(value.length % 2 ? `${value} ` : value, 'latin1') : value;
    if (typeof value === 'number') {
      bytes = Buffer.alloc(2);
      bytes.writeUInt16LE(value);
    }
    const long = ['OW', 'SQ', 'OB'].includes(kind);
    const head = Buffer.alloc(plain || !long ? 8 : 12);
    head.writeUInt16LE(group, 0);
    head.writeUInt16LE(number, 2);
    const length = kind === 'SQ' ? 0xffffffff : bytes.length;
    if (plain) {
      head.writeUInt32LE(length, 4);
    } else {
      head.write(kind, 4, 'latin1');
      if (long) {
        head.writeUInt32LE(length, 8);
      } else {
        head.writeUInt16LE(length, 6);
      }
    }
    return Buffer.concat([head, bytes]);
  };
  const marker = (number, length) => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt16LE(0xfffe, 0);
    bytes.writeUInt16LE(number, 2);
    bytes.writeUInt32LE(length, 4);
    return bytes;
  };
  const nested = Buffer.concat([
    marker(0xe000, 0xffffffff),
    element(0x0008, 0x1150, 'UI', '1.2.840'),
    marker(0xe00d, 0),
    marker(0xe0dd, 0),
  ]);
  const [stored, high] = bits;
  const shift = high + 1 - stored;
  const pixels = Buffer.alloc(2 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = Math.round((at(x, y, k) - inter) / slope);
      const mask = ((1 << stored) - 1) << shift;
      pixels.writeUInt16LE(((value << shift) & mask) | (0xffff & ~mask), 2 * (y * width + x));
    }
  }
  return Buffer.concat([
    ...(bare
      ? []
      : [Buffer.alloc(128), Buffer.from('DICM'), element(0x0002, 0x0010, 'UI', syntax, false)]),
    element(0x0008, 0x0008, 'CS', 'ORIGINAL\\PRIMARY\\AXIAL'),
    element(0x0008, 0x0060, 'CS', 'CT'),
    element(0x0008, 0x1140, 'SQ', nested),
    element(0x0010, 0x0010, 'PN', 'Nobody^At All'),
    element(0x0020, 0x000e, 'UI', series),
    element(0x0020, 0x0013, 'IS', String(k + 1)),
    element(0x0020, 0x0032, 'DS', [origin[0], origin[1], origin[2] + k * spacing[2]].join('\\')),
    element(0x0020, 0x0037, 'DS', orientation),
    element(0x0028, 0x0002, 'US', 1),
    element(0x0028, 0x0004, 'CS', photometric),
    element(0x0028, 0x0010, 'US', height),
    element(0x0028, 0x0011, 'US', width),
    element(0x0028, 0x0030, 'DS', `${spacing[1]}\\${spacing[0]}`),
    element(0x0028, 0x0100, 'US', 16),
    element(0x0028, 0x0101, 'US', stored),
    element(0x0028, 0x0102, 'US', high),
    element(0x0028, 0x0103, 'US', 1),
    element(0x0028, 0x1052, 'DS', String(inter)),
    element(0x0028, 0x1053, 'DS', String(slope)),
    element(0x7fe0, 0x0010, 'OW', pixels),
  ]);
}

/** A zip of files [{name, buffer}], packed or stored. `change(entry)` may falsify what its table says. */
export function encodeZip(files, { packed = true, change = () => {} } = {}) {
  const [parts, table] = [[], []];
  let at = 0;
  for (const { name, buffer } of files) {
    const body = packed ? deflateRawSync(buffer) : buffer;
    const entry = { method: packed ? 8 : 0, flags: 0, crc: crc32(buffer), stored: body.length, size: buffer.length, at };
    change(entry);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(entry.flags, 2);
    fields.writeUInt16LE(entry.method, 4);
    fields.writeUInt32LE(entry.crc, 10);
    fields.writeUInt32LE(entry.stored, 14);
    fields.writeUInt32LE(entry.size, 18);
    fields.writeUInt16LE(name.length, 22);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(entry.at, 10);
    parts.push(Buffer.from('PK\x03\x04', 'latin1'), fields, Buffer.from(name), body);
    table.push(Buffer.from('PK\x01\x02\x14\0', 'latin1'), fields, rest, Buffer.from(name));
    at += 30 + name.length + body.length;
  }
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(Buffer.concat(table).length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, ...table, end]);
}
