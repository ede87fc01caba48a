// What can be taken away: the answer as received, the picture with its overlays, a curl command.

import { ATTENTION, OBJECT_CLASSES } from './palette.js';
import { plainCanvas } from './picture.js';
import { Painter } from './paint.js';
import { FONT } from './pen.js';
import { percent } from './format.js';

const FOOT = 86; // pixels of the words below a picture

export function saveBlob(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** 'scan.final.png' → 'scan.final'. */
export function stem(name) {
  return name.replace(/\.nii\.gz$|\.[A-Za-z0-9]{1,5}$/i, '') || 'slice';
}

/**
 * The slice as it is drawn now, large, with a legend, and the words that must not get lost when the
 * picture travels alone. Returns a canvas. view: {stack, slice or null, noise, model, file}.
 */
export function drawPicture(view, state) {
  const { stack, slice, noise } = view;
  const [dx, dy] = stack.spacing ?? [1, 1];
  const tall = dy / dx;
  const side = Math.max(stack.width, stack.height * tall);
  const scale = Math.min(2, Math.max(Math.min(1, 4096 / side), Math.floor(1536 / side)));
  const width = Math.max(560, Math.round(stack.width * scale));
  const height = Math.round(stack.height * scale * tall);
  const canvas = plainCanvas(width, height + FOOT);
  const painter = new Painter();
  painter.noise = noise;
  painter.setStack(stack);
  painter.setSlice(slice);
  const part = plainCanvas(width, height);
  painter.draw(
    part.getContext('2d'),
    { width, height, ratio: 1 },
    { scale, tall, x: (width - stack.width * scale) / 2, y: 0 },
    { ...state, hovered: null, cursor: null },
  );
  const context = canvas.getContext('2d');
  context.fillStyle = '#05080b';
  context.fillRect(0, 0, width, height + FOOT);
  context.drawImage(part, 0, 0);
  drawFoot(context, width, height, view, state);
  return canvas;
}

/** 0 background, 1 lungs, 2 GGO, 3 consolidation, pixel by pixel: the service's label map. */
export function labelsOf({ width, height, detections }) {
  const labels = new Uint8Array(width * height);
  for (const { className, mask } of detections) {
    const label = 1 + OBJECT_CLASSES.findIndex((c) => c.name === className);
    mask?.data.forEach((inside, i) => {
      labels[i] = Math.max(labels[i], inside * label);
    });
  }
  return labels;
}

export function pngOf(canvas) {
  return new Promise((resolve) => {
    canvas.toBlob(resolve, 'image/png');
  });
}

function drawFoot(context, width, top, { stack, slice, noise, model, file }, state) {
  context.fillStyle = '#0e141b';
  context.fillRect(0, top, width, FOOT);
  context.textBaseline = 'middle';
  const attention = state.mode === 'attention';
  const entries = attention
    ? Object.values(ATTENTION)
    : state.mode === 'image' || slice === null
      ? []
      : OBJECT_CLASSES.filter((c) => state.layers[c.name].visible);
  let x = 14;
  context.font = `500 13px ${FONT}`;
  for (const entry of entries) {
    context.setLineDash([]);
    context.fillStyle = entry.colour;
    context.fillRect(x, top + 14, 14, 14);
    context.fillStyle = '#dfe7ee';
    context.fillText(entry.label, x + 20, top + 21.5);
    x += 42 + context.measureText(entry.label).width;
  }
  const c = slice?.classification ?? null;
  const where = stack.depth > 1 ? `  ·  slice ${state.k + 1} of ${stack.depth}` : '';
  const verdict =
    c === null ? 'no assessment' : `${c.predicted.label} ${percent(c.predicted.probability)}`;
  context.fillStyle = '#dfe7ee';
  context.fillText(`${file}${where}  ·  ${verdict}  ·  ${model}`, 14, top + 45, width - 28);
  context.font = `700 13px ${FONT}`;
  context.fillStyle = '#ffc454';
  context.fillText(
    `Research use only – not for diagnosis${
      noise ? '  ·  UNTRAINED WEIGHTS: RESULTS ARE NOISE' : ''
    }`,
    14,
    top + 68,
  );
}

const COLUMNS = 'slice id class score x y width height area_px area_mm2'.split(' ');

/** Findings of all answered slices as CSV: one row each, slices counted from 0 as the file does. */
export function findingsCsv(item) {
  const spacing = item.stack?.spacing ?? null;
  const rows = [...item.answers]
    .sort(([a], [b]) => a - b)
    .flatMap(([k, json]) =>
      json.detections.map((d) => [
        k,
        d.id,
        d.class,
        d.score,
        ...d.bbox_xywh,
        d.area_px,
        spacing === null ? '' : (d.area_px * spacing[0] * spacing[1]).toFixed(2),
      ]),
    );
  return [COLUMNS, ...rows].map((row) => row.map(csvField).join(',')).join('\r\n') + '\r\n';
}

// What begins like a formula would be run by a spreadsheet.
function csvField(value) {
  const text = String(value ?? '');
  const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** The command line that sends the same request. The key itself is never written into it. */
export function curlCommand(address, fileName, withKey, streamed = false) {
  const parts = ['curl'];
  if (streamed) {
    parts.push("-N -H 'Accept: application/x-ndjson'");
  }
  if (withKey) {
    parts.push('-H "Authorization: Bearer $ONESHOT_KEY"');
  }
  parts.push(`--data-binary ${shellQuote(`@${fileName}`)}`, shellQuote(String(address)));
  return parts.join(' ');
}

function shellQuote(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
