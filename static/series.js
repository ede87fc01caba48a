// The slices of one DICOM series as a volume: which they are, their order, where they lie.

import { Cut, isDicom, readDicom, unpackDicom } from './dicom.js';
import { determinant, FormatError } from './nifti.js';

const FIRST = 65536; // bytes of a file that are looked at for what comes before its pixels

const bad = (text) => new FormatError('bad_dicom', text);

/**
 * Reads what the slices say, of sources [{name, size, read(n) → the first n bytes}]. Returns
 * {slices in the order of their places, each with its `source`; affine (RAS); known: whether they
 * say where they lie}. Sources without a picture are passed over. Throws FormatError naming a file.
 */
export async function readSeries(sources) {
  const slices = [];
  for (const source of sources) {
    const slice = await readStart(source, sources.length > 1);
    if (slice !== null) {
      slices.push({ ...slice, source });
    }
  }
  if (slices.length === 0) {
    throw new FormatError(
      'unsupported_media',
      'There is no DICOM slice in it. Open the slices of one series, or a zip of them.',
    );
  }
  const [first] = slices;
  const known = slices.every((s) => s.position && s.orientation && s.spacing);
  if (slices.length > 1) {
    checkSame(slices);
  }
  if (!known) {
    return {
      slices,
      known,
      affine: [
        [-1, 0, 0, 0],
        [0, -1, 0, 0],
        [0, 0, 1, 0],
      ],
    };
  }
  const step = sort(slices);
  const o = first.orientation;
  const [dx, dy] = first.spacing;
  // DICOM counts to the left and to the back, RAS the other way.
  const affine = [0, 1, 2].map((i) =>
    [o[i] * dx, o[i + 3] * dy, step[i], slices[0].position[i]].map((v) => (i < 2 ? -v : v)),
  );
  if (!(Math.abs(determinant(affine)) > 1e-12)) {
    throw bad('Pixel Spacing and Image Position (Patient) are not of a size that a body has.');
  }
  return { slices, known, affine };
}

/** Pixels of a slice as if it had the slope and intercept of the first. */
export async function readPixels(slice, first) {
  const values = unpackDicom(slice, await slice.source.read(slice.source.size));
  return slice.slope === first.slope && slice.inter === first.inter
    ? values
    : Float32Array.from(values, (v) => (v * slice.slope + slice.inter - first.inter) / first.slope);
}

/** A File as a source. */
export const sourceOf = (file) => ({
  name: file.name,
  size: file.size,
  read: async (n) => new Uint8Array(await file.slice(0, n).arrayBuffer()),
});

/** What a source says before its pixels; null when it is no DICOM, or holds no picture. */
export async function readStart({ name, size, read }, named) {
  for (let wanted = FIRST; ; wanted *= 4) {
    const bytes = await read(Math.min(wanted, size));
    if (!isDicom(bytes)) {
      return null;
    }
    try {
      return readDicom(bytes, size);
    } catch (error) {
      if (!(error instanceof Cut)) {
        throw named ? new FormatError(error.code, `${name}: ${error.message}`) : error;
      }
    }
  }
}

/* ---- one series ---- */

function checkSame(slices) {
  const [first] = slices;
  const near = (a, b, most) => a.every((v, i) => Math.abs(v - b[i]) <= most);
  for (const s of slices) {
    if (!s.position || !s.orientation || !s.spacing) {
      const what = s.spacing ? 'Image Position and Orientation (Patient)' : 'Pixel Spacing';
      throw bad(`${s.source.name}: ${what} is missing, so it has no place in the series.`);
    }
    const differs =
      (s.series !== first.series && 'Series Instance UID') ||
      ((s.width !== first.width || s.height !== first.height) && 'Rows and Columns') ||
      (!near(s.orientation, first.orientation, 1e-3) && 'Image Orientation (Patient)') ||
      (!near(s.spacing, first.spacing, 1e-3) && 'Pixel Spacing') ||
      (s.inverted !== first.inverted && 'Photometric Interpretation');
    if (differs) {
      throw bad(
        `${differs} of ${s.source.name} is another than of ${first.source.name}. Open the ` +
          'slices of one series, without scouts.',
      );
    }
  }
}

/** Sorts slices along their normal; returns the step from one to the next (LPS, mm). */
function sort(slices) {
  const [{ orientation: o, thickness }] = slices;
  const normal = [0, 1, 2].map((i) => {
    const [j, k] = [(i + 1) % 3, (i + 2) % 3];
    return o[j] * o[k + 3] - o[k] * o[j + 3];
  });
  const along = ({ position }) => position.reduce((sum, v, i) => sum + v * normal[i], 0);
  slices.sort((a, b) => along(a) - along(b));
  slices.slice(1).forEach((s, k) => {
    if (along(s) - along(slices[k]) < 1e-3) {
      throw bad(`${slices[k].source.name} and ${s.source.name} lie in the same place.`);
    }
  });
  const n = slices.length - 1;
  const [from, to] = [slices[0].position, slices[n].position];
  // A tilted gantry moves slices sideways, too.
  return normal.map((v, i) => (n === 0 ? v * (thickness || 1) : (to[i] - from[i]) / n));
}
