// The bar below a volume: which slice is shown, how far the answer is, and playing through it.

import { byId, el, fill } from './dom.js';
import { icon } from './icons.js';
import { drawProfile } from './profile.js';

const SPEEDS = [5, 10, 15, 30]; // slices per second

/** onGo(k): the reader chose a slice. */
export class SliceBar {
  constructor(onGo) {
    this.onGo = onGo;
    this.item = null;
    this.k = 0;
    this.playing = null;
    this.strip = el('canvas.strip', { 'aria-hidden': 'true' });
    this.slider = el('input', {
      type: 'range',
      id: 'slice',
      min: 1,
      step: 1,
      'aria-label': 'Slice',
      input: () => this.#go(this.slider.valueAsNumber - 1),
    });
    this.number = el('output.slice-number', { for: 'slice' });
    this.button = el(
      'button.icon-button',
      {
        id: 'cine',
        'aria-pressed': 'false',
        'aria-label': 'Play through the slices',
        title: 'Play through the slices (Space)',
        click: () => this.toggle(),
      },
      icon('play'),
    );
    this.speed = el(
      'select',
      { 'aria-label': 'Slices per second', change: () => this.#pace() },
      SPEEDS.map((n) => el('option', { value: n, selected: n === 10 }, `${n}/s`)),
    );
    this.first = el('span.end-mark');
    this.last = el('span.end-mark');
    this.root = el(
      'div.slicebar',
      { role: 'group', 'aria-label': 'Slices' },
      this.button,
      this.speed,
      this.first,
      el('div.slice-track', this.strip, this.slider),
      this.last,
      this.number,
    );
  }

  show(item) {
    this.stop();
    this.item = item;
    const depth = item?.depth ?? 1;
    this.slider.max = depth;
    const marks = item?.stack?.marks;
    for (const end of ['first', 'last']) {
      const mark = marks?.[end] ?? '';
      const title = mark === 'I' ? 'towards the feet' : 'towards the head';
      Object.assign(this[end], { textContent: mark, title });
    }
    fill(byId('slicebar'), depth > 1 ? this.root : null);
    this.redraw();
  }

  set(k) {
    this.k = k;
    const depth = this.item?.depth ?? 1;
    this.slider.value = k + 1;
    this.slider.setAttribute('aria-valuetext', `${k + 1} of ${depth}`);
    this.number.textContent = `${k + 1} / ${depth}`;
  }

  /** After answers came, or the size of the page changed. */
  redraw() {
    if (this.item !== null && this.item.depth > 1) {
      drawProfile(this.strip, this.item, null, { plain: true });
    }
  }

  toggle() {
    if (this.playing === null) {
      this.#play();
    } else {
      this.stop();
    }
  }

  stop() {
    clearInterval(this.playing);
    this.playing = null;
    this.#mark();
  }

  #play() {
    const every = 1000 / Number(this.speed.value);
    this.playing = setInterval(() => this.#step(), every);
    this.#mark();
  }

  #pace() {
    if (this.playing !== null) {
      this.stop();
      this.#play();
    }
  }

  #step() {
    const depth = this.item?.depth ?? 0;
    if (depth > 1) {
      this.onGo((this.k + 1) % depth);
    }
  }

  #mark() {
    const on = this.playing !== null;
    this.button.setAttribute('aria-pressed', String(on));
    this.button.replaceChildren(icon(on ? 'pause' : 'play'));
  }

  #go(k) {
    this.stop();
    this.onGo(k);
  }
}
