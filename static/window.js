// From values to greys: windows, their presets, and the plane that is drawn.

import { plainCanvas } from './picture.js';

/** Windows in Hounsfield units, in the order of their digit keys. */
export const PRESETS = [
  { name: 'lung', label: 'Lung', width: 1500, level: -600 },
  { name: 'mediastinum', label: 'Mediastinum', width: 350, level: 40 },
  { name: 'bone', label: 'Bone', width: 2500, level: 480 },
  { name: 'full', label: 'Full' },
];

/** The window a stack is first shown in. */
export function firstWindow(stack) {
  return presetWindow(stack.unit === 'HU' ? 'lung' : 'full', stack);
}

/** {name, width, level} of a preset; 'full' is the range of the stack, 'auto' that of slice k. */
export function presetWindow(name, stack, k = 0) {
  if (name === 'auto') {
    return { name, ...autoWindow(stack, k) };
  }
  const preset = PRESETS.find((p) => p.name === name);
  if (preset.width !== undefined) {
    return { name, width: preset.width, level: preset.level };
  }
  const [low, high] = stack.unit === 'grey' ? [0, 2 ** stack.bits - 1] : stack.range;
  return { name, width: Math.max(1, high - low), level: (low + high) / 2 };
}

/** The window in which all but the outermost half percents of a slice differ. */
function autoWindow(stack, k) {
  const plane = stack.planes[k];
  if (plane === null || plane === undefined) {
    return { width: 1, level: 0 };
  }
  const sample = [];
  const step = Math.max(1, Math.floor(plane.length / 40_000));
  for (let i = 0; i < plane.length; i += step) {
    sample.push(plane[i] * stack.slope + stack.inter);
  }
  sample.sort((a, b) => a - b);
  const low = sample[Math.floor(0.005 * (sample.length - 1))];
  const high = sample[Math.ceil(0.995 * (sample.length - 1))];
  return { width: Math.max(1, high - low), level: (low + high) / 2 };
}

/** Keeps one canvas with the slice drawn last. */
export class GreyPlane {
  constructor() {
    this.canvas = null;
    this.key = '';
    this.stack = null;
    this.table = { key: '', greys: new Uint32Array(0) };
  }

  /** The canvas of slice k in a window; black while the slice is not there. */
  draw(stack, k, { width, level }) {
    const plane = stack.planes[k];
    const key = `${k} ${width} ${level} ${plane === null}`;
    if (this.stack === stack && this.key === key) {
      return this.canvas;
    }
    if (this.canvas?.width !== stack.width || this.canvas.height !== stack.height) {
      this.canvas = plainCanvas(stack.width, stack.height);
      this.image = new ImageData(stack.width, stack.height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    this.stack = stack;
    this.key = key;
    if (plane === null) {
      this.pixels.fill(0xff000000);
    } else {
      this.#fill(plane, stack, level - width / 2, width);
    }
    this.canvas.getContext('2d').putImageData(this.image, 0, 0);
    return this.canvas;
  }

  release() {
    this.canvas = null;
    this.stack = null;
    this.pixels = null;
    this.image = null;
  }

  #fill(plane, stack, low, width) {
    const { pixels } = this;
    const sign = stack.inverted ? -1 : 1;
    const scale = (sign * 255 * stack.slope) / width;
    const shift = (sign * 255 * (stack.inter - low)) / width + (stack.inverted ? 255 : 0);
    if (plane.BYTES_PER_ELEMENT <= 2 && plane.length > 65536) {
      const { greys, offset } = this.#lookup(plane, scale, shift);
      for (let i = 0; i < plane.length; i++) {
        pixels[i] = greys[plane[i] + offset];
      }
      return;
    }
    for (let i = 0; i < plane.length; i++) {
      pixels[i] = grey(plane[i] * scale + shift);
    }
  }

  /** Grey of every value a small type can have; cheaper than computing each pixel. */
  #lookup(plane, scale, shift) {
    const signed = plane instanceof Int16Array || plane instanceof Int8Array;
    const count = plane.BYTES_PER_ELEMENT === 1 ? 256 : 65536;
    const offset = signed ? count / 2 : 0;
    const key = `${count} ${offset} ${scale} ${shift}`;
    if (this.table.key !== key) {
      const greys = new Uint32Array(count);
      for (let i = 0; i < count; i++) {
        greys[i] = grey((i - offset) * scale + shift);
      }
      this.table = { key, greys, offset };
    }
    return this.table;
  }
}

function grey(value) {
  const g = value < 0 ? 0 : value > 255 ? 255 : Math.round(value);
  return 0xff000000 + g * 0x010101;
}
