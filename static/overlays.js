// Findings and regions of an answer, drawn over its slice.

import { ATTENTION, objectClass, OBJECT_CLASSES, withAlpha } from './palette.js';
import { plainCanvas } from './picture.js';
import { isShown, same } from './store.js';
import { fixed, percent, signedPercent } from './format.js';

const LABELLED_PLACES = 5;
const HATCH = 7; // CSS pixels between the lines

// Each class leans its lines another way.
const SLANTS = { lungs: [1, 0], ggo: [1, 1], consolidation: [1, -1] };

/** Outlines of one finding as a path; kept with it. */
function pathOf(detection) {
  if (detection.path === undefined) {
    const path = new Path2D();
    for (const loop of detection.outline) {
      path.moveTo(loop[0], loop[1]);
      for (let i = 2; i < loop.length; i += 2) {
        path.lineTo(loop[i], loop[i + 1]);
      }
      path.closePath();
    }
    detection.path = path;
  }
  return detection.path;
}

function isFocus({ selected, hovered }, kind, { index }) {
  return [selected, hovered].some((ref) => same(ref, { kind, index }));
}

export function drawFindings(pen, slice, state) {
  const shown = slice.detections.filter((d) => isShown(d, state));
  if (state.masks && state.style !== 'outline') {
    for (const { name } of OBJECT_CLASSES) {
      const members = shown.filter((d) => d.className === name && d.mask !== null);
      if (members.length > 0) {
        drawAreas(pen, name, members, state);
      }
    }
  }
  const dimmed =
    state.selected?.kind === 'detection' && shown.some((d) => d.index === state.selected.index);
  // Largest first, so that what lies inside the lungs is drawn over them.
  for (const d of [...shown].sort((a, b) => b.box.w * b.box.h - a.box.w * a.box.h)) {
    const { colour, dash, short } = objectClass(d.className);
    const focused = isFocus(state, 'detection', d);
    const strength = focused ? 1 : dimmed ? 0.4 : 0.95;
    if (state.masks && d.mask !== null) {
      pen.outline(pathOf(d), { colour, dash, width: focused ? 2.4 : 1.4, strength });
    }
    const quiet = d.className === 'lungs' && !focused;
    if (state.boxes) {
      const faint = strength * (quiet ? 0.6 : 1);
      pen.box(d.box, { colour, dash, width: focused ? 2.4 : 1.3, strength: faint });
    }
    if (state.boxes || focused) {
      pen.tag({
        text: `${short} ${fixed(d.score, 2)}`,
        box: d.box,
        colour,
        strength,
        weight: (focused ? 10 : quiet ? 0 : 1) + d.score,
        force: focused,
      });
    }
  }
}

/** Findings of a class as one area: where they overlap they are not painted twice. */
function drawAreas(pen, name, members, state) {
  const { colour } = objectClass(name);
  const { context, size, unit, view } = pen;
  const { opacity } = state.layers[name];
  const hatched = state.style === 'hatch';
  context.globalAlpha = hatched ? Math.min(1, 2 * opacity) : opacity;
  context.fillStyle = colour;
  if (hatched) {
    const pattern = context.createPattern(hatch(name, colour, unit * size.ratio), 'repeat');
    pattern.setTransform(new DOMMatrix().translate(view.x, view.y).scale(1 / size.ratio));
    context.fillStyle = pattern;
  }
  context.fill(pen.place(...members.map(pathOf)));
  context.globalAlpha = 1;
}

const tiles = new Map();

function hatch(name, colour, enlarged) {
  const side = Math.round(HATCH * enlarged);
  const key = `${name} ${colour} ${side}`;
  if (!tiles.has(key)) {
    const canvas = plainCanvas(side, side);
    const context = canvas.getContext('2d');
    const [dx, dy] = SLANTS[name] ?? [0, 1];
    context.strokeStyle = colour;
    context.lineWidth = side / 5;
    for (const shift of [-side, 0, side]) {
      context.beginPath();
      if (dy === 0) {
        context.moveTo(0, side / 2 + shift);
        context.lineTo(side, side / 2 + shift);
      } else {
        context.moveTo(shift - dx, (dy > 0 ? 0 : side) - dy);
        context.lineTo(shift + side + dx, (dy > 0 ? side : 0) + dy);
      }
      context.stroke();
    }
    tiles.set(key, canvas);
  }
  return tiles.get(key);
}

export function drawRegions(pen, places, state) {
  const branch = state.attention;
  const strongest = Math.max(1e-9, ...places.map((p) => Math.abs(p.weights[branch])));
  const order = [...places].sort(
    (a, b) => Math.abs(a.weights[branch]) - Math.abs(b.weights[branch]),
  );
  const dimmed = state.selected?.kind === 'region';
  order.forEach((place, index) => {
    const weight = place.weights[branch];
    const share = Math.abs(weight) / strongest;
    const { colour, dash } = ATTENTION[branch === 'against' || weight < 0 ? 'against' : 'for'];
    const focused = place.regions.some((r) => isFocus(state, 'region', r));
    const strength = focused ? 1 : (dimmed ? 0.45 : 1) * (0.22 + 0.78 * share);
    const inner = pen.toScreen(place.box);
    pen.context.fillStyle = withAlpha(colour, (focused ? 0.12 : 0) + 0.3 * share * share);
    pen.context.fillRect(inner.x, inner.y, inner.w, inner.h);
    pen.box(place.box, { colour, dash, width: focused ? 3 : 0.8 + 2.2 * share, strength });
    if (place.regions.length > 1) {
      const within = shrink(place.box, 3 / pen.view.scale);
      pen.box(within, { colour, dash: [1, 3], width: 1, strength });
    }
    if (focused || index >= order.length - LABELLED_PLACES) {
      const value = branch === 'difference' ? signedPercent(weight) : percent(weight);
      const again = place.regions.length > 1 ? ` ×${place.regions.length}` : '';
      pen.tag({
        text: `#${place.regions[0].rank}${again}  ${value}`,
        box: place.box,
        colour,
        strength: focused ? 1 : 0.55 + 0.45 * share,
        weight: (focused ? 10 : 2) + share,
        force: focused,
      });
    }
  });
}

function shrink(box, by) {
  return {
    x: box.x + by,
    y: box.y + by,
    w: Math.max(1, box.w - 2 * by),
    h: Math.max(1, box.h - 2 * by),
  };
}
