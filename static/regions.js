// The regions the class was decided from, and how much each branch attended to them.

import { classMark, el, fill, panel, segmented, show, zoomButton } from './dom.js';
import { fixed, percent, signedPercent } from './format.js';
import { icon } from './icons.js';
import { inPlace } from './notes.js';
import { ATTENTION, objectClass } from './palette.js';
import { reveal, wireRows } from './rows.js';
import { REGIONS } from './text.js';

const BRANCHES = [
  { value: 'for', label: 'For', title: REGIONS.for },
  { value: 'against', label: 'Against', title: REGIONS.against },
  { value: 'difference', label: 'Difference', title: REGIONS.difference },
];

/** onOpen(ref): zoom to it. onReveal(): the reader asked for the regions on the slice. */
export function regionsPanel(store, onOpen, onReveal) {
  const list = el('ol.regions.scroll');
  const explain = el('p.lead');
  const note = el('p.note');
  const places = el('div');
  const even = el('p.axis-note');
  const lead = el('p.lead');
  const sort = el('input', { type: 'checkbox', checked: true, change: () => arrange() });
  const branches = segmented(
    'Attention branch',
    'branch',
    BRANCHES,
    store.state.attention,
    (value) => store.set({ attention: value }),
  );
  const seeButton = el('button.text-button', { click: onReveal }, icon('eye'), 'Show on slice');
  const zoom = zoomButton(() => onOpen(store.state.selected));
  const controls = el('div.row-controls', branches, el('label.check', sort, 'Strongest first'));
  const root = panel(
    'regions',
    'Where the model looked',
    [seeButton, zoom],
    lead,
    controls,
    explain,
    list,
    even,
    note,
    places,
  );

  let slice = null;
  let rows = [];
  let wired = null;

  function arrange() {
    const branch = store.state.attention;
    const order = sort.checked
      ? [...rows].sort((a, b) => weightOf(b, branch) - weightOf(a, branch))
      : rows;
    list.replaceChildren(...order.map((r) => r.row));
    for (const node of list.querySelectorAll('.weight, .weight-values span')) {
      node.classList.toggle('shown', node.classList.contains(branch));
    }
    wired.reorder(order);
    wired.mark();
  }

  const sync = (state) => {
    explain.textContent = REGIONS[state.attention];
    list.dataset.branch = state.attention;
    if (wired !== null) {
      arrange();
    }
  };
  store.watch(['attention'], sync);
  store.watch(['selected', 'hovered'], () => wired?.mark());
  store.watch(['selected'], ({ selected }) => reveal(list, rows, selected));
  const offer = (state) => {
    const drawn = state.mode === 'attention' || state.mode === 'both';
    show(seeButton, !drawn && slice !== null && slice.regions.length > 0);
    show(zoom, drawn && state.selected?.kind === 'region');
  };
  store.watch(['mode', 'selected'], offer);

  return {
    root,
    show(next) {
      slice = next;
      const n = slice.regions.length;
      const some = n > 0;
      [controls, explain, list, even].forEach((node) => show(node, some));
      offer(store.state);
      lead.textContent = some ? REGIONS.lead(n) : slice.explained ? REGIONS.none : REGIONS.absent;
      const repeats = slice.regions.filter((r) => r.padded).length;
      show(note, repeats > 0);
      note.textContent = REGIONS.repeats(slice.uniqueRegions, repeats);
      fill(places, inPlace(slice, 'regions'));
      even.textContent = some ? REGIONS.even(n) : '';
      const strongest = Math.max(
        1e-9,
        ...slice.regions.flatMap((r) => [r.weights.for, r.weights.against]),
      );
      rows = slice.regions.map((region) => regionRow(region, strongest, n));
      wired = wireRows(rows, store, onOpen);
      arrange();
    },
  };
}

function weightOf(item, branch) {
  return branch === 'difference'
    ? Math.abs(item.region.weights.difference)
    : item.region.weights[branch];
}

function regionRow(region, strongest, n) {
  const c = objectClass(region.className);
  const { weights } = region;
  const bar = (branch) =>
    el('span', {
      class: `weight ${branch}`,
      css: {
        '--value': `${(100 * weights[branch]) / strongest}%`,
        '--colour': ATTENTION[branch].colour,
        '--even': `${100 / n / strongest}%`,
      },
    });
  const difference = el('span', {
    class: `weight difference ${weights.difference < 0 ? 'minus' : 'plus'}`,
    css: {
      '--value': `${(50 * Math.abs(weights.difference)) / strongest}%`,
      '--colour': ATTENTION[weights.difference < 0 ? 'against' : 'for'].colour,
    },
  });
  const button = el(
    'button.region',
    {
      'aria-label':
        `Region ${region.rank}, ${c.label}${region.padded ? ', a repeat' : ''}: ` +
        `for ${percent(weights.for)}, against ${percent(weights.against)}, ` +
        `difference ${signedPercent(weights.difference)}`,
    },
    el('span.rank', `#${region.rank}`),
    classMark(c, region.padded ? el('span.badge', 'repeat') : null),
    el('span.bars', { 'aria-hidden': 'true' }, bar('for'), bar('against'), difference),
    el(
      'span.weight-values',
      { 'aria-hidden': 'true' },
      el('span.for', percent(weights.for)),
      el('span.against', percent(weights.against)),
      el('span.difference', signedPercent(weights.difference)),
    ),
  );
  button.title = Number.isFinite(region.score) ? `Region score ${fixed(region.score, 2)}` : '';
  const row = el('li', { 'data-region': region.index }, button);
  return { kind: 'region', index: region.index, region, row, button };
}
