// Taking measures: by dragging, or with the keyboard's crosshair; and the list of what was taken.

import { el, fill, panel } from './dom.js';
import { icon } from './icons.js';
import { measureText } from './measure.js';

const NAMES = { ruler: 'Length', area: 'Area' };

/** onShow(k): the reader wants to see slice k. say(text) tells what was measured. */
export class Measures {
  constructor(viewer, store, { onShow, say }) {
    this.viewer = viewer;
    this.store = store;
    this.onShow = onShow;
    this.say = say;
    this.open = null; // the one being drawn
    this.count = 0;
    this.list = el('ul.measures');
    this.root = panel(
      'measures',
      'Measurements',
      el('button.text-button', { click: () => this.store.set({ measures: [] }) }, 'Remove all'),
      this.list,
      el('p.note', 'Taken on this page from the pixels of the file; no part of the answer.'),
    );
    store.watch(['measures'], () => this.#fill());
    store.watch(['tool'], ({ tool }) => {
      this.#drop();
      if (tool !== 'ruler' && tool !== 'area') {
        store.set({ cursor: null });
      }
    });
  }

  begin(kind, at) {
    const { k } = this.store.state;
    this.open = { id: ++this.count, kind, k, a: at, b: at };
    this.#put();
  }

  move(at) {
    if (this.open !== null) {
      this.open = { ...this.open, b: at };
      this.#put();
    }
  }

  end(at) {
    if (this.open !== null) {
      this.move(at);
      const done = this.open;
      this.open = null;
      this.#fill();
      this.say(`${NAMES[done.kind]}: ${measureText(done, this.viewer.stack)}.`);
    }
  }

  /** Moves the crosshair; it appears in the middle of what can be seen. */
  moveCursor(dx, dy) {
    const { stack, size } = this.viewer;
    const { cursor } = this.store.state;
    const middle = this.viewer.toSlice({ x: size.width / 2, y: size.height / 2 }).map(Math.floor);
    const [x, y] = cursor === null ? middle : [cursor.x + dx, cursor.y + dy];
    const within = (v, n) => Math.min(n - 1, Math.max(0, v));
    const next = { x: within(x, stack.width), y: within(y, stack.height) };
    this.store.set({ cursor: next });
    this.move([next.x + 0.5, next.y + 0.5]);
    return next;
  }

  /** Enter at the crosshair: one end, then the other. */
  setPoint() {
    const { cursor, tool } = this.store.state;
    if (cursor === null) {
      this.moveCursor(0, 0);
    } else if (this.open === null) {
      this.begin(tool, [cursor.x + 0.5, cursor.y + 0.5]);
      this.say('First point set. Move with the arrow keys, Enter sets the second.');
    } else {
      this.end([cursor.x + 0.5, cursor.y + 0.5]);
    }
  }

  /** Escape: gives up what is being drawn, then the crosshair. Whether there was anything. */
  cancel() {
    if (this.open !== null) {
      this.#drop();
      return true;
    }
    const had = this.store.state.cursor !== null;
    this.store.set({ cursor: null });
    return had;
  }

  /** Takes back the last one of this slice. */
  removeLast() {
    const { measures, k } = this.store.state;
    const last = measures.filter((m) => m.k === k).at(-1);
    if (last !== undefined) {
      this.#without(last.id);
      this.say('Measurement removed.');
    }
  }

  #put() {
    const rest = this.store.state.measures.filter((m) => m.id !== this.open.id);
    this.store.set({ measures: [...rest, this.open] });
  }

  #drop() {
    if (this.open !== null) {
      const { id } = this.open;
      this.open = null;
      this.#without(id);
    }
  }

  #without(id) {
    this.store.set({ measures: this.store.state.measures.filter((m) => m.id !== id) });
  }

  #fill() {
    const { measures } = this.store.state;
    const { stack } = this.viewer;
    this.root.hidden = measures.length === 0 || stack === null;
    if (this.root.hidden || this.open !== null) {
      return;
    }
    fill(
      this.list,
      measures.map((m) => {
        const words = measureText(m, stack);
        const where = stack.depth > 1 ? ` · slice ${m.k + 1}` : '';
        return el(
          'li',
          { 'data-measure': m.kind },
          el(
            'button.measure',
            { click: () => this.onShow(m.k) },
            icon(m.kind),
            el('span', words),
            el('span.hint-right', where),
          ),
          el(
            'button.icon-button.small',
            {
              'aria-label': `Remove ${NAMES[m.kind].toLowerCase()} ${words}`,
              click: () => this.#without(m.id),
            },
            icon('close'),
          ),
        );
      }),
    );
  }
}
