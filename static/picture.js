// A slice as pixels: what the browser shows, and the grey values behind it.

import { readDeepGrey, readHeader } from './png.js';

export class Picture {
    /** values: one grey per pixel (8 or 16 bit); deep: 16 bit. */
    constructor(width, height, values, { deep = false, drawable = null } = {}) {
        this.width = width;
        this.height = height;
        this.values = values;
        this.deep = deep;
        this.asIs = drawable ?? greyCanvas(width, height, values, 0, deep ? 65535 : 255);
        this.stretched = null;
    }

    /** What to draw: as the file has it, or with its greys spread over black to white. */
    canvas(stretch) {
        if (!stretch) {
            return this.asIs;
        }
        if (this.stretched === null) {
            const [low, high] = percentiles(this.values, 0.005, 0.995);
            this.stretched = greyCanvas(this.width, this.height, this.values, low, high);
        }
        return this.stretched;
    }

    at(x, y) {
        return this.values[y * this.width + x];
    }
}

/** An empty black plane, for an answer whose file this browser cannot draw. */
export function blankPicture(width, height) {
    return new Picture(width, height, new Uint8Array(width * height));
}

/** Reads a PNG. Returns null when the browser cannot decode it. */
export async function readPicture(file) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const deep = await readDeepGrey(bytes);
    if (deep !== null) {
        const header = readHeader(bytes);
        return new Picture(header.width, header.height, deep, { deep: true });
    }
    let bitmap;
    try {
        bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none' });
    } catch {
        return null;
    }
    const canvas = plainCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const values = new Uint8Array(canvas.width * canvas.height);
    for (let i = 0; i < values.length; i++) {
        const [r, g, b] = [pixels[4 * i], pixels[4 * i + 1], pixels[4 * i + 2]];
        values[i] = r === g && g === b ? r : Math.round(0.299 * r + 0.587 * g + 0.114 * b);
    }
    return new Picture(canvas.width, canvas.height, values, { drawable: canvas });
}

export function plainCanvas(width, height) {
    const canvas = document.createElement('canvas');
    canvas.width = width;
    canvas.height = height;
    return canvas;
}

function greyCanvas(width, height, values, low, high) {
    const canvas = plainCanvas(width, height);
    const image = new ImageData(width, height);
    const scale = 255 / Math.max(1, high - low);
    for (let i = 0; i < values.length; i++) {
        const grey = (values[i] - low) * scale;
        image.data[4 * i] = grey;
        image.data[4 * i + 1] = grey;
        image.data[4 * i + 2] = grey;
        image.data[4 * i + 3] = 255;
    }
    canvas.getContext('2d').putImageData(image, 0, 0);
    return canvas;
}

function percentiles(values, from, to) {
    const bins = new Uint32Array(65536);
    for (const value of values) {
        bins[value]++;
    }
    const find = (share) => {
        let seen = 0;
        for (let value = 0; value < bins.length; value++) {
            seen += bins[value];
            if (seen > share * values.length) {
                return value;
            }
        }
        return 0;
    };
    return [find(from), find(to)];
}
