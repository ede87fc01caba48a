// Ruler and area: what they measure and how they are drawn.
//
// A measure is {id, kind: 'ruler' | 'area', k, a: [x, y], b: [x, y]} in pixels of slice k, where a
// pixel's middle is at .5. An area is the ellipse inside the rectangle from a to b.

import { count, fixed } from './format.js';

const COLOUR = '#7fe3ff';

/** Length in mm, or in pixels (unit 'px') where the file does not say how large they are. */
export function lengthOf({ a, b }, stack) {
  const [sx, sy] = stack.spacing ?? [1, 1];
  return {
    value: Math.hypot((b[0] - a[0]) * sx, (b[1] - a[1]) * sy),
    unit: stack.spacing ? 'mm' : 'px',
  };
}

/** {pixels, mm2 or null, mean, deviation} of the pixels whose middle lies in the ellipse. */
export function areaOf({ a, b, k }, stack) {
  const { cx, cy, rx, ry } = within(a, b);
  let [pixels, sum, squares] = [0, 0, 0];
  const from = (c, r) => Math.max(0, Math.floor(c - r));
  for (let y = from(cy, ry); y < Math.min(stack.height, cy + ry); y++) {
    for (let x = from(cx, rx); x < Math.min(stack.width, cx + rx); x++) {
      if (((x + 0.5 - cx) / rx) ** 2 + ((y + 0.5 - cy) / ry) ** 2 < 1) {
        const value = stack.at(x, y, k) ?? 0;
        pixels++;
        sum += value;
        squares += value * value;
      }
    }
  }
  const mean = pixels > 0 ? sum / pixels : 0;
  return {
    pixels,
    mm2: stack.spacing ? pixels * stack.spacing[0] * stack.spacing[1] : null,
    mean,
    deviation: pixels > 0 ? Math.sqrt(Math.max(0, squares / pixels - mean * mean)) : 0,
  };
}

export function measureText(measure, stack) {
  if (measure.kind === 'ruler') {
    const { value, unit } = lengthOf(measure, stack);
    return `${fixed(value, 1)}\u00a0${unit}`;
  }
  const { pixels, mm2, mean, deviation } = areaOf(measure, stack);
  const size =
    mm2 === null
      ? `${count(pixels)}\u00a0px`
      : mm2 >= 100
        ? `${fixed(mm2 / 100, 2)}\u00a0cm²`
        : `${fixed(mm2, 1)}\u00a0mm²`;
  const unit = stack.unit === 'HU' ? '\u00a0HU' : '';
  return `${size} · mean ${fixed(mean, 0)}${unit} ± ${fixed(deviation, 0)}`;
}

export function drawMeasures(pen, stack, state) {
  for (const measure of state.measures.filter(({ k }) => k === state.k)) {
    const { a, b } = measure;
    if (measure.kind === 'ruler') {
      pen.line([a, b], { colour: COLOUR });
      drawEnd(pen, a);
      drawEnd(pen, b);
    } else {
      pen.line(ellipse(a, b), { colour: COLOUR, closed: true });
    }
    const [x, y] = pen.point(Math.max(a[0], b[0]), Math.max(a[1], b[1]));
    pen.label(measureText(measure, stack), x + 6, y + 4, { colour: COLOUR });
  }
  if (state.cursor !== null) {
    const { x, y } = state.cursor;
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      const at = (far) => pen.shift([x + 0.5, y + 0.5], far * dx, far * dy);
      pen.line([at(4), at(13)], { colour: COLOUR });
    }
  }
}

function drawEnd(pen, at) {
  for (const [dx, dy] of [[4, 0], [0, 4]]) {
    pen.line([pen.shift(at, -dx, -dy), pen.shift(at, dx, dy)], { colour: COLOUR });
  }
}

/** Middle and radii of the ellipse inside the rectangle from a to b. */
function within(a, b) {
  const [cx, cy] = [0, 1].map((i) => (a[i] + b[i]) / 2);
  const [rx, ry] = [0, 1].map((i) => Math.abs(b[i] - a[i]) / 2);
  return { cx, cy, rx, ry };
}

function ellipse(a, b) {
  const { cx, cy, rx, ry } = within(a, b);
  return Array.from({ length: 72 }, (_, i) => {
    const turn = (2 * Math.PI * i) / 72;
    return [cx + rx * Math.cos(turn), cy + ry * Math.sin(turn)];
  });
}
