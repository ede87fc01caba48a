// Slices on this page: the values of one picture or of a volume, read from local bytes.

import { readPng } from './picture.js';
import { FormatError } from './nifti.js';

const MOST = 2 ** 30; // bytes that are unpacked for one volume

/**
 * One or more slices of a size. `slope` and `inter` make values of a `unit` ('HU' or 'grey') out of
 * stored ones; spacing [x, y, z] in mm, affine and marks are null where the file does not tell.
 * `area`: pixels of a slice of the file; `unpacked`: bytes it grows to where it is packed.
 */
export class Stack {
  constructor(head) {
    const usual = { slope: 1, inter: 0, unit: 'grey', inverted: false, bits: 8, unpacked: 0 };
    Object.assign(this, usual, { area: head.width * head.height }, head);
    this.planes = new Array(this.depth).fill(null);
    this.loaded = 0;
    this.low = Infinity; // of the stored values seen so far
    this.high = -Infinity;
  }

  put(k, values, low, high) {
    this.loaded += this.planes[k] === null ? 1 : 0;
    this.planes[k] = values;
    this.low = Math.min(this.low, low);
    this.high = Math.max(this.high, high);
  }

  get complete() {
    return this.loaded === this.depth;
  }

  /** Least and largest value, in units. */
  get range() {
    const ends = [this.low, this.high].map((v) => v * this.slope + this.inter);
    return this.loaded === 0 ? [0, 1] : [Math.min(...ends), Math.max(...ends)];
  }

  /** The value of a pixel in units; null where the slice is not there yet. */
  at(x, y, k) {
    const plane = this.planes[k] ?? null;
    return plane === null ? null : plane[y * this.width + x] * this.slope + this.inter;
  }

  /** Lets go of the pixels. */
  release() {
    this.planes.fill(null);
    this.loaded = 0;
  }
}

/** An empty black slice, for an answer whose file cannot be drawn. */
export function blankStack(width, height, depth = 1) {
  const stack = new Stack({ width, height, depth });
  const plane = new Uint8Array(width * height);
  for (let k = 0; k < depth; k++) {
    stack.put(k, plane, 0, 255);
  }
  return stack;
}

/** Reads no more of a case than what tells its size; a Stack without pixels. Throws FormatError. */
export async function readHead(files) {
  const stop = new AbortController();
  let head = null;
  const onHead = (stack) => {
    head = stack;
    stop.abort();
  };
  await readStack(files, { onHead, onPlane: () => {}, signal: stop.signal }).catch((error) => {
    if (head === null) {
      throw error;
    }
  });
  head.release();
  return head;
}

/**
 * Reads a case: one file, or the files of a DICOM series. onHead(stack) runs once, onPlane(k) when
 * slice k is there. Resolves to the whole stack. Throws FormatError; an abort of `signal` ends the
 * worker and throws nothing more to see ('aborted').
 */
export async function readStack(files, { onHead, onPlane, signal }) {
  const png = await readPng(files[0]);
  if (png !== null) {
    const stack = new Stack(png.head);
    stack.put(0, png.values, 0, png.head.bits === 16 ? 65535 : 255);
    onHead(stack);
    onPlane(0);
    return stack;
  }
  return inWorker(files, { onHead, onPlane, signal });
}

function inWorker(files, { onHead, onPlane, signal }) {
  const worker = new Worker(new URL('decode-worker.js', import.meta.url), { type: 'module' });
  let stack = null;
  return new Promise((resolve, reject) => {
    const abort = () => reject(new DOMException('stopped', 'AbortError'));
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) {
      abort();
    }
    worker.addEventListener('error', (event) =>
      reject(
        new FormatError('', `Unpacking failed: ${event.message ?? 'the page is incomplete'}.`),
      ),
    );
    worker.addEventListener('message', ({ data }) => {
      if (signal.aborted) {
        return;
      }
      if (data.type === 'head') {
        stack = new Stack(data.head);
        onHead(stack);
      } else if (data.type === 'plane') {
        stack.put(data.k, data.values, data.low, data.high);
        onPlane(data.k);
      } else if (data.type === 'end') {
        resolve(stack);
      } else {
        reject(new FormatError(data.code, data.message));
      }
    });
    worker.postMessage({ files, most: MOST });
  }).finally(() => worker.terminate());
}
