// What is being looked at and how. Panels and viewer listen for 'change' and read what they need.

import { OBJECT_CLASSES } from './palette.js';

export class Store extends EventTarget {
  constructor() {
    super();
    this.state = {
      k: 0, // slice shown
      window: { name: 'full', width: 255, level: 127.5 },
      tool: 'pan', // what dragging does: 'window', 'pan', 'ruler', 'area'
      cursor: null, // {x, y} of the keyboard's crosshair, in pixels of the slice
      measures: [], // see measure.js
      mode: 'findings', // 'image', 'findings', 'attention', 'both'
      style: 'fill', // of masks: 'fill', 'outline', 'hatch'
      attention: 'for', // 'for', 'against', 'difference'
      layers: Object.fromEntries(
        OBJECT_CLASSES.map((c) => [c.name, { visible: true, opacity: c.opacity }]),
      ),
      boxes: true,
      masks: true,
      threshold: 0,
      hovered: null, // {kind: 'detection' | 'region', index}
      selected: null,
    };
  }

  /** Merges `patch` and tells the listeners which keys changed. */
  set(patch) {
    const changed = Object.keys(patch).filter((key) => !same(this.state[key], patch[key]));
    if (changed.length === 0) {
      return;
    }
    this.state = { ...this.state, ...patch };
    this.dispatchEvent(new CustomEvent('change', { detail: new Set(changed) }));
  }

  setLayer(name, patch) {
    const layers = this.state.layers;
    this.set({ layers: { ...layers, [name]: { ...layers[name], ...patch } } });
  }

  /** Runs now and after every change of one of `keys`. */
  watch(keys, run) {
    this.addEventListener('change', (event) => {
      if (keys.some((key) => event.detail.has(key))) {
        run(this.state);
      }
    });
    run(this.state);
  }
}

/** Whether two references mean the same finding or region. */
export function same(a, b) {
  return a === b || (a?.kind !== undefined && a.kind === b?.kind && a.index === b.index);
}

/** Whether a finding passes the score filter and its class is switched on. */
export function isShown(detection, state) {
  const layer = state.layers[detection.className];
  return detection.score >= state.threshold && (layer === undefined || layer.visible);
}
