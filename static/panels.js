// The panels of numbers: assessment, burden, notes, and the facts behind an answer.

import { copyButton, el, fill, panel, show, swatch } from './dom.js';
import { bytes, count, fixed, milliseconds, percent } from './format.js';
import { icon } from './icons.js';
import { objectClass } from './palette.js';
import { inPlace } from './notes.js';
import { ASSESSMENT, BURDEN } from './text.js';

/** The class of the slice: three separate scores. */
export function assessmentPanel() {
  const body = el('div');
  const root = panel('assessment', 'Assessment', null, body);
  root.classList.add('assessment');
  return {
    root,
    show(slice, noise) {
      root.classList.toggle('noise', noise);
      const c = slice.classification;
      if (c === null) {
        fill(
          body,
          el('p.verdict.none', 'No assessment'),
          el(
            'p.lead',
            slice.explained && slice.regions.length === 0
              ? ASSESSMENT.noRegions
              : ASSESSMENT.absent,
          ),
          inPlace(slice, 'assessment'),
        );
        return;
      }
      fill(
        body,
        el(
          'p.verdict',
          el('span.verdict-name', c.predicted.label),
          el('span.verdict-value', percent(c.predicted.probability)),
        ),
        noise ? el('p.noise-line', icon('alert'), ASSESSMENT.noise) : null,
        el(
          'ul.classes',
          c.classes.map((item) => classBar(item, c.predicted)),
        ),
        el('p.note', ASSESSMENT.note),
        inPlace(slice, 'assessment'),
      );
    },
  };
}

function classBar(item, predicted) {
  const chosen = item === predicted;
  return el(
    'li',
    { class: chosen ? 'class-bar chosen' : 'class-bar', 'data-class': item.name },
    el(
      'span.class-label',
      { title: item.hint },
      item.label,
      chosen ? el('span.badge', 'decision') : null,
    ),
    el('span.class-logit', `logit ${fixed(item.logit, 2)}`),
    el('span.class-value', percent(item.probability)),
    el(
      'span.class-track',
      { 'aria-hidden': 'true' },
      el('span.class-fill', { css: { '--value': `${item.probability * 100}%` } }),
    ),
  );
}

/** How much of the lungs is affected. */
export function burdenPanel() {
  const body = el('div');
  const root = panel('burden', 'Lung involvement', null, body);
  return {
    root,
    show(slice) {
      const b = slice.burden;
      show(root, b !== null);
      if (b === null) {
        return;
      }
      const lung = b.lung_px ?? 0;
      const share = (px) => (lung > 0 ? Math.min(1, (px ?? 0) / lung) : 0);
      const item = (name, px, mm2) =>
        el(
          'div.quantity',
          { css: { '--swatch': objectClass(name).colour } },
          el('dt', swatch(name), objectClass(name).label),
          el(
            'dd',
            count(px),
            el('small', ' px'),
            Number.isFinite(mm2) ? el('div', el('small', `${count(mm2)} mm²`)) : null,
          ),
        );
      const part = (name, px) =>
        el('span', {
          class: `part line-${name}`,
          css: { '--value': `${100 * share(px)}%`, '--swatch': objectClass(name).colour },
        });
      fill(
        body,
        el(
          'div.burden',
          el(
            'p.figure',
            lung > 0 && Number.isFinite(b.affected_pct) ? percent(b.affected_pct / 100) : '–',
          ),
          el('p.figure-label', (lung > 0 ? BURDEN.share : BURDEN.noLung)('slice')),
        ),
        lung > 0
          ? el(
              'div.stack',
              { 'aria-hidden': 'true' },
              part('consolidation', b.consolidation_px),
              part('ggo', b.ggo_px),
            )
          : null,
        el(
          'dl.quantities',
          item('lungs', b.lung_px, b.lung_mm2),
          item('ggo', b.ggo_px, b.ggo_mm2),
          item('consolidation', b.consolidation_px, b.consolidation_mm2),
        ),
        el('p.note', BURDEN.note),
        inPlace(slice, 'burden'),
      );
    },
  };
}

const STAGES = { queue: 'Waiting', decode: 'Reading', infer: 'Model', encode: 'Writing' };

/** Timing, model, input, request, and what to take away. */
export function detailsPanel(actions) {
  const timing = el('div');
  const facts = el('dl.facts');
  const command = el('code.command', { tabindex: '0' });
  const labels = keepButton('save-labels', 'Label map', actions.saveLabels);
  const root = panel(
    'details',
    'About this answer',
    null,
    timing,
    el(
      'div.buttons',
      { id: 'keep' },
      keepButton('save-json', 'Answer (JSON)', actions.saveJson),
      keepButton('save-csv', 'Findings (CSV)', actions.saveCsv),
      keepButton('save-png', 'Picture (PNG)', actions.savePng),
      labels,
      keepButton('print', 'Report', actions.print, 'print'),
    ),
    facts,
    el('h3', 'The same request from a terminal'),
    el(
      'div.command-box',
      command,
      copyButton('Copy curl command', () => command.textContent),
    ),
  );
  return {
    root,
    /** Names of files do not stay in the page. */
    forget() {
      facts.replaceChildren();
      command.textContent = '';
    },
    show(slice, { info, roundTrip, file, curl, volume }) {
      labels.lastChild.textContent = `Label map (${volume ? 'NIfTI' : 'PNG'})`;
      command.textContent = curl;
      fill(timing, timingFacts(slice.timing, roundTrip));
      show(timing, Number.isFinite(roundTrip));
      const model = { ...info.model, ...slice.model };
      const { input } = slice;
      const intensity = input.intensity;
      const request =
        slice.requestId === ''
          ? null
          : el(
              'span.with-copy',
              el('code', { id: 'request-id' }, slice.requestId),
              copyButton('Copy request id', () => slice.requestId),
            );
      facts.replaceChildren(
        ...group('Request', [['Request id', request]]),
        ...group('Input', [
          ['File', file.name],
          [
            'Size',
            [
              `${[slice.width, slice.height, ...(file.depth > 1 ? [file.depth] : [])].join(' × ')} px`,
              input.bit_depth ? `${input.bit_depth} bit` : null,
              bytes(file.size),
            ]
              .filter(Boolean)
              .join(', '),
          ],
          ['Intensities', intensity ? describeIntensity(intensity) : null],
          ['SHA-256', hash(input.sha256)],
        ]),
        ...group('Model', modelFacts(model)),
      );
    },
  };
}

function keepButton(id, label, run, symbol = 'download') {
  return el('button.button', { id, click: run }, icon(symbol), label);
}

/** Rows of facts about a model: [[label, text or node]]. */
export function modelFacts(model) {
  return [
    ['Name', [model.name, model.version].filter(Boolean).join(' · ')],
    [
      'Weights',
      model.trained === false
        ? 'untrained: every result is noise'
        : model.trained === true
          ? 'trained'
          : null,
    ],
    ['Trained on', model.trained_on],
    ['Backbone', model.backbone],
    ['Norm statistics', model.batch_norm],
    ['Parameters', Number.isFinite(model.parameters) ? count(model.parameters) : null],
    ['Weight file', model.file],
    ['SHA-256', hash(model.sha256)],
  ];
}

/** <dt>/<dd> pairs under a heading, without those that have nothing to say. */
export function group(title, rows) {
  const told = rows.filter(([, value]) => value !== null && value !== undefined && value !== '');
  return told.length === 0
    ? []
    : [
        el('div.facts-title', el('dt', title), el('dd.sr-only', ' ')),
        ...told.map(([label, value]) => el('div', el('dt', label), el('dd', value))),
      ];
}

function hash(value) {
  return typeof value === 'string' && value !== ''
    ? el(
        'span.with-copy',
        el('code', { title: value }, `${value.slice(0, 12)}…`),
        copyButton('Copy SHA-256', () => value),
      )
    : null;
}

function describeIntensity(intensity) {
  const window =
    Number.isFinite(intensity.window) && Number.isFinite(intensity.level)
      ? ` (window ${intensity.window}, level ${intensity.level})`
      : '';
  const taken = intensity.mode === 'hu' ? 'Hounsfield units' : 'already windowed';
  return `${taken}${window}${intensity.assumed ? ', assumed' : ''}`;
}

function timingFacts(timing, roundTrip) {
  const stages = Object.keys(STAGES).filter((key) => Number.isFinite(timing?.[key]));
  const total = stages.reduce((sum, key) => sum + timing[key], 0);
  return [
    el(
      'p.timing-total',
      el('strong', milliseconds(roundTrip)),
      ' from click to answer',
      total > 0 ? `, ${milliseconds(total)} of it in the service` : '',
    ),
    el(
      'ul.timing-list',
      stages.map((key) => el('li', `${STAGES[key]} `, el('b', milliseconds(timing[key])))),
    ),
  ];
}
