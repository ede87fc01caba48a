// What mouse and fingers do on the slice.

const MEASURES = ['ruler', 'area'];
const DRAG = 4; // how far a pointer may move and still be a click
const NOTCH = 50; // wheel units per slice
const WINDOW_STEP = 0.0025; // of the window's width, per CSS pixel dragged

export class Pointer {
  /**
   * actions: {step(slices), window(dWidth, dLevel) as shares of the width, point(probe or null),
   * measure: {begin(kind, at), move(at), end(at)}}, where at is [x, y] in pixels of the slice.
   */
  constructor(viewer, store, actions) {
    this.viewer = viewer;
    this.store = store;
    this.actions = actions;
    this.pointers = new Map();
    this.wheel = 0;
    this.drag = null; // 'window', 'pan', 'zoom', 'ruler', 'area'
    const { canvas, stage } = viewer;
    stage.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    const on = (type, run) => canvas.addEventListener(type, run);
    on('pointerdown', (event) => this.#down(event));
    on('pointermove', (event) => this.#move(event));
    on('pointerup', (event) => this.#up(event));
    on('pointercancel', (event) => this.#lift(event));
    on('pointerleave', () => this.#point(null));
    on('contextmenu', (event) => event.preventDefault());
    on('dblclick', (event) => this.#double(event));
    store.watch(['tool'], ({ tool }) => {
      stage.dataset.tool = tool;
    });
  }

  #at(event) {
    const bounds = this.viewer.canvas.getBoundingClientRect();
    return { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
  }

  #wheel(event) {
    const { stack } = this.viewer;
    if (stack === null) {
      return;
    }
    event.preventDefault();
    const delta = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
    if (stack.depth > 1 && !event.ctrlKey && !event.metaKey) {
      // A notch of a wheel is one slice at least; a touchpad sends many small steps.
      this.wheel += Math.abs(delta) >= NOTCH ? Math.sign(delta) * NOTCH : delta;
      const steps = Math.trunc(this.wheel / NOTCH);
      this.wheel -= steps * NOTCH;
      if (steps !== 0) {
        this.actions.step(steps);
      }
      return;
    }
    const { x, y } = this.#at(event);
    this.viewer.zoom(Math.exp(-delta * 0.0016), x, y);
  }

  #down(event) {
    if (this.viewer.stack === null) {
      return;
    }
    this.viewer.canvas.setPointerCapture(event.pointerId);
    const at = this.#at(event);
    this.pointers.set(event.pointerId, { ...at, startX: at.x, startY: at.y });
    this.moved = this.pointers.size > 1;
    this.drag = this.#dragOf(event);
    if (event.button === 1) {
      event.preventDefault(); // no scrolling by the middle button
    }
  }

  /** What a drag that begins like this does. */
  #dragOf(event) {
    if (event.button === 2) {
      return 'zoom';
    }
    if (event.button === 1 || event.shiftKey || this.pointers.size > 1) {
      return 'pan';
    }
    return this.store.state.tool;
  }

  #move(event) {
    const at = this.#at(event);
    const pointer = this.pointers.get(event.pointerId);
    if (pointer === undefined) {
      this.#point(event.pointerType === 'touch' ? null : at);
      return;
    }
    if (!this.moved) {
      if (Math.hypot(at.x - pointer.startX, at.y - pointer.startY) < DRAG) {
        return;
      }
      this.moved = true;
      this.viewer.stage.classList.add('dragging');
      if (MEASURES.includes(this.drag)) {
        const start = { x: pointer.startX, y: pointer.startY };
        this.actions.measure.begin(this.drag, this.viewer.toSlice(start));
      }
    }
    if (this.pointers.size === 1) {
      this.#dragged(pointer, at);
    } else {
      this.#pinched(event.pointerId, pointer, at);
    }
    Object.assign(pointer, at);
  }

  #dragged(from, to) {
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    if (this.drag === 'pan') {
      this.viewer.pan(dx, dy);
    } else if (this.drag === 'zoom') {
      this.viewer.zoom(Math.exp(-dy * 0.006), from.startX, from.startY);
    } else if (this.drag === 'window') {
      this.actions.window(dx * WINDOW_STEP, dy * WINDOW_STEP);
    } else {
      this.actions.measure.move(this.viewer.toSlice(to));
    }
  }

  #pinched(id, pointer, at) {
    const other = [...this.pointers].find(([one]) => one !== id)[1];
    const before = Math.hypot(pointer.x - other.x, pointer.y - other.y);
    const after = Math.hypot(at.x - other.x, at.y - other.y);
    if (before > 0 && after > 0) {
      this.viewer.pan((at.x - pointer.x) / 2, (at.y - pointer.y) / 2);
      this.viewer.zoom(after / before, (at.x + other.x) / 2, (at.y + other.y) / 2);
    }
  }

  #up(event) {
    const known = this.pointers.has(event.pointerId);
    this.#lift(event);
    if (!known) {
      return;
    }
    if (this.moved) {
      if (MEASURES.includes(this.drag)) {
        this.actions.measure.end(this.viewer.toSlice(this.#at(event)));
      }
    } else if (event.button === 0) {
      this.store.set({ selected: this.#find(this.#at(event)) });
    }
  }

  #lift(event) {
    this.pointers.delete(event.pointerId);
    if (this.pointers.size === 0) {
      this.viewer.stage.classList.remove('dragging');
    }
  }

  #double(event) {
    const { x, y } = this.#at(event);
    if (this.viewer.fitted) {
      this.viewer.zoom(2.5, x, y);
    } else {
      this.viewer.fit();
    }
  }

  #find(at) {
    const [x, y] = this.viewer.toSlice(at);
    return this.viewer.painter.hit(x, y, this.store.state);
  }

  #point(at) {
    let probe = null;
    let hovered = null;
    if (at !== null) {
      const [x, y] = this.viewer.toSlice(at).map(Math.floor);
      probe = this.viewer.probe(x, y);
      hovered = probe === null ? null : this.#find(at);
    }
    this.store.set({ hovered });
    this.viewer.stage.classList.toggle('pointing', hovered !== null);
    this.actions.point(probe);
  }
}
