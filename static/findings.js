// Findings: switches and opacity per class, the score filter and the table.

import { classMark, el, panel, show, swatch, tableHead, zoomButton } from './dom.js';
import { count, fixed, plural } from './format.js';
import { objectClass, OBJECT_CLASSES } from './palette.js';
import { reveal, wireRows } from './rows.js';
import { isShown } from './store.js';
import { FINDINGS } from './text.js';

export const FINDING_COLUMNS = ['#', 'Class', 'Score', 'Area, px', 'Box x, y, w, h'];

/** The bar below the slice: one switch, line sample and opacity per class. It is the legend too. */
export function layerBar(store) {
  const tallies = OBJECT_CLASSES.map(() => el('span.tally'));
  const cards = OBJECT_CLASSES.map((c, i) => {
    const toggle = el('input', {
      type: 'checkbox',
      role: 'switch',
      checked: true,
      'data-layer': c.name,
      change: () => store.setLayer(c.name, { visible: toggle.checked }),
    });
    const opacity = el('input', {
      type: 'range',
      min: 0,
      max: 100,
      step: 1,
      value: Math.round(c.opacity * 100),
      'aria-label': `Opacity of ${c.label}`,
      'data-opacity': c.name,
      input: () => {
        store.setLayer(c.name, { opacity: opacity.valueAsNumber / 100 });
        opacity.setAttribute('aria-valuetext', `${opacity.value} %`);
      },
    });
    const card = el(
      'div.layer',
      { css: { '--swatch': c.colour } },
      el(
        'label.switch',
        { title: c.hint },
        toggle,
        swatch(c.name),
        el('span.layer-name', c.label),
        tallies[i],
      ),
      opacity,
    );
    store.watch(['layers'], (state) => {
      card.classList.toggle('off', !state.layers[c.name].visible);
      toggle.checked = state.layers[c.name].visible;
    });
    return card;
  });
  const option = (key, label) => {
    const input = el('input', {
      type: 'checkbox',
      checked: true,
      'data-option': key,
      change: () => store.set({ [key]: input.checked }),
    });
    store.watch([key], (state) => {
      input.checked = state[key];
    });
    return el('label.check', input, label);
  };
  const root = el(
    'div.layers',
    { role: 'group', 'aria-label': 'Classes drawn' },
    cards,
    el('div.layer.options', option('masks', 'Masks'), option('boxes', 'Boxes')),
  );
  return {
    root,
    show(slice) {
      OBJECT_CLASSES.forEach(({ name }, i) => {
        const members = slice.detections.filter((d) => d.className === name);
        tallies[i].textContent = count(members.length);
      });
    },
  };
}

/** Panel with the score filter and the table. onOpen(ref): zoom to it. */
export function findingsPanel(store, onOpen) {
  const shownCount = el('output.hint-right', { for: 'score-filter' });
  const filterValue = el('span.value');
  const filter = el('input', {
    id: 'score-filter',
    type: 'range',
    min: 0,
    max: 1,
    step: 0.01,
    value: 0,
    input: () => store.set({ threshold: filter.valueAsNumber }),
  });
  const body = el('tbody');
  const table = el(
    'table.findings',
    el('caption.sr-only', 'Findings, highest score first'),
    tableHead(FINDING_COLUMNS, [null, null, null, 'num', 'num wide']),
    body,
  );
  const scroll = el('div.scroll', table);
  const empty = el('p.empty');
  const zoom = zoomButton(() => onOpen(store.state.selected));
  const root = panel(
    'findings',
    'Findings',
    zoom,
    el('p.lead', FINDINGS.lead),
    el(
      'div.filter',
      el('label', { for: 'score-filter' }, 'Hide scores below ', filterValue),
      shownCount,
      filter,
    ),
    scroll,
    empty,
  );

  let slice = null;
  let rows = [];
  let wired = null;
  const sync = (state) => {
    filterValue.textContent = fixed(state.threshold, 2);
    filter.value = state.threshold;
    if (slice === null) {
      return;
    }
    let visible = 0;
    for (const item of rows) {
      const shown = isShown(slice.detections[item.index], state);
      show(item.row, shown);
      visible += shown ? 1 : 0;
    }
    shownCount.textContent = `${visible} of ${rows.length} shown`;
    show(scroll, visible > 0);
    show(empty, visible === 0);
    empty.textContent = rows.length === 0 ? FINDINGS.none : FINDINGS.hidden;
    zoom.disabled = state.selected?.kind !== 'detection';
    wired.mark();
  };
  store.watch(['threshold', 'layers', 'selected', 'hovered'], sync);
  store.watch(['selected'], ({ selected }) => reveal(scroll, rows, selected));
  return {
    root,
    show(next) {
      slice = next;
      rows = slice.detections.map(findingRow);
      body.replaceChildren(...rows.map((r) => r.row));
      wired = wireRows(rows, store, onOpen);
      sync(store.state);
    },
  };
}

function findingRow(d) {
  const c = objectClass(d.className);
  const button = el(
    'button.pick',
    {
      'aria-label':
        `Finding ${d.id}: ${c.label}, score ${fixed(d.score, 2)}, ` + `${plural(d.area, 'pixel')}`,
    },
    String(d.id),
  );
  const box = [d.box.x, d.box.y, d.box.w, d.box.h]
    .map((v) => (v >= 10 ? Math.round(v) : Number(v.toFixed(1))))
    .join(', ');
  const row = el(
    'tr',
    { css: { '--swatch': c.colour }, 'data-finding': d.index },
    el('td', button),
    el('td', classMark(c)),
    el(
      'td',
      el(
        'span.score',
        { css: { '--value': `${d.score * 100}%` } },
        el('span.score-bar', { 'aria-hidden': 'true' }),
        fixed(d.score, 2),
      ),
    ),
    el('td.num', count(d.area)),
    el('td.num.wide.mono', box),
  );
  return { kind: 'detection', index: d.index, button, row };
}
