// Several files as one zip, stored without compression: how a DICOM series travels.

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
    const local = record(0x04034b50, name, crc, file.size);
    parts.push(local, name, file);
    directory.push(record(0x02014b50, name, crc, file.size, at), name);
    at += local.length + name.length + file.size;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
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
