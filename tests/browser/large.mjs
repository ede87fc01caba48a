// A volume as large as scanners make them, in a file of its own, and a real drop of it.

import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { encodeNifti } from './nifti.mjs';
import { huAt } from './volume.mjs';

export const LARGE = [512, 512, 300];

/** Writes name (.nii or .nii.gz); {path, remove()}. Its slices have grain, as those of scanners. */
export async function largeVolume(name, [width, height, depth] = LARGE) {
  const flat = [width, height, 16];
  const first = encodeNifti({
    size: [width, height, 1],
    at: (x, y) => huAt(x, y, 6, flat),
    spacing: [0.7, 0.7, 1],
  });
  const header = Buffer.from(first.subarray(0, 352));
  header.writeInt16LE(depth, 46);
  const area = width * height;
  const base = new Int16Array(first.buffer, first.byteOffset + 352, area);
  const grain = new Int16Array(65521);
  for (let i = 0, seed = 7; i < grain.length; i++) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    grain[i] = ((seed >>> 16) % 81) - 40;
  }
  function* parts() {
    yield header;
    for (let k = 0; k < depth; k++) {
      const slice = new Int16Array(area);
      for (let i = 0; i < area; i++) {
        slice[i] = base[i] + grain[(i + k * 7919) % grain.length];
      }
      yield Buffer.from(slice.buffer);
    }
  }
  const folder = mkdtempSync(join(tmpdir(), 'oneshot-'));
  const path = join(folder, name);
  const packer = name.endsWith('.gz') ? [createGzip({ level: 1 })] : [];
  await pipeline(Readable.from(parts()), ...packer, createWriteStream(path));
  return { path, remove: () => rmSync(folder, { recursive: true }) };
}

/** Drops a file of this computer on the stage, as the browser itself would after a drag. */
export async function dropPath(page, path) {
  const { x, y, width, height } = await page.locator('.stage-frame').boundingBox();
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files: [path], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop']) {
    await session.send('Input.dispatchDragEvent', {
      type,
      x: x + width / 2,
      y: y + height / 2,
      data,
    });
  }
  await session.detach();
}
