// Strokes on a canvas that shows a slice: boxes, outlines, words. Everything is given in pixels of
// the slice and drawn at the width of the screen.

export const FONT = 'ui-sans-serif, system-ui, "Segoe UI", Roboto, Arial, sans-serif';
const INK = '#0a0e13';
const HALO = 'rgba(4, 7, 10, 0.62)';

export class Pen {
  /**
   * size {width, height, ratio} in CSS pixels; view {x, y, scale, tall}: a pixel of the slice is
   * `scale` wide and `scale * tall` high.
   */
  constructor(context, size, view) {
    this.context = context;
    this.size = size;
    this.view = view;
    // On a wall-sized screen the words have to grow with the picture.
    this.unit = Math.max(1, Math.min(2, Math.min(size.width, size.height) / 900));
    this.taken = [];
    this.tags = [];
  }

  font(weight, px) {
    return `${weight} ${px * this.unit}px ${FONT}`;
  }

  point(x, y) {
    const { view } = this;
    return [x * view.scale + view.x, y * view.scale * view.tall + view.y];
  }

  /** The point of the slice that lies some CSS pixels from another. */
  shift([x, y], right, down) {
    const { scale, tall } = this.view;
    return [x + right / scale, y + down / (scale * tall)];
  }

  toScreen(box) {
    const [x, y] = this.point(box.x, box.y);
    const [right, bottom] = this.point(box.x + box.w, box.y + box.h);
    return { x, y, w: right - x, h: bottom - y };
  }

  /** Paths in pixels of the slice as one path in CSS pixels of the canvas. */
  place(...paths) {
    const { x, y, scale, tall } = this.view;
    const placed = new Path2D();
    paths.forEach((path) => placed.addPath(path, new DOMMatrix([scale, 0, 0, scale * tall, x, y])));
    return placed;
  }

  outline(path, look) {
    this.#stroke(this.place(path), look, 0);
  }

  box(box, look) {
    const { x, y, w, h } = this.toScreen(box);
    const path = new Path2D();
    path.rect(x, y, w, h);
    this.#stroke(path, look, 1.6);
  }

  line(points, { colour, closed = false }) {
    const path = new Path2D();
    points.forEach(([x, y]) => path.lineTo(...this.point(x, y)));
    if (closed) {
      path.closePath();
    }
    this.#stroke(path, { colour, width: 1.6 }, 2);
  }

  /** Strokes a path in CSS pixels, over a dark line that is `halo` wider. */
  #stroke(path, { colour, dash = [], width, strength = 1 }, halo) {
    const { context, unit } = this;
    context.lineJoin = 'round';
    context.globalAlpha = strength;
    if (halo > 0) {
      context.strokeStyle = HALO;
      context.lineWidth = width * unit + halo;
      context.stroke(path);
    }
    context.strokeStyle = colour;
    context.lineWidth = width * unit;
    context.setLineDash(dash.map((length) => length * unit));
    context.stroke(path);
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  /** A word to be placed at a box once all are known; the weightiest are placed first. */
  tag(tag) {
    this.tags.push(tag);
  }

  placeTags() {
    this.tags.sort((a, b) => b.weight - a.weight).forEach((tag) => this.#place(tag));
    this.tags = [];
  }

  #place({ text, box, colour, strength, force }) {
    const { size } = this;
    const { x, y, w } = this.toScreen(box);
    if (!force && w < 14) {
      return;
    }
    const [width, height] = this.#sizeOf(text);
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
    this.label(text, left, top, { colour, strength: Math.max(0.75, strength) });
  }

  /** Of the ground of a label. Sets its font. */
  #sizeOf(text) {
    const { context, unit } = this;
    context.font = this.font(600, 11);
    return [Math.ceil(context.measureText(text).width) + 10 * unit, 17 * unit];
  }

  /** Dark words on a coloured ground, its corner at CSS pixels of the canvas. */
  label(text, left, top, { colour, strength = 1 }) {
    const { context, unit } = this;
    const [width, height] = this.#sizeOf(text);
    context.globalAlpha = strength;
    context.fillStyle = colour;
    context.beginPath();
    context.roundRect(left, top, width, height, 3);
    context.fill();
    context.globalAlpha = 1;
    context.fillStyle = INK;
    context.textAlign = 'left';
    context.textBaseline = 'middle';
    context.fillText(text, left + 5 * unit, top + 9 * unit);
  }
}
