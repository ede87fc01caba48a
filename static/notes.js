// Warnings of the service and notes of this page: at the top, or where they matter.

import { el, fill, panel, show } from './dom.js';
import { icon } from './icons.js';
import { WARNING_PLACES, WARNING_TITLES } from './text.js';

/** `id`: of the panel. Shows warnings [{code, detail, title}] that have no place of their own. */
export function notesPanel(id) {
  const list = el('ul.warnings');
  const root = panel(id, 'Please note', null, list);
  root.classList.add('notes');
  return {
    root,
    show(notes) {
      const here = notes.filter((note) => !(note.code in WARNING_PLACES));
      show(root, here.length > 0);
      fill(list, here.map(line));
    },
  };
}

/** The warnings of a slice that belong to a place; null when there are none. */
export function inPlace(slice, place) {
  const here = slice.warnings.filter((note) => WARNING_PLACES[note.code] === place);
  return here.length === 0 ? null : el('ul.warnings.in-place', here.map(line));
}

function line({ code, title, detail }) {
  return el(
    'li',
    { 'data-warning': code, title: code },
    icon('alert'),
    el('p', el('strong', title ?? WARNING_TITLES[code] ?? code), detail ? ` ${detail}` : null),
  );
}
