// A PNG as grey values.

import { readDeepGrey, readHeader } from './png.js';

/**
 * {head (of a Stack), values} of a PNG; null when the file is none. `values` are black and `head`
 * says broken where this browser cannot decode what begins like one.
 */
export async function readPng(file) {
  const header = readHeader(new Uint8Array(await file.slice(0, 64).arrayBuffer()));
  if (header === null) {
    return null;
  }
  const { width, height } = header;
  const head = { depth: 1, unit: 'grey', spacing: null, affine: null, marks: null };
  if (header.depth === 16) {
    const deep = await readDeepGrey(new Uint8Array(await file.arrayBuffer()));
    if (deep !== null) {
      return { head: { ...head, width, height, bits: 16 }, values: deep };
    }
  }
  const drawable = width * height <= 2 ** 26;
  const options = { colorSpaceConversion: 'none' };
  const bitmap = drawable ? await createImageBitmap(file, options).catch(() => null) : null;
  if (bitmap === null) {
    const shown = drawable ? { width, height } : { width: 1, height: 1 };
    return {
      head: { ...head, ...shown, area: width * height, broken: true },
      values: new Uint8Array(drawable ? width * height : 1),
    };
  }
  const context = plainCanvas(width, height).getContext('2d', { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = context.getImageData(0, 0, width, height).data;
  const values = new Uint8Array(width * height);
  for (let i = 0; i < values.length; i++) {
    const [r, g, b] = [pixels[4 * i], pixels[4 * i + 1], pixels[4 * i + 2]];
    values[i] = r === g && g === b ? r : Math.round(0.299 * r + 0.587 * g + 0.114 * b);
  }
  return { head: { ...head, width, height }, values };
}

export function plainCanvas(width, height) {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  return canvas;
}
