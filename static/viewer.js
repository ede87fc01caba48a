// The slice on the page: which part of it is seen. What is drawn is paint.js's business, what the
// mouse does pointer.js's.

import { Painter } from './paint.js';

const MOST = 32; // screen pixels per pixel of the slice
const KEEP = 0.25; // of the stage stays covered, so that the slice cannot be lost

/** Events: 'view' (detail: scale, fitted), 'drawn' after each drawing. */
export class Viewer extends EventTarget {
  /** stage: the focusable box around the canvas. */
  constructor(stage, canvas, store) {
    super();
    this.stage = stage;
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
    this.store = store;
    this.painter = new Painter();
    this.stack = null;
    this.answer = () => null; // slice → its answer
    this.size = { width: 0, height: 0, ratio: 1 };
    this.view = { scale: 1, tall: 1, x: 0, y: 0 };
    this.fitted = true;
    this.pending = false;
    new ResizeObserver(() => this.#resize()).observe(stage);
    // Moving to a screen of another density changes the ratio but not the size.
    window.addEventListener('resize', () => this.#resize());
    store.addEventListener('change', () => this.redraw());
    this.#resize();
  }

  /** Shows a stack (null: nothing); answer(k) is what is known about its slice k, or null. */
  show(stack, answer = () => null) {
    const before = this.stack;
    this.stack = stack;
    this.answer = answer;
    this.painter.setStack(stack);
    if (before?.width !== stack?.width || before?.height !== stack?.height || this.fitted) {
      this.fit();
    }
    this.redraw();
  }

  set noise(noise) {
    this.painter.noise = noise;
    this.redraw();
  }

  fit() {
    this.fitted = true;
    if (this.stack !== null) {
      const { width, height } = this.size;
      const [dx, dy] = this.stack.spacing ?? [1, 1];
      const tall = dy / dx;
      const scale = Math.max(0.01, this.#fitScale(tall));
      this.view = {
        scale,
        tall,
        x: (width - this.stack.width * scale) / 2,
        y: (height - this.stack.height * scale * tall) / 2,
      };
    }
    this.#viewChanged();
  }

  /** Zooms by a factor around a point of the stage, its middle unless told. */
  zoom(factor, x, y) {
    this.zoomTo(this.view.scale * factor, x, y);
  }

  zoomTo(scale, x = this.size.width / 2, y = this.size.height / 2) {
    if (this.stack === null) {
      return;
    }
    const least = Math.min(1, this.#fitScale(this.view.tall) * 0.5);
    const next = Math.min(MOST, Math.max(least, scale));
    const ratio = next / this.view.scale;
    this.#look({ scale: next, x: x - (x - this.view.x) * ratio, y: y - (y - this.view.y) * ratio });
  }

  pan(dx, dy) {
    if (this.stack !== null) {
      this.#look({ x: this.view.x + dx, y: this.view.y + dy });
    }
  }

  /** Brings a box {x, y, w, h} of the slice into view, with some room around it. */
  zoomToBox(box) {
    const { width, height } = this.size;
    const { tall } = this.view;
    const scale = Math.min(
      MOST,
      Math.max(
        this.#fitScale(tall),
        0.45 * Math.min(width / Math.max(1, box.w), height / Math.max(1, box.h * tall)),
      ),
    );
    this.#look({
      scale,
      x: width / 2 - (box.x + box.w / 2) * scale,
      y: height / 2 - (box.y + box.h / 2) * scale * tall,
    });
  }

  /** Another part of the slice than all of it. */
  #look(part) {
    Object.assign(this.view, part);
    this.fitted = false;
    this.#viewChanged();
  }

  /** Pixels of the slice (not whole ones) at a point of the stage. */
  toSlice({ x, y }) {
    const { view } = this;
    return [(x - view.x) / view.scale, (y - view.y) / (view.scale * view.tall)];
  }

  /** What is at a pixel: {x, y, value, classes}; null outside. */
  probe(x, y) {
    const { stack } = this;
    if (stack === null || x < 0 || y < 0 || x >= stack.width || y >= stack.height) {
      return null;
    }
    const { state } = this.store;
    const value = stack.at(x, y, state.k);
    return { x, y, value, classes: this.painter.classesAt(x, y, state) };
  }

  redraw() {
    if (this.pending) {
      return;
    }
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.#draw();
    });
  }

  #draw() {
    const { state } = this.store;
    if (this.stack !== null) {
      this.painter.setSlice(this.answer(state.k));
    }
    this.painter.draw(this.context, this.size, this.view, state);
    this.dispatchEvent(new CustomEvent('drawn'));
  }

  #fitScale(tall) {
    return Math.min(
      this.size.width / this.stack.width,
      this.size.height / (this.stack.height * tall),
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
    this.#draw();
  }

  #viewChanged() {
    if (this.stack !== null) {
      const { width, height } = this.size;
      const { scale, tall } = this.view;
      const within = (at, extent, room) =>
        Math.min(room * (1 - KEEP), Math.max(room * KEEP - extent, at));
      this.view.x = within(this.view.x, this.stack.width * scale, width);
      this.view.y = within(this.view.y, this.stack.height * scale * tall, height);
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
}
