// Draws a slice and everything over it onto a canvas: of the page, or of a picture to save.

import { ATTENTION, objectClass, OBJECT_CLASSES, channels, withAlpha } from './palette.js';
import { plainCanvas } from './picture.js';
import { placesOf } from './slice.js';
import { isShown, same } from './store.js';
import { fixed, percent, signedPercent } from './format.js';

const FONT = '600 11px ui-sans-serif, system-ui, "Segoe UI", Roboto, Arial, sans-serif';
const INK = '#0a0e13';
const HALO = 'rgba(4, 7, 10, 0.62)';
const LABELLED_PLACES = 5;

export class Painter {
    constructor() {
        this.picture = null;
        this.slice = null;
        this.noise = false; // untrained weights: say so across the picture
    }

    /** slice: null while there is no answer yet. */
    show(picture, slice) {
        this.picture = picture;
        this.slice = slice;
        this.paths = new Map();
        this.fills = new Map();
        this.places = slice === null ? [] : placesOf(slice.regions);
    }

    /**
     * Draws into `size` {width, height, ratio} (CSS pixels, device pixels per CSS pixel) with the
     * slice's corner at view {x, y} and one of its pixels `view.scale` CSS pixels wide.
     */
    draw(context, size, view, state) {
        context.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
        context.clearRect(0, 0, size.width, size.height);
        if (this.picture === null) {
            return;
        }
        this.context = context;
        this.size = size;
        this.view = view;
        this.state = state;
        this.taken = [];
        const { picture } = this;
        context.imageSmoothingEnabled = view.scale * size.ratio < 3;
        context.imageSmoothingQuality = 'high';
        context.drawImage(
            picture.canvas(state.stretch),
            view.x,
            view.y,
            picture.width * view.scale,
            picture.height * view.scale,
        );
        if (this.slice !== null) {
            const tags = [];
            if (state.mode === 'findings' || state.mode === 'both') {
                this.#findings(tags);
            }
            if (state.mode === 'attention' || state.mode === 'both') {
                this.#regions(tags);
            }
            tags.sort((a, b) => b.weight - a.weight).forEach((tag) => this.#tag(tag));
            if (this.noise) {
                this.#watermark();
            }
        }
    }

    /** What lies under a point of the slice: a reference for the store, or null. */
    hit(x, y, state) {
        if (this.slice === null || state.mode === 'image') {
            return null;
        }
        const inside = (box) => x >= box.x && y >= box.y && x < box.x + box.w && y < box.y + box.h;
        const smallest = (items, areaOf) =>
            items.reduce(
                (best, item) => (best === null || areaOf(item) < areaOf(best) ? item : best),
                null,
            );
        if (state.mode !== 'attention') {
            const shown = this.slice.detections.filter((d) => isShown(d, state));
            const onMask = shown.filter((d) => state.masks && maskAt(d.mask, x, y));
            const onBox = shown.filter((d) => (state.boxes || d.mask === null) && inside(d.box));
            const found =
                smallest(onMask, (d) => d.area) ??
                (state.mode === 'findings' ? smallest(onBox, (d) => d.box.w * d.box.h) : null);
            if (found !== null) {
                return { kind: 'detection', index: found.index };
            }
        }
        if (state.mode !== 'findings') {
            const place = smallest(
                this.places.filter((p) => inside(p.box)),
                (p) => p.box.w * p.box.h,
            );
            if (place !== null) {
                return { kind: 'region', index: place.regions[0].index };
            }
        }
        return null;
    }

    /** Classes whose masks cover a point of the slice. */
    classesAt(x, y, state) {
        if (this.slice === null || (state.mode !== 'findings' && state.mode !== 'both')) {
            return [];
        }
        const names = this.slice.detections
            .filter((d) => isShown(d, state) && maskAt(d.mask, x, y))
            .map((d) => d.className);
        return [...new Set(names)].map(objectClass);
    }

    #findings(tags) {
        const { context, state } = this;
        const shown = this.slice.detections.filter((d) => isShown(d, state));
        const focus = [state.selected, state.hovered];
        const isFocus = (d) =>
            focus.some((ref) => same(ref, { kind: 'detection', index: d.index }));
        if (state.masks) {
            context.imageSmoothingEnabled = false;
            for (const { name } of OBJECT_CLASSES) {
                const members = shown.filter((d) => d.className === name && d.mask !== null);
                if (members.length > 0) {
                    context.globalAlpha = state.layers[name].opacity;
                    this.#plane(this.#fill(name, members));
                }
            }
            context.globalAlpha = 1;
        }
        const dimmed =
            state.selected?.kind === 'detection' &&
            shown.some((d) => d.index === state.selected.index);
        // Largest first, so that what lies inside the lungs is drawn over them.
        for (const d of [...shown].sort((a, b) => b.box.w * b.box.h - a.box.w * a.box.h)) {
            const { colour, dash, short } = objectClass(d.className);
            const focused = isFocus(d);
            const strength = focused ? 1 : dimmed ? 0.4 : 0.95;
            if (state.masks && d.mask !== null) {
                this.#outline(d, colour, dash, focused ? 2.4 : 1.4, strength);
            }
            const quiet = d.className === 'lungs' && !focused;
            if (state.boxes) {
                this.#box(d.box, colour, dash, focused ? 2.4 : 1.3, strength * (quiet ? 0.6 : 1));
            }
            if (state.boxes || focused) {
                tags.push({
                    text: `${short} ${fixed(d.score, 2)}`,
                    box: d.box,
                    colour,
                    strength,
                    weight: (focused ? 10 : quiet ? 0 : 1) + d.score,
                    force: focused,
                });
            }
        }
        context.globalAlpha = 1;
        context.setLineDash([]);
    }

    #regions(tags) {
        const { state } = this;
        const branch = state.attention;
        const strongest = Math.max(1e-9, ...this.places.map((p) => Math.abs(p.weights[branch])));
        const order = [...this.places].sort(
            (a, b) => Math.abs(a.weights[branch]) - Math.abs(b.weights[branch]),
        );
        const isFocus = (place) =>
            place.regions.some((r) =>
                [state.selected, state.hovered].some((ref) =>
                    same(ref, { kind: 'region', index: r.index }),
                ),
            );
        const dimmed = state.selected?.kind === 'region';
        order.forEach((place, index) => {
            const weight = place.weights[branch];
            const share = Math.abs(weight) / strongest;
            const style = ATTENTION[branch === 'against' || weight < 0 ? 'against' : 'for'];
            const focused = isFocus(place);
            const strength = focused ? 1 : (dimmed ? 0.45 : 1) * (0.22 + 0.78 * share);
            const inner = this.#toScreen(place.box);
            this.context.fillStyle = withAlpha(
                style.colour,
                (focused ? 0.12 : 0) + 0.3 * share * share,
            );
            this.context.fillRect(inner.x, inner.y, inner.w, inner.h);
            this.#box(
                place.box,
                style.colour,
                style.dash,
                focused ? 3 : 0.8 + 2.2 * share,
                strength,
            );
            if (place.regions.length > 1) {
                this.#box(
                    shrink(place.box, 3 / this.view.scale),
                    style.colour,
                    [1, 3],
                    1,
                    strength,
                );
            }
            if (focused || index >= order.length - LABELLED_PLACES) {
                const value = branch === 'difference' ? signedPercent(weight) : percent(weight);
                const again = place.regions.length > 1 ? ` ×${place.regions.length}` : '';
                tags.push({
                    text: `#${place.regions[0].rank}${again}  ${value}`,
                    box: place.box,
                    colour: style.colour,
                    strength: focused ? 1 : 0.55 + 0.45 * share,
                    weight: (focused ? 10 : 2) + share,
                    force: focused,
                });
            }
        });
        this.context.globalAlpha = 1;
        this.context.setLineDash([]);
    }

    /** One plane per class, so that findings of a class that overlap are not painted twice. */
    #fill(name, members) {
        const key = members.map((d) => d.index).join(' ');
        const kept = this.fills.get(name);
        if (kept !== undefined && kept.key === key) {
            return kept.canvas;
        }
        const { width, height } = this.slice;
        const canvas = plainCanvas(width, height);
        const image = new ImageData(width, height);
        const [r, g, b] = channels(objectClass(name).colour);
        for (const { mask } of members) {
            for (let i = 0; i < mask.data.length; i++) {
                if (mask.data[i] !== 0) {
                    image.data[4 * i] = r;
                    image.data[4 * i + 1] = g;
                    image.data[4 * i + 2] = b;
                    image.data[4 * i + 3] = 255;
                }
            }
        }
        canvas.getContext('2d').putImageData(image, 0, 0);
        this.fills.set(name, { key, canvas });
        return canvas;
    }

    #plane(canvas) {
        const { view } = this;
        this.context.drawImage(
            canvas,
            view.x,
            view.y,
            canvas.width * view.scale,
            canvas.height * view.scale,
        );
    }

    #outline(d, colour, dash, width, strength) {
        const { context, view } = this;
        if (!this.paths.has(d.index)) {
            const path = new Path2D();
            for (const loop of d.outline) {
                path.moveTo(loop[0], loop[1]);
                for (let i = 2; i < loop.length; i += 2) {
                    path.lineTo(loop[i], loop[i + 1]);
                }
                path.closePath();
            }
            this.paths.set(d.index, path);
        }
        context.save();
        context.translate(view.x, view.y);
        context.scale(view.scale, view.scale);
        context.lineJoin = 'round';
        context.globalAlpha = strength;
        context.lineWidth = width / view.scale;
        context.setLineDash(dash.map((length) => length / view.scale));
        context.strokeStyle = colour;
        context.stroke(this.paths.get(d.index));
        context.restore();
    }

    #box(box, colour, dash, width, strength) {
        const { context } = this;
        const { x, y, w, h } = this.#toScreen(box);
        context.globalAlpha = strength;
        context.setLineDash([]);
        context.strokeStyle = HALO;
        context.lineWidth = width + 1.6;
        context.strokeRect(x, y, w, h);
        context.setLineDash(dash);
        context.strokeStyle = colour;
        context.lineWidth = width;
        context.strokeRect(x, y, w, h);
    }

    #tag({ text, box, colour, strength, force }) {
        const { context, size } = this;
        const { x, y, w } = this.#toScreen(box);
        context.font = FONT;
        const width = Math.ceil(context.measureText(text).width) + 10;
        const height = 17;
        if (!force && w < 14) {
            return;
        }
        const left = Math.min(Math.max(x - 0.5, 2), size.width - width - 2);
        let top = y - height;
        if (top < 2) {
            top = Math.max(2, y + 1);
        }
        const place = { left, top, right: left + width, bottom: top + height };
        const blocked = this.taken.some(
            (t) =>
                place.left < t.right &&
                place.right > t.left &&
                place.top < t.bottom &&
                place.bottom > t.top,
        );
        if ((blocked && !force) || top > size.height || x > size.width || x + w < 0) {
            return;
        }
        this.taken.push(place);
        context.setLineDash([]);
        context.globalAlpha = Math.max(0.75, strength);
        context.fillStyle = colour;
        context.beginPath();
        context.roundRect(left, top, width, height, 3);
        context.fill();
        context.globalAlpha = 1;
        context.fillStyle = INK;
        context.textBaseline = 'middle';
        context.fillText(text, left + 5, top + height / 2 + 0.5);
    }

    #watermark() {
        const { context, size } = this;
        context.save();
        context.beginPath();
        const area = this.#toScreen({ x: 0, y: 0, w: this.picture.width, h: this.picture.height });
        context.rect(area.x, area.y, area.w, area.h);
        context.clip();
        context.translate(size.width / 2, size.height / 2);
        context.rotate(-Math.PI / 7);
        context.font = '800 22px ui-sans-serif, system-ui, "Segoe UI", Roboto, Arial, sans-serif';
        context.textAlign = 'center';
        context.fillStyle = 'rgba(255, 196, 84, 0.20)';
        const reach = Math.hypot(size.width, size.height) / 2;
        for (let y = -Math.ceil(reach / 110) * 110; y <= reach; y += 110) {
            for (let x = -Math.ceil(reach / 330) * 330; x <= reach; x += 330) {
                context.fillText('UNTRAINED · NOISE', x + ((y / 110) % 2) * 165, y);
            }
        }
        context.restore();
    }

    #toScreen(box) {
        const { view } = this;
        return {
            x: box.x * view.scale + view.x,
            y: box.y * view.scale + view.y,
            w: box.w * view.scale,
            h: box.h * view.scale,
        };
    }
}

function maskAt(mask, x, y) {
    return (
        mask !== null &&
        x >= 0 &&
        y >= 0 &&
        x < mask.width &&
        y < mask.height &&
        mask.data[Math.floor(y) * mask.width + Math.floor(x)] !== 0
    );
}

function shrink(box, by) {
    return {
        x: box.x + by,
        y: box.y + by,
        w: Math.max(1, box.w - 2 * by),
        h: Math.max(1, box.h - 2 * by),
    };
}
