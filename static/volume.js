// The panel of a volume as a whole: how much is affected, where along the body, and the vote.

import { classMark, el, fill, panel, show } from './dom.js';
import { count, fixed, millilitres, percent } from './format.js';
import { imageClass, objectClass } from './palette.js';
import { ProfilePlot } from './profile.js';
import { BURDEN } from './text.js';

const WORST = 6;
const ROWS = [
  ['lungs', 'lung'],
  ['ggo', 'ggo'],
  ['consolidation', 'consolidation'],
];

export class VolumePanel {
  /** onGo(k): show a slice. */
  constructor(onGo) {
    this.onGo = onGo;
    this.plot = new ProfilePlot(onGo);
    this.vote = el('div');
    this.figure = el('div.burden');
    this.table = el('div');
    this.worst = el('ol.worst');
    this.worstTitle = el('h3', 'Most affected slices');
    this.note = el('p.note');
    this.root = panel(
      'volume',
      'The whole volume',
      null,
      this.vote,
      this.figure,
      el('h3', 'Affected share of the lung, slice by slice'),
      this.plot.root,
      this.worstTitle,
      this.worst,
      this.table,
      this.note,
    );
    this.root.id = 'volume-panel';
    show(this.root, false);
  }

  show(item) {
    const some = item !== null && item.depth > 1 && item.answers.size > 0;
    show(this.root, some);
    if (!some) {
      return;
    }
    const summary = readSummary(item);
    this.plot.show(item);
    fill(
      this.figure,
      el('p.figure', percent(summary.share)),
      el('p.figure-label', this.#extent(item, summary)),
    );
    fill(this.vote, voteOf(summary.vote));
    fill(this.table, burdenTable(summary));
    const worst = summary.worst.slice(0, WORST);
    show(this.worstTitle, worst.length > 0);
    fill(
      this.worst,
      worst.map((row) => this.#worstRow(row)),
    );
    this.note.textContent = summary.spacing ? BURDEN.note : BURDEN.noSpacing;
  }

  set(k) {
    this.plot.set(k);
  }

  #extent(item, summary) {
    const where = (summary.share === null ? BURDEN.noLung : BURDEN.share)('volume');
    return item.status === 'done'
      ? where
      : `${where} (${count(item.answers.size)} of ${count(item.depth)} slices so far)`;
  }

  #worstRow({ k, share }) {
    return el(
      'li',
      el(
        'button.chip',
        { 'data-slice': k, click: () => this.onGo(k) },
        `Slice ${k + 1}`,
        el('b', percent(share)),
      ),
    );
  }
}

function voteOf(vote) {
  if (vote === null) {
    return null;
  }
  return [
    el(
      'p.verdict',
      el('span.verdict-name', imageClass(vote.predicted).label),
      el('span.verdict-value', percent(vote.probability)),
    ),
    vote.rule ? el('p.note.vote-rule', `How the slices vote: ${vote.rule}`) : null,
  ];
}

function burdenTable({ parts, spacing }) {
  const sides =
    parts.right === null
      ? [['total', 'Both lungs']]
      : [
          ['right', 'Right'],
          ['left', 'Left'],
          ['total', 'Both'],
        ];
  const cell = (part, key) => {
    const [px, ml] = [part?.[`${key}_px`], part?.[`${key}_ml`]];
    const known = Number.isFinite(ml);
    const share = known ? ml / part.lung_ml : px / part?.lung_px;
    const small = [
      key !== 'lung' && Number.isFinite(share) ? percent(share) : null,
      known && Number.isFinite(px) ? `${count(px)}\u00a0px` : null,
    ].filter(Boolean);
    return el(
      'td.num',
      known ? millilitres(ml) : `${count(px)}\u00a0px`,
      small.length > 0 ? el('small', small.join(' · ')) : null,
    );
  };
  return el(
    'table.burden-table',
    el('caption', spacing ? 'Volume, and share of the lung' : 'Pixels, and share of the lung'),
    el(
      'thead',
      el(
        'tr',
        el('td'),
        sides.map(([, label]) => el('th.num', { scope: 'col' }, label)),
      ),
    ),
    el(
      'tbody',
      ROWS.map(([name, key]) =>
        el(
          'tr',
          el('th', { scope: 'row' }, classMark(objectClass(name))),
          sides.map(([side]) => cell(parts[side], key)),
        ),
      ),
    ),
  );
}

/**
 * The volume in numbers: of the service's summary where there is one, of the slices so far
 * otherwise. {share 0..1 or null, vote or null, worst [{k, share}], parts {right, left, total},
 * spacing: whether volumes are known}. Parts have lung_px, lung_ml, and so on.
 */
export function readSummary(item) {
  const { tally, summary, stack } = item;
  const { totals } = tally;
  const [x, y, z] = stack?.spacing ?? [];
  const ml = stack?.spacing ? (x * y * z) / 1000 : null;
  const own = {};
  for (const [, key] of ROWS) {
    own[`${key}_px`] = totals[key];
    own[`${key}_ml`] = ml === null ? undefined : totals[key] * ml;
  }
  const burden = summary?.burden ?? null;
  const total = { ...own, ...(burden?.total ?? {}) };
  const share = Number.isFinite(burden?.total?.affected_pct)
    ? burden.total.affected_pct / 100
    : totals.share;
  const worst = Array.isArray(summary?.worst_slices)
    ? summary.worst_slices.map((w) => ({ k: w.slice, share: (w.affected_pct ?? 0) / 100 }))
    : tally.worst(WORST);
  const vote = summary?.vote ?? null;
  const winner = vote?.classes?.find((c) => c.name === vote.predicted);
  return {
    share,
    worst,
    vote: winner === undefined ? null : { ...vote, probability: winner.probability },
    parts: { right: burden?.right ?? null, left: burden?.left ?? null, total },
    spacing: Number.isFinite(total.lung_ml),
  };
}

/** One line for the report and for screen readers. */
export function volumeLine(item) {
  const summary = readSummary(item);
  const vote = summary.vote === null ? '' : `${imageClass(summary.vote.predicted).label}. `;
  const ml = summary.parts.total.lung_ml;
  const size = Number.isFinite(ml) ? `, lungs ${fixed(ml / 1000, 2)} litres` : '';
  return `${vote}${percent(summary.share)} of the lung affected${size}.`;
}
