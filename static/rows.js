// A list of which one row may be chosen. One stop for the Tab key; the arrow keys move inside.

import { same } from './store.js';

/**
 * Wires `rows` ([{kind, index, button, row}]) to the store: pointing, choosing, keyboard.
 * onOpen(ref) runs on Z or a double click. Returns {mark, reorder}: mark() shows what is chosen
 * after a change, reorder(rows) tells of another order of the same rows.
 */
export function wireRows(initial, store, onOpen) {
  let rows = initial;
  let current = initial[0];
  const focus = (index) => {
    const visible = rows.filter((r) => !r.row.hidden);
    visible[Math.min(visible.length - 1, Math.max(0, index))]?.button.focus();
  };
  rows.forEach((item) => {
    const ref = { kind: item.kind, index: item.index };
    const choose = () => {
      store.set({ selected: same(store.state.selected, ref) ? null : ref });
    };
    item.button.addEventListener('click', (event) => {
      event.stopPropagation();
      choose();
    });
    item.button.addEventListener('focus', () => {
      current = item;
      tabStops();
      // Only the keyboard points with its focus; a click would leave the mark behind.
      if (item.button.matches(':focus-visible')) {
        store.set({ hovered: ref });
      }
    });
    item.button.addEventListener('blur', () => store.set({ hovered: null }));
    item.button.addEventListener('keydown', (event) => {
      const visible = rows.filter((r) => !r.row.hidden);
      const here = visible.indexOf(item);
      const goals = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: visible.length };
      if (event.key in goals) {
        focus(goals[event.key]);
      } else if (event.key === 'z' || event.key === 'Z') {
        onOpen(ref);
      } else {
        return;
      }
      event.preventDefault();
    });
    if (item.row !== item.button) {
      item.row.addEventListener('click', choose);
    }
    item.row.addEventListener('dblclick', () => onOpen(ref));
    item.row.addEventListener('pointerenter', () => store.set({ hovered: ref }));
    item.row.addEventListener('pointerleave', () => store.set({ hovered: null }));
  });

  function tabStops() {
    const reachable =
      current === undefined || current.row.hidden ? rows.find((r) => !r.row.hidden) : current;
    for (const item of rows) {
      item.button.tabIndex = item === reachable ? 0 : -1;
    }
  }

  return {
    mark() {
      const { selected, hovered } = store.state;
      for (const item of rows) {
        const chosen = same(selected, item);
        item.button.setAttribute('aria-pressed', String(chosen));
        item.row.classList.toggle('selected', chosen);
        item.row.classList.toggle('hovered', same(hovered, item));
      }
      tabStops();
    },
    reorder(next) {
      rows = next;
      current = next[0];
      tabStops();
    },
  };
}

/** Scrolls the row that is chosen into its list, without moving the page. */
export function reveal(list, rows, selected) {
  const row = rows.find((one) => same(one, selected))?.row;
  if (row === undefined || row.hidden) {
    return;
  }
  const above = row.offsetTop - list.scrollTop;
  if (above < 36) {
    list.scrollTop = row.offsetTop - 36;
  } else if (above + row.offsetHeight > list.clientHeight) {
    list.scrollTop = row.offsetTop + row.offsetHeight - list.clientHeight;
  }
}
