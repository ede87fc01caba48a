// The tools around the slice, and what keys and pointer do with them.

import { byId, el, onClick, segmented, show } from './dom.js';
import { bytes, count, fixed } from './format.js';
import { toWorld, worldText } from './orient.js';
import { firstWindow, PRESETS, presetWindow } from './window.js';

const PAN_STEP = 48; // CSS pixels
const MODES = [
  { value: 'image', label: 'Slice', title: 'The slice alone' },
  { value: 'findings', label: 'Findings', title: 'Outlined areas' },
  { value: 'attention', label: 'Attention', title: 'Regions the class was decided from' },
  { value: 'both', label: 'Both', title: 'Findings and regions' },
];
const STYLES = [
  { value: 'fill', label: 'Filled', icon: 'filled', title: 'Masks as tinted areas (S)' },
  { value: 'outline', label: 'Outlined', icon: 'outlined', title: 'Masks as lines only (S)' },
  { value: 'hatch', label: 'Hatched', icon: 'hatched', title: 'Masks as hatched areas (S)' },
];
const TOOLS = [
  { value: 'window', label: 'Window', icon: 'contrast', title: 'Drag: window and level (W)' },
  { value: 'pan', label: 'Move', icon: 'hand', title: 'Drag: move the slice (H)' },
  { value: 'ruler', label: 'Ruler', icon: 'ruler', title: 'Drag: measure a length (R)' },
  { value: 'area', label: 'Area', icon: 'area', title: 'Drag: measure an area (A)' },
];

export class Stage {
  /** parts: {viewer, store, bar, measures, goTo(k), current()}. */
  constructor(parts) {
    Object.assign(this, parts);
    this.stage = byId('stage');
    this.#tools();
    this.#watch();
    const step = (n) => this.#step(n);
    this.pointer = {
      step,
      window: (wide, level) => this.#adjust(wide, level),
      point: (probe) => this.#probe(probe),
      measure: this.measures,
    };
    this.keys = {
      arrow: (dx, dy, event) => this.#arrow(dx, dy, event.shiftKey),
      step,
      goTo: (k) => this.goTo(k),
      play: () => this.bar.toggle(),
      preset: (name) => this.preset(name),
      adjust: (wide, level) => this.#adjust(wide, level),
      contrast: () => this.#contrast(),
      setPoint: () => this.#measuring() && this.measures.setPoint(),
      removeMeasure: () => this.measures.removeLast(),
      nextMode: () => this.#next('mode', MODES),
      nextStyle: () => this.#next('style', STYLES),
      escape: () => this.measures.cancel() || this.store.set({ selected: null }),
    };
  }

  /** Shows a case whose size is known; its pixels may still be coming. */
  open(item) {
    const { stack } = item;
    item.window ??= stack.bits === 16 ? presetWindow('auto', stack) : firstWindow(stack);
    item.k = Math.min(item.k, stack.depth - 1);
    const dragging =
      stack.unit === 'HU' && !matchMedia('(pointer: coarse)').matches ? 'window' : 'pan';
    this.store.set({ k: item.k, window: item.window, tool: dragging });
    this.viewer.show(stack, (k) => answerOf(item, k));
    for (const input of document.querySelectorAll('[name=preset]')) {
      input.disabled = stack.unit !== 'HU' && input.value !== 'full';
    }
  }

  /** After all pixels are there. */
  complete(item) {
    const { stack } = item;
    if (stack === null) {
      return;
    }
    // Values of a picture in a volume's file: it has been windowed already.
    if (stack.unit === 'HU' && stack.low >= 0 && stack.range[1] <= 255 && stack.range[0] >= 0) {
      Object.assign(stack, { unit: 'grey', bits: 8 });
      item.window = null;
      this.open(item);
    }
    if (item.window.name === 'full') {
      this.preset('full');
    }
    if (!item.moved && stack.depth > 1) {
      this.goTo(Math.floor(stack.depth / 2));
      item.moved = false;
    }
  }

  /** What a case is, in one line. */
  describe({ stack, size }) {
    if (stack === null) {
      return bytes(size);
    }
    const { spacing } = stack;
    const mm = (v) => String(Number(fixed(v, 2)));
    return [
      `${stack.width} × ${stack.height}${stack.depth > 1 ? ` × ${stack.depth}` : ''} px`,
      spacing ? `${spacing.map(mm).join(' × ')} mm` : null,
      stack.bits === 16 ? '16 bit' : null,
      stack.complete ? null : `unpacked ${count((100 * stack.loaded) / stack.depth)} %`,
      bytes(size),
    ]
      .filter(Boolean)
      .map((part) => part.replaceAll(' ', '\u00a0')) // lines break between them
      .join(' · ');
  }

  preset(name) {
    const { stack } = this.viewer;
    if (stack !== null && (stack.unit === 'HU' || name === 'full' || name === 'auto')) {
      this.#setWindow(presetWindow(name, stack, this.store.state.k));
    }
  }

  #setWindow(next) {
    const item = this.current();
    item.window = next;
    this.store.set({ window: next });
  }

  /** Changes the window by shares of its width. */
  #adjust(wide, level) {
    const { stack } = this.viewer;
    if (stack === null) {
      return;
    }
    const { window: w } = this.store.state;
    const [least, round] = stack.unit === 'HU' ? [1, Math.round] : [2, Number];
    this.#setWindow({
      name: 'own',
      width: round(Math.max(least, w.width * (1 + wide))),
      level: round(w.level + level * w.width),
    });
  }

  #contrast() {
    const { stack } = this.viewer;
    if (stack !== null) {
      const on = this.store.state.window.name === 'auto';
      this.#setWindow(on ? firstWindow(stack) : presetWindow('auto', stack, this.store.state.k));
    }
  }

  #step(n) {
    this.goTo(this.store.state.k + n);
  }

  #arrow(dx, dy, shift) {
    if (this.#measuring() && (!shift || this.store.state.cursor !== null)) {
      const far = shift ? 10 : 1;
      const at = this.measures.moveCursor(far * dx, far * dy);
      this.#probe(this.viewer.probe(at.x, at.y));
    } else if (dy !== 0 && this.viewer.stack.depth > 1 && !shift) {
      this.#step(dy);
    } else {
      this.viewer.pan(-dx * PAN_STEP, -dy * PAN_STEP);
    }
  }

  #measuring() {
    return ['ruler', 'area'].includes(this.store.state.tool);
  }

  #next(key, choices) {
    const at = choices.findIndex((choice) => choice.value === this.store.state[key]);
    this.store.set({ [key]: choices[(at + 1) % choices.length].value });
  }

  #tools() {
    const { store, viewer } = this;
    const pick = (key) => (value) => store.set({ [key]: value });
    byId('modes').append(segmented('What to draw', 'mode', MODES, 'findings', pick('mode')));
    byId('tools').append(segmented('What dragging does', 'tool', TOOLS, 'pan', pick('tool')));
    byId('styles').append(segmented('Masks', 'style', STYLES, 'fill', pick('style')));
    const presets = PRESETS.map((p, i) => ({
      value: p.name,
      label: p.label,
      title:
        (p.width === undefined ? 'All values' : `Width ${p.width}, level ${p.level} HU`) +
        ` (${i + 1})`,
    }));
    byId('presets').append(
      segmented('Window', 'preset', presets, 'full', (name) => this.preset(name)),
    );
    onClick('contrast', () => this.#contrast());
    onClick('zoom-in', () => viewer.zoom(1.5));
    onClick('zoom-out', () => viewer.zoom(1 / 1.5));
    onClick('zoom-fit', () => viewer.fit());
    viewer.addEventListener('view', (event) => {
      byId('zoom-level').textContent = `${Math.round(event.detail.scale * 100)} %`;
      byId('zoom-fit').setAttribute('aria-pressed', String(event.detail.fitted));
    });
  }

  #watch() {
    const { store } = this;
    const check = (name, value) => {
      for (const input of document.querySelectorAll(`[name=${name}]`)) {
        input.checked = input.value === value;
      }
    };
    store.watch(['mode'], ({ mode }) => {
      this.stage.dataset.mode = mode;
      show(byId('attention-legend'), mode === 'attention' || mode === 'both');
      byId('layer-bar').classList.toggle('quiet', mode === 'image' || mode === 'attention');
      check('mode', mode);
    });
    store.watch(['tool'], ({ tool }) => check('tool', tool));
    store.watch(['style'], ({ style }) => check('style', style));
    store.watch(['window'], ({ window: w }) => {
      check('preset', w.name);
      byId('contrast').setAttribute('aria-pressed', String(w.name === 'auto'));
      byId('window-level').textContent = `W ${fixed(w.width, 0)}  L ${fixed(w.level, 0)}`;
    });
    // A choice made in the list should be visible on the slice.
    store.watch(['selected'], ({ selected, mode }) => {
      const wanted = selected?.kind === 'detection' ? 'findings' : 'attention';
      if (selected !== null && mode !== wanted && mode !== 'both') {
        store.set({ mode: wanted });
      }
    });
  }

  #probe(probe) {
    const box = byId('probe');
    show(box, probe !== null);
    if (probe === null) {
      return;
    }
    const { stack } = this.viewer;
    const { x, y, value } = probe;
    const what =
      value === null
        ? 'not unpacked yet'
        : stack.unit === 'HU'
          ? `${fixed(value, 0).replace('-', '−')} HU`
          : `grey ${fixed(value, 0)}`;
    const world =
      stack.affine === null
        ? ''
        : `  ${worldText(toWorld(stack.affine, [x, y, this.store.state.k]))}`;
    box.replaceChildren(
      el('span', `x ${x}  y ${y}  ${what}${world}`),
      ...probe.classes.map((c) =>
        el('span.probe-class', { css: { '--swatch': c.colour } }, c.short),
      ),
    );
  }
}

/** The answer for a slice, for drawing: one that cannot be read is told elsewhere. */
function answerOf(item, k) {
  try {
    return item.slice(k);
  } catch {
    return null;
  }
}
