// The keyboard on the slice: one table for what keys do and for the page that lists them.

import { el } from './dom.js';
import { PRESETS } from './window.js';

/**
 * Rows of {show: keys as printed, says, on: {key: run(event)}}. Keys are event.key, letters in
 * lower case; `page` is what app.js offers.
 */
export function keyTable(page) {
  const { viewer, store } = page;
  const tool = (name) => () => store.set({ tool: name });
  const toggle = (key) => () => store.set({ [key]: !store.state[key] });
  const arrows = (dx, dy) => (event) => page.arrow(dx, dy, event);
  return [
    {
      show: ['↑', '↓'],
      says: 'Previous, next slice; of a single slice: move it',
      on: { ArrowUp: arrows(0, -1), ArrowDown: arrows(0, 1) },
    },
    {
      show: ['←', '→'],
      says: 'Move; with Shift in all four directions',
      on: { ArrowLeft: arrows(-1, 0), ArrowRight: arrows(1, 0) },
    },
    {
      show: ['PgUp', 'PgDn'],
      says: 'Ten slices back, on',
      on: { PageUp: () => page.step(-10), PageDown: () => page.step(10) },
    },
    {
      show: ['Home', 'End'],
      says: 'First, last slice',
      on: { Home: () => page.goTo(0), End: () => page.goTo(Infinity) },
    },
    { show: ['Space'], says: 'Play, pause', on: { ' ': () => page.play() } },
    {
      show: ['1', '2', '3', '4'],
      says: 'Window: lung, mediastinum, bone, full range',
      on: Object.fromEntries(PRESETS.map(({ name }, i) => [i + 1, () => page.preset(name)])),
    },
    {
      show: ['[', ']', '{', '}'],
      says: 'Window narrower, wider; level down, up',
      on: {
        '[': () => page.adjust(-0.1, 0),
        ']': () => page.adjust(0.1, 0),
        '{': () => page.adjust(0, -0.05),
        '}': () => page.adjust(0, 0.05),
      },
    },
    { show: ['C'], says: 'Contrast from this slice', on: { c: () => page.contrast() } },
    {
      show: ['+', '−', '0', 'X'],
      says: 'Zoom in, out, fit, one to one',
      on: {
        '+': () => viewer.zoom(1.25),
        '=': () => viewer.zoom(1.25),
        '-': () => viewer.zoom(0.8),
        _: () => viewer.zoom(0.8),
        0: () => viewer.fit(),
        x: () => viewer.zoomTo(1),
      },
    },
    {
      show: ['W', 'H', 'R', 'A'],
      says: 'Drag to window, move, measure a length, an area',
      on: {
        w: tool('window'),
        h: tool('pan'),
        r: tool('ruler'),
        a: tool('area'),
      },
    },
    {
      show: ['Enter', 'Del'],
      says: 'Measuring: arrows move the crosshair, Enter sets a point, Del takes back',
      on: {
        Enter: () => page.setPoint(),
        Delete: () => page.removeMeasure(),
        Backspace: () => page.removeMeasure(),
      },
    },
    {
      show: ['N', 'P', 'Z'],
      says: 'Next, previous finding or region; zoom to it',
      on: { n: () => page.choose(1), p: () => page.choose(-1), z: () => page.zoomToChosen() },
    },
    { show: ['V'], says: 'Slice, findings, attention, both', on: { v: () => page.nextMode() } },
    {
      show: ['M', 'B', 'S'],
      says: 'Masks, boxes on and off; filled, outlined, hatched',
      on: {
        m: toggle('masks'),
        b: toggle('boxes'),
        s: () => page.nextStyle(),
      },
    },
    { show: ['Esc'], says: 'Choose nothing, stop measuring', on: { Escape: () => page.escape() } },
  ];
}

/** Listens on the stage, while a picture is there. */
export function wireKeys(stage, table, isLive) {
  const actions = Object.assign({}, ...table.map((row) => row.on));
  stage.addEventListener('keydown', (event) => {
    if (event.target !== stage || event.ctrlKey || event.metaKey || event.altKey || !isLive()) {
      return;
    }
    const run = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (run !== undefined) {
      event.preventDefault();
      run(event);
    }
  });
}

/** The table as a list for the help dialog. */
export function keyList(table) {
  return el(
    'dl.keys',
    table.map(({ show, says }) =>
      el(
        'div',
        el(
          'dt',
          show.map((key) => el('kbd', key)),
        ),
        el('dd', says),
      ),
    ),
  );
}
