// COCO run-length masks, as pycocotools writes them: runs of zeros and ones in column-major order,
// zeros first. In the compressed string every run from the fourth on is stored as the difference to
// the run two before it, in groups of five bits, least significant first, each group as one
// character from '0' (48) up; bit 32 says that another group follows, bit 16 of the last one is the
// sign.

/** Runs of a compressed string. Throws RangeError when the string is not one. */
export function decodeCounts(text) {
  const runs = [];
  let at = 0;
  while (at < text.length) {
    let value = 0;
    let scale = 1;
    for (;;) {
      if (at >= text.length) {
        throw new RangeError('mask: the last run is cut off');
      }
      const group = text.charCodeAt(at++) - 48;
      if (!(group >= 0 && group < 64) || scale > 2 ** 40) {
        throw new RangeError(`mask: unexpected character at ${at - 1}`);
      }
      // Multiplied, not shifted: shifts wrap at 32 bits.
      value += (group & 31) * scale;
      scale *= 32;
      if (!(group & 32)) {
        if (group & 16) {
          value -= scale;
        }
        break;
      }
    }
    if (runs.length > 2) {
      value += runs[runs.length - 2];
    }
    if (value < 0) {
      throw new RangeError('mask: a run is negative');
    }
    runs.push(value);
  }
  return runs;
}

/**
 * {size: [height, width], counts} → {width, height, area, data}; data is one byte per pixel, 0 or
 * 1, row by row. `counts` is the compressed string or the plain list of runs.
 */
export function decodeMask(rle) {
  const [height, width] = rle.size;
  const pixels = height * width;
  if (
    !Number.isInteger(height) ||
    !Number.isInteger(width) ||
    height < 1 ||
    width < 1 ||
    pixels > 2 ** 28
  ) {
    throw new RangeError('mask: size is not [height, width]');
  }
  const runs = typeof rle.counts === 'string' ? decodeCounts(rle.counts) : rle.counts;
  const data = new Uint8Array(pixels);
  let at = 0;
  let area = 0;
  runs.forEach((run, index) => {
    const end = at + run;
    if (!(run >= 0) || end > pixels) {
      throw new RangeError('mask: the runs are longer than the image');
    }
    if (index % 2 === 1) {
      area += run;
      let y = at % height;
      let cell = y * width + (at - y) / height;
      for (let k = at; k < end; k++) {
        data[cell] = 1;
        if (++y === height) {
          y = 0;
          cell += 1 - (height - 1) * width;
        } else {
          cell += width;
        }
      }
    }
    at = end;
  });
  if (at !== pixels) {
    throw new RangeError('mask: the runs are shorter than the image');
  }
  return { width, height, area, data };
}
