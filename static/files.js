// The list of opened files, and what each of them is doing.

import { el, fill, panel } from './dom.js';
import { bytes, percent } from './format.js';
import { icon } from './icons.js';

/** What a case is doing, in words. */
export function stateText(item) {
  const { progress } = item;
  switch (item.status) {
    case 'waiting':
      return 'Waiting for its turn';
    case 'sending':
      return progress.share > 0 && progress.share < 1
        ? `Sending, ${percent(progress.share, 0)}`
        : 'Sending';
    case 'queued':
      return progress.place > 0 ? `Place ${progress.place} in the queue` : 'Waiting in the queue';
    case 'running':
      return progress.total > 1
        ? `Slice ${progress.done} of ${progress.total}`
        : 'Analysing the slice';
    case 'done':
      return verdictOf(item);
    case 'stopped':
      return item.answers.size > 0 ? `Stopped after ${item.answers.size} slices` : 'Stopped';
    default:
      return 'Failed';
  }
}

function verdictOf(item) {
  const [worst] = item.tally.worst(1);
  const most = item.answers.size > 1 ? 'up to ' : '';
  return worst === undefined ? 'Done' : `Done, ${most}${percent(worst.share, 0)} affected`;
}

/** actions: {show(item), remove(item)}. */
export function filesPanel(actions) {
  const list = el('ul.files');
  const root = panel('files', 'Files', null, list);
  root.classList.add('files-panel');
  const rows = new Map();

  function rowOf(item) {
    const state = el('span.file-state');
    const bar = el('span.file-bar', { 'aria-hidden': 'true' });
    const open = el(
      'button.file-open',
      { click: () => actions.show(item) },
      el('span.file-title', item.name),
      el('span.file-line', `${bytes(item.size)} · `, state),
    );
    const close = el(
      'button.icon-button.small',
      { 'aria-label': `Close ${item.name}`, title: 'Close', click: () => actions.remove(item) },
      icon('close'),
    );
    return { row: el('li', open, close, bar), open, state, bar };
  }

  return {
    root,
    /** After the list, or what one of it does, changed. */
    show(items, current) {
      root.hidden = items.length === 0;
      for (const item of rows.keys()) {
        if (!items.includes(item)) {
          rows.delete(item);
        }
      }
      items.filter((item) => !rows.has(item)).forEach((item) => rows.set(item, rowOf(item)));
      const wanted = items.map((item) => rows.get(item).row);
      if (
        wanted.some((row, i) => list.children[i] !== row) ||
        list.children.length !== wanted.length
      ) {
        fill(list, wanted);
      }
      items.forEach((item) => this.update(item, current));
    },
    update(item, current) {
      const parts = rows.get(item);
      if (parts === undefined) {
        return;
      }
      const { row, open, state, bar } = parts;
      state.textContent = stateText(item);
      row.dataset.status = item.status;
      open.setAttribute('aria-current', String(item === current));
      bar.style.setProperty('--value', `${100 * shareOf(item)}%`);
    },
  };
}

/** How much of a case is done, 0..1. */
export function shareOf({ status, progress }) {
  if (status === 'done') {
    return 1;
  }
  if (status === 'sending') {
    return progress.total > 1 ? 0 : progress.share;
  }
  return progress.total > 0 ? progress.done / progress.total : 0;
}
