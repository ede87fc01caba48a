// Draws a slice and everything over it onto a canvas: of the page, or of a picture to save.

import { drawMeasures } from './measure.js';
import { drawFindings, drawRegions } from './overlays.js';
import { objectClass } from './palette.js';
import { Pen } from './pen.js';
import { placesOf } from './slice.js';
import { isShown } from './store.js';
import { GreyPlane } from './window.js';

const MARK = '#ffd98a';

export class Painter {
  constructor() {
    this.stack = null;
    this.slice = null;
    this.noise = false; // untrained weights: say so across the picture
    this.plane = new GreyPlane();
  }

  setStack(stack) {
    this.stack = stack;
    this.slice = null;
    if (stack === null) {
      this.plane.release();
    }
  }

  /** The answer for the slice shown, or null. */
  setSlice(slice) {
    if (slice !== this.slice) {
      this.slice = slice;
      this.places = slice === null ? [] : placesOf(slice.regions);
    }
  }

  /**
   * Draws into `size` {width, height, ratio} (CSS pixels, device pixels per CSS pixel) with the
   * slice's corner at view {x, y} and one of its pixels `view.scale` CSS pixels wide.
   */
  draw(context, size, view, state) {
    context.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
    context.clearRect(0, 0, size.width, size.height);
    const { stack, slice } = this;
    if (stack === null) {
      return;
    }
    context.imageSmoothingEnabled = view.scale * size.ratio < 3;
    context.imageSmoothingQuality = 'high';
    context.drawImage(
      this.plane.draw(stack, state.k, state.window),
      view.x,
      view.y,
      stack.width * view.scale,
      stack.height * view.scale * view.tall,
    );
    const pen = new Pen(context, size, view);
    if (slice !== null) {
      if (state.mode === 'findings' || state.mode === 'both') {
        drawFindings(pen, slice, state);
      }
      if (state.mode === 'attention' || state.mode === 'both') {
        drawRegions(pen, this.places, state);
      }
      context.globalAlpha = 1;
      pen.placeTags();
      if (this.noise) {
        this.#watermark(pen);
      }
    }
    drawMeasures(pen, stack, state);
    this.#marks(pen);
  }

  /** What lies under a point of the slice: a reference for the store, or null. */
  hit(x, y, state) {
    if (this.slice === null || state.mode === 'image') {
      return null;
    }
    const inside = (box) => x >= box.x && y >= box.y && x < box.x + box.w && y < box.y + box.h;
    const smallest = (items, areaOf) =>
      items.sort((a, b) => areaOf(a) - areaOf(b))[0] ?? null;
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

  /** Which way the patient lies: letters at the edges of what can be seen of the slice. */
  #marks(pen) {
    const { marks, width, height } = this.stack;
    if (marks === null || marks === undefined) {
      return;
    }
    const { context, size, unit } = pen;
    const area = pen.toScreen({ x: 0, y: 0, w: width, h: height });
    const left = Math.max(0, area.x);
    const right = Math.min(size.width, area.x + area.w);
    const top = Math.max(0, area.y);
    const bottom = Math.min(size.height, area.y + area.h);
    const inset = 13 * unit;
    context.font = pen.font(700, 15);
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.lineWidth = 3 * unit;
    context.lineJoin = 'round';
    context.strokeStyle = 'rgba(4, 7, 10, 0.8)';
    context.fillStyle = MARK;
    for (const [text, x, y] of [
      [marks.left, left + inset, (top + bottom) / 2],
      [marks.right, right - inset, (top + bottom) / 2],
      [marks.top, (left + right) / 2, top + inset],
      [marks.bottom, (left + right) / 2, bottom - inset],
    ]) {
      context.strokeText(text, x, y);
      context.fillText(text, x, y);
    }
  }

  #watermark(pen) {
    const { context, size } = pen;
    context.save();
    context.beginPath();
    const { width: w, height: h } = this.stack;
    const area = pen.toScreen({ x: 0, y: 0, w, h });
    context.rect(area.x, area.y, area.w, area.h);
    context.clip();
    context.translate(size.width / 2, size.height / 2);
    context.rotate(-Math.PI / 7);
    context.font = pen.font(800, 22);
    context.textAlign = 'center';
    context.fillStyle = 'rgba(255, 196, 84, 0.20)';
    const [across, down] = [330 * pen.unit, 110 * pen.unit];
    const reach = Math.hypot(size.width, size.height) / 2;
    for (let y = -Math.ceil(reach / down) * down, row = 0; y <= reach; y += down, row++) {
      for (let x = -Math.ceil(reach / across) * across; x <= reach; x += across) {
        context.fillText('UNTRAINED · NOISE', x + ((row % 2) * across) / 2, y);
      }
    }
    context.restore();
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
