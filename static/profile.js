// How much of the lung is affected, slice by slice, as a plot.

import { el } from './dom.js';
import { percent } from './format.js';
import { objectClass } from './palette.js';
import { FONT } from './pen.js';

const EDGES = { left: 40, top: 8, right: 8, bottom: 18 }; // around the plot, at 16 px per rem
const STEPS = [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1]; // ends of the axis

/**
 * Draws bars of a case's tally: GGO and consolidation, stacked. k: the slice to mark, or null.
 * plain: bars and state only, no axis.
 */
export function drawProfile(canvas, item, k, { plain = false, ink = null } = {}) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (width === 0 || height === 0) {
    return;
  }
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext('2d');
  context.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  const text = ink ?? style.color;
  const larger = ink === null ? unit() : 1;
  const area = plain ? { left: 0, top: 0, width, height } : areaOf(canvas, larger);
  const { depth, tally } = item;
  const step = area.width / depth;
  const top = topOf(tally);
  const at = (index) => area.left + index * step;
  const high = (share) => (share / top) * area.height;
  const bar = Math.max(step, 0.8);
  for (let index = 0; index < depth; index++) {
    const shares = tally.shares(index);
    const x = at(index);
    if (shares === null) {
      continue;
    }
    context.globalAlpha = plain ? 0.28 : 0.1;
    context.fillStyle = text;
    context.fillRect(x, area.top, bar, area.height);
    context.globalAlpha = 1;
    let y = area.top + area.height;
    for (const name of ['consolidation', 'ggo']) {
      const length = high(shares[name]);
      context.fillStyle = objectClass(name).colour;
      context.fillRect(x, y - length, bar > 3 ? bar - 0.6 : bar, length);
      y -= length;
    }
  }
  if (plain) {
    return;
  }
  axes(context, area, { depth, top, text, unit: larger });
  if (k !== null) {
    context.fillStyle = text;
    context.fillRect(at(k) + step / 2 - 0.75, area.top - 4, 1.5, area.height + 8);
    context.beginPath();
    context.arc(at(k) + step / 2, area.top - 3, 3.5, 0, 7);
    context.fill();
  }
}

/** How much larger than usual the page is set. */
function unit() {
  return parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
}

function areaOf({ clientWidth, clientHeight }, u) {
  const { left, top, right, bottom } = EDGES;
  return {
    left: left * u,
    top: top * u,
    width: clientWidth - (left + right) * u,
    height: clientHeight - (top + bottom) * u,
  };
}

function topOf(tally) {
  const most = Math.min(1, tally.worst(1)[0]?.share ?? 0);
  return STEPS.find((s) => s >= most) ?? 1;
}

function axes(context, area, { depth, top, text, unit: u }) {
  context.strokeStyle = text;
  context.fillStyle = text;
  context.lineWidth = 1;
  context.font = `${11 * u}px ${FONT}`;
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  for (const share of [0, top / 2, top]) {
    const y = Math.round(area.top + area.height * (1 - share / top)) + 0.5;
    context.globalAlpha = share === 0 ? 0.7 : 0.18;
    context.beginPath();
    context.moveTo(area.left, y);
    context.lineTo(area.left + area.width, y);
    context.stroke();
    context.globalAlpha = 0.85;
    const digits = top < 0.1 && share > 0 ? 1 : 0;
    context.fillText(percent(share, digits), area.left - 5 * u, y);
  }
  context.textBaseline = 'top';
  const under = area.top + area.height + 5 * u;
  context.textAlign = 'left';
  context.fillText('1', area.left, under);
  context.textAlign = 'right';
  context.fillText(`slice ${depth}`, area.left + area.width, under);
  context.globalAlpha = 1;
}

/** The plot as a control: click, drag or arrow keys go to a slice, onGo(k), the nearest there is. */
export class ProfilePlot {
  constructor(onGo) {
    this.onGo = onGo;
    this.item = null;
    this.k = 0;
    this.canvas = el('canvas.profile-canvas');
    this.root = el(
      'div.profile',
      {
        id: 'profile',
        role: 'slider',
        tabindex: '0',
        'aria-label': 'Affected share of the lung, slice by slice',
        'aria-valuemin': 1,
        pointerdown: (event) => this.#down(event),
        pointermove: (event) => event.buttons === 1 && this.#point(event),
        keydown: (event) => this.#key(event),
      },
      this.canvas,
    );
    new ResizeObserver(() => this.redraw()).observe(this.canvas);
    matchMedia('(prefers-color-scheme: light)').addEventListener('change', () => this.redraw());
  }

  show(item) {
    this.item = item;
    this.root.setAttribute('aria-valuemax', item.depth);
    this.redraw();
  }

  set(k) {
    this.k = k;
    this.redraw();
  }

  redraw() {
    if (this.item === null) {
      return;
    }
    drawProfile(this.canvas, this.item, this.k);
    const shares = this.item.tally.shares(this.k);
    const affected = shares === null ? 'no answer yet' : percent(shares.ggo + shares.consolidation);
    this.root.setAttribute('aria-valuenow', this.k + 1);
    this.root.setAttribute('aria-valuetext', `slice ${this.k + 1}: ${affected}`);
  }

  #down(event) {
    this.root.setPointerCapture(event.pointerId);
    this.#point(event);
  }

  #point(event) {
    const bounds = this.canvas.getBoundingClientRect();
    const { left, width } = areaOf(this.canvas, unit());
    const share = (event.clientX - bounds.left - left) / width;
    this.onGo(Math.floor(share * this.item.depth));
  }

  #key(event) {
    const steps = {
      ArrowRight: 1,
      ArrowUp: 1,
      ArrowLeft: -1,
      ArrowDown: -1,
      PageUp: 10,
      PageDown: -10,
      Home: -Infinity,
      End: Infinity,
    };
    if (event.key in steps) {
      event.preventDefault();
      this.onGo(this.k + steps[event.key]);
    }
  }
}
