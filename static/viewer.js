// The slice on the page: zoom, pan, pointing and choosing. What is drawn is paint.js's business.

import { Painter } from './paint.js';

const MOST = 32; // screen pixels per pixel of the slice
const PAN_STEP = 48;
const DRAG = 4; // how far a pointer may move and still be a click

/**
 * Events: 'view' (detail: scale, fitted), 'probe' (detail: {x, y, value, classes} or null).
 */
export class Viewer extends EventTarget {
    /** stage: the focusable box around the canvas. */
    constructor(stage, canvas, store) {
        super();
        this.stage = stage;
        this.canvas = canvas;
        this.context = canvas.getContext('2d');
        this.store = store;
        this.painter = new Painter();
        this.picture = null;
        this.size = { width: 0, height: 0, ratio: 1 };
        this.view = { scale: 1, x: 0, y: 0 };
        this.fitted = true;
        this.pointers = new Map();
        this.pending = false;
        new ResizeObserver(() => this.#resize()).observe(stage);
        // Moving to a screen of another density changes the ratio but not the size.
        window.addEventListener('resize', () => this.#resize());
        store.addEventListener('change', () => this.redraw());
        this.#listen();
        this.#resize();
    }

    /** Shows a picture and, once there is one, the answer for it. */
    show(picture, slice, { noise = false } = {}) {
        const other = picture !== this.picture;
        this.picture = picture;
        this.painter.noise = noise;
        this.painter.show(picture, slice);
        if (other) {
            this.fit();
        }
        this.redraw();
    }

    fit() {
        this.fitted = true;
        if (this.picture !== null) {
            const { width, height } = this.size;
            const scale = Math.max(
                0.01,
                Math.min(width / this.picture.width, height / this.picture.height),
            );
            this.view = {
                scale,
                x: (width - this.picture.width * scale) / 2,
                y: (height - this.picture.height * scale) / 2,
            };
        }
        this.#viewChanged();
    }

    /** Zooms by a factor around a point of the stage, its middle unless told. */
    zoom(factor, x = this.size.width / 2, y = this.size.height / 2) {
        this.zoomTo(this.view.scale * factor, x, y);
    }

    zoomTo(scale, x = this.size.width / 2, y = this.size.height / 2) {
        if (this.picture === null) {
            return;
        }
        const least = Math.min(1, this.#fitScale() * 0.5);
        const next = Math.min(MOST, Math.max(least, scale));
        const ratio = next / this.view.scale;
        this.view = {
            scale: next,
            x: x - (x - this.view.x) * ratio,
            y: y - (y - this.view.y) * ratio,
        };
        this.fitted = false;
        this.#viewChanged();
    }

    pan(dx, dy) {
        if (this.picture === null) {
            return;
        }
        this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy };
        this.fitted = false;
        this.#viewChanged();
    }

    /** Brings a box {x, y, w, h} of the slice into view, with some room around it. */
    zoomToBox(box) {
        const { width, height } = this.size;
        const scale = Math.min(
            MOST,
            Math.max(
                this.#fitScale(),
                0.45 * Math.min(width / Math.max(1, box.w), height / Math.max(1, box.h)),
            ),
        );
        this.view = {
            scale,
            x: width / 2 - (box.x + box.w / 2) * scale,
            y: height / 2 - (box.y + box.h / 2) * scale,
        };
        this.fitted = false;
        this.#viewChanged();
    }

    redraw() {
        if (this.pending) {
            return;
        }
        this.pending = true;
        requestAnimationFrame(() => {
            this.pending = false;
            this.painter.draw(this.context, this.size, this.view, this.store.state);
        });
    }

    #fitScale() {
        return Math.min(
            this.size.width / this.picture.width,
            this.size.height / this.picture.height,
        );
    }

    #resize() {
        const { clientWidth: width, clientHeight: height } = this.stage;
        const ratio = window.devicePixelRatio || 1;
        const before = this.size;
        if (width === before.width && height === before.height && ratio === before.ratio) {
            return;
        }
        this.size = { width, height, ratio };
        this.canvas.width = Math.max(1, Math.round(width * ratio));
        this.canvas.height = Math.max(1, Math.round(height * ratio));
        if (this.fitted) {
            this.fit();
        } else {
            this.pan((width - before.width) / 2, (height - before.height) / 2);
        }
        // A canvas that changed its size is empty: paint before the browser shows it.
        this.painter.draw(this.context, this.size, this.view, this.store.state);
    }

    #viewChanged() {
        if (this.picture !== null) {
            const keep = 0.25; // of the stage stays covered, so that the slice cannot be lost
            const { width, height } = this.size;
            const { scale } = this.view;
            const within = (at, extent, room) =>
                Math.min(room * (1 - keep), Math.max(room * keep - extent, at));
            this.view.x = within(this.view.x, this.picture.width * scale, width);
            this.view.y = within(this.view.y, this.picture.height * scale, height);
        }
        // While the whole slice is visible a finger scrolls the page; zoomed in it moves the slice.
        this.stage.classList.toggle('zoomed', !this.fitted);
        this.redraw();
        this.dispatchEvent(
            new CustomEvent('view', {
                detail: { scale: this.view.scale, fitted: this.fitted },
            }),
        );
    }

    #listen() {
        const { stage } = this;
        stage.addEventListener(
            'wheel',
            (event) => {
                if (this.picture === null) {
                    return;
                }
                event.preventDefault();
                const { x, y } = this.#at(event);
                const lines = event.deltaMode === 1 ? 16 : 1;
                this.zoom(Math.exp(-event.deltaY * lines * 0.0016), x, y);
            },
            { passive: false },
        );
        this.canvas.addEventListener('pointerdown', (event) => this.#down(event));
        this.canvas.addEventListener('pointermove', (event) => this.#move(event));
        this.canvas.addEventListener('pointerup', (event) => this.#up(event));
        this.canvas.addEventListener('pointercancel', (event) => this.#lift(event));
        this.canvas.addEventListener('pointerleave', () => this.#point(null));
        this.canvas.addEventListener('dblclick', (event) => {
            const { x, y } = this.#at(event);
            if (this.fitted) {
                this.zoom(2.5, x, y);
            } else {
                this.fit();
            }
        });
        stage.addEventListener('keydown', (event) => this.#key(event));
    }

    #at(event) {
        const bounds = this.canvas.getBoundingClientRect();
        return { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
    }

    #down(event) {
        if (this.picture === null || event.button > 1) {
            return;
        }
        this.canvas.setPointerCapture(event.pointerId);
        const at = this.#at(event);
        this.pointers.set(event.pointerId, { ...at, startX: at.x, startY: at.y });
        this.moved = this.pointers.size > 1;
    }

    #move(event) {
        const at = this.#at(event);
        const pointer = this.pointers.get(event.pointerId);
        if (pointer === undefined) {
            this.#point(event.pointerType === 'touch' ? null : at);
            return;
        }
        if (!this.moved && Math.hypot(at.x - pointer.startX, at.y - pointer.startY) < DRAG) {
            return;
        }
        this.moved = true;
        this.stage.classList.add('dragging');
        if (this.pointers.size === 1) {
            this.pan(at.x - pointer.x, at.y - pointer.y);
        } else {
            const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
            const before = Math.hypot(pointer.x - other.x, pointer.y - other.y);
            const after = Math.hypot(at.x - other.x, at.y - other.y);
            if (before > 0 && after > 0) {
                this.pan((at.x - pointer.x) / 2, (at.y - pointer.y) / 2);
                this.zoom(after / before, (at.x + other.x) / 2, (at.y + other.y) / 2);
            }
        }
        Object.assign(pointer, at);
    }

    #up(event) {
        const known = this.pointers.has(event.pointerId);
        this.#lift(event);
        if (known && !this.moved) {
            const found = this.#find(this.#at(event));
            this.store.set({ selected: found });
        }
    }

    #lift(event) {
        this.pointers.delete(event.pointerId);
        if (this.pointers.size === 0) {
            this.stage.classList.remove('dragging');
        }
    }

    #find(at) {
        const [x, y] = this.#toSlice(at);
        return this.painter.hit(x, y, this.store.state);
    }

    #toSlice(at) {
        return [(at.x - this.view.x) / this.view.scale, (at.y - this.view.y) / this.view.scale];
    }

    #point(at) {
        let probe = null;
        let hovered = null;
        if (at !== null && this.picture !== null) {
            const [x, y] = this.#toSlice(at).map(Math.floor);
            if (x >= 0 && y >= 0 && x < this.picture.width && y < this.picture.height) {
                const { state } = this.store;
                probe = {
                    x,
                    y,
                    value: this.picture.at(x, y),
                    classes: this.painter.classesAt(x, y, state),
                };
                hovered = this.#find(at);
            }
        }
        this.store.set({ hovered });
        this.stage.classList.toggle('pointing', hovered !== null);
        this.dispatchEvent(new CustomEvent('probe', { detail: probe }));
    }

    #key(event) {
        if (
            event.target !== this.stage ||
            event.ctrlKey ||
            event.metaKey ||
            event.altKey ||
            this.picture === null
        ) {
            return;
        }
        const moves = {
            ArrowLeft: [PAN_STEP, 0],
            ArrowRight: [-PAN_STEP, 0],
            ArrowUp: [0, PAN_STEP],
            ArrowDown: [0, -PAN_STEP],
        };
        const actions = {
            '+': () => this.zoom(1.25),
            '=': () => this.zoom(1.25),
            '-': () => this.zoom(0.8),
            _: () => this.zoom(0.8),
            0: () => this.fit(),
            1: () => this.zoomTo(1),
        };
        if (moves[event.key]) {
            const far = event.shiftKey ? 4 : 1;
            this.pan(moves[event.key][0] * far, moves[event.key][1] * far);
        } else if (actions[event.key]) {
            actions[event.key]();
        } else {
            return;
        }
        event.preventDefault();
    }
}
