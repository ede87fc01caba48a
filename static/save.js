// What can be taken away: the answer as received, the picture with its overlays, a curl command.

import { ATTENTION, OBJECT_CLASSES } from './palette.js';
import { plainCanvas } from './picture.js';
import { Painter } from './paint.js';
import { percent } from './format.js';

const FONT = 'ui-sans-serif, system-ui, "Segoe UI", Roboto, Arial, sans-serif';

export function saveBlob(blob, name) {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** 'scan.final.png' → 'scan.final'. */
export function stem(name) {
    return name.replace(/\.[A-Za-z0-9]{1,5}$/, '') || 'slice';
}

/**
 * The slice as it is drawn now, at twice its size, with a legend, and the words that must not get
 * lost when the picture travels alone. Returns a PNG blob.
 */
export async function drawPicture(picture, slice, state, { noise, model, file }) {
    const scale = Math.max(
        1,
        Math.min(2, Math.floor(4096 / Math.max(picture.width, picture.height))),
    );
    const width = Math.max(560, picture.width * scale);
    const height = picture.height * scale;
    const foot = 86;
    const canvas = plainCanvas(width, height + foot);
    const painter = new Painter();
    painter.noise = noise;
    painter.show(picture, slice);
    const part = plainCanvas(width, height);
    painter.draw(
        part.getContext('2d'),
        { width, height, ratio: 1 },
        { scale, x: (width - picture.width * scale) / 2, y: 0 },
        { ...state, hovered: null },
    );
    const context = canvas.getContext('2d');
    context.fillStyle = '#05080b';
    context.fillRect(0, 0, width, height + foot);
    context.drawImage(part, 0, 0);
    drawFoot(context, width, height, { slice, state, noise, model, file });
    return new Promise((resolve) => {
        canvas.toBlob(resolve, 'image/png');
    });
}

function drawFoot(context, width, top, { slice, state, noise, model, file }) {
    context.fillStyle = '#0e141b';
    context.fillRect(0, top, width, 86);
    context.textBaseline = 'middle';
    const attention = state.mode === 'attention';
    const entries = attention
        ? Object.values(ATTENTION)
        : state.mode === 'image'
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
    const c = slice.classification;
    context.fillStyle = '#dfe7ee';
    context.fillText(
        `${file}  ·  ${
            c === null
                ? 'no assessment'
                : `${c.predicted.label} ${percent(c.predicted.probability)}`
        }  ·  ${model}`,
        14,
        top + 45,
    );
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

/** The command line that sends the same request. The key itself is never written into it. */
export function curlCommand(address, fileName, withKey) {
    const parts = ['curl'];
    if (withKey) {
        parts.push('-H "Authorization: Bearer $ONESHOT_KEY"');
    }
    parts.push(`--data-binary ${shellQuote(`@${fileName}`)}`, shellQuote(String(address)));
    return parts.join(' ');
}

function shellQuote(text) {
    return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
