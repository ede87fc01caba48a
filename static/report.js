// The answer on one page of paper.

import { byId, el, fill, tableHead } from './dom.js';
import { FINDING_COLUMNS } from './findings.js';
import { count, fixed, millilitres, percent } from './format.js';
import { objectClass } from './palette.js';
import { drawProfile } from './profile.js';
import { readSummary } from './volume.js';
import { WARNING_TITLES } from './text.js';

const MOST_ROWS = 12;

/** Builds the page that is printed from {item, slice, model, noise, picture (canvas), k}. */
export function buildReport(view) {
  const profile = el('canvas.report-profile');
  const volume = view.item.depth > 1;
  fill(
    byId('report'),
    el('h2', 'OneShot CT: findings'),
    el(
      'p.report-warning',
      'Research use only – not for diagnosis.',
      view.noise ? ' UNTRAINED WEIGHTS: EVERY RESULT IS NOISE.' : '',
    ),
    el(
      'div.report-columns',
      view.picture,
      el('div', facts(view), volume ? volumeTable(view.item) : null),
    ),
    volume ? el('h3', 'Affected share of the lung, slice by slice') : null,
    volume ? profile : null,
    el('h3', volume ? `Findings of slice ${view.k + 1}` : 'Findings'),
    findings(view.slice),
    warnings(view),
    el(
      'p.report-foot',
      `Model ${view.model.name ?? 'unknown'} ${view.model.version ?? ''}, SHA-256 ` +
        `${view.model.sha256 ?? 'unknown'}. Request ${view.slice.requestId || '–'}. ` +
        `Printed ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC.`,
    ),
  );
  if (volume) {
    drawProfile(profile, view.item, view.k, { ink: '#111111' });
  }
}

/* Rows of a name and a value; those without a value are left out. */
function rowsTable(caption, rows) {
  return el(
    'table',
    el('caption', caption),
    el(
      'tbody',
      rows
        .filter(([, value]) => value !== null)
        .map(([label, value]) => el('tr', el('th', { scope: 'row' }, label), el('td', value))),
    ),
  );
}

function facts({ item, slice, k }) {
  const c = slice.classification;
  const rows = [
    ['File', item.name],
    ['Slice', item.depth > 1 ? `${k + 1} of ${item.depth}` : null],
    ['Assessment', c === null ? 'none' : c.predicted.label],
    ...(c?.classes ?? []).map((one) => [`  ${one.label}`, percent(one.probability)]),
    [
      'Affected share of the lung in this slice',
      Number.isFinite(slice.burden?.affected_pct) ? percent(slice.burden.affected_pct / 100) : '–',
    ],
  ];
  return rowsTable('Three independent sigmoids: they need not add up to 100 %', rows);
}

function volumeTable(item) {
  const { share, parts, vote, worst } = readSummary(item);
  const size = (key) =>
    Number.isFinite(parts.total[`${key}_ml`])
      ? millilitres(parts.total[`${key}_ml`])
      : `${count(parts.total[`${key}_px`])} px`;
  const rows = [
    ['Affected share of the lung', percent(share)],
    ['Lungs', size('lung')],
    ['Ground-glass opacity', size('ggo')],
    ['Consolidation', size('consolidation')],
    ['Vote of the slices', vote === null ? null : vote.predicted],
    ['Most affected slices', worst.map((w) => w.k + 1).join(', ') || null],
    [
      'Slices answered',
      item.answers.size < item.depth ? `${item.answers.size} of ${item.depth}` : null,
    ],
  ];
  return rowsTable('The whole volume', rows);
}

function findings(slice) {
  const list = slice.detections.slice(0, MOST_ROWS);
  if (list.length === 0) {
    return el('p', 'None above the score threshold.');
  }
  return el(
    'table',
    tableHead(FINDING_COLUMNS),
    el(
      'tbody',
      list.map((d) =>
        el(
          'tr',
          el('td', String(d.id)),
          el('td', objectClass(d.className).label),
          el('td', fixed(d.score, 2)),
          el('td', count(d.area)),
          el('td', [d.box.x, d.box.y, d.box.w, d.box.h].map(Math.round).join(', ')),
        ),
      ),
    ),
  );
}

function warnings({ slice, item }) {
  const all = [...item.warnings, ...slice.warnings];
  return all.length === 0
    ? null
    : el(
        'p.report-notes',
        el('b', 'Please note: '),
        all.map((w) => WARNING_TITLES[w.code] ?? w.code).join('; '),
        '.',
      );
}
