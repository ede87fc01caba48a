// The cases a reader can open with one click, drawn by the phantom: node samples.mjs ONESHOT FOLDER
//
// sample.png is `oneshot phantom --kind covid --seed 7 --png`, sample.nii.gz the same patient as a
// volume of 32 slices of 192 × 192. Its values are rounded to 25 HU, which nobody sees in a lung
// window and which makes the file a third as large.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';

const HEADER = 352;
const STEP = 25; // HU

/** {png: the file, volume: the .nii before it is packed}. */
export function drawSamples(oneshot) {
  const folder = mkdtempSync(join(tmpdir(), 'oneshot-'));
  const patient = ['phantom', '--kind', 'covid', '--seed', '7'];
  try {
    const [png, nii] = ['sample.png', 'sample.nii.gz'].map((name) => join(folder, name));
    execFileSync(oneshot, [...patient, '--png', png]);
    execFileSync(oneshot, [...patient, '--nifti', nii, '--volume', '32', '--size', '192']);
    const volume = gunzipSync(readFileSync(nii));
    for (let at = HEADER; at < volume.length; at += 2) {
      volume.writeInt16LE(STEP * Math.floor(volume.readInt16LE(at) / STEP + 0.5), at);
    }
    return { png: readFileSync(png), volume };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [, , oneshot, target] = process.argv;
  const { png, volume } = drawSamples(oneshot);
  writeFileSync(join(target, 'sample.png'), png);
  writeFileSync(join(target, 'sample.nii.gz'), gzipSync(volume, { level: 9 }));
}
