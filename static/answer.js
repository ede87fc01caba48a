// What the service said about the slice shown: panels, layer switches, choosing.

import { byId, el, show } from './dom.js';
import { findingsPanel, layerBar } from './findings.js';
import { percent, plural } from './format.js';
import { notesPanel } from './notes.js';
import { assessmentPanel, burdenPanel, detailsPanel } from './panels.js';
import { regionsPanel } from './regions.js';
import { curlCommand } from './save.js';
import { isShown } from './store.js';
import { NOTES } from './text.js';

const SETTLE = 120; // ms after the last change of slice until the panels follow

export class Answer {
  /** parts: {cases, facts, service, store, viewer, stage, keep}. */
  constructor(parts) {
    Object.assign(this, parts);
    this.timer = null;
    this.shown = { item: null, slice: null };
    const { store } = this;
    const open = (ref) => this.#zoomTo(ref);
    const reveal = () => {
      store.set({ mode: 'attention' });
      byId('stage').scrollIntoView({ block: 'nearest' });
    };
    this.title = el('h2.slice-title');
    this.layers = layerBar(store);
    this.panels = {
      assessment: assessmentPanel(),
      notes: notesPanel('notes'),
      burden: burdenPanel(),
      findings: findingsPanel(store, open),
      regions: regionsPanel(store, open, reveal),
      details: detailsPanel(this.keep.actions),
    };
    const { regions, details, ...found } = this.panels;
    byId('results').append(this.title, ...Object.values(found).map((p) => p.root));
    byId('basis').append(regions.root, details.root);
    byId('layer-bar').append(this.layers.root);
    this.keep.source = () => ({ ...this.shown, noise: this.noise });
    this.choose = (by) => this.#choose(by);
    this.zoomToChosen = () => this.#zoomTo(store.state.selected);
    this.reset();
  }

  reset() {
    clearTimeout(this.timer);
    this.timer = null;
    this.shown = { item: null, slice: null };
    this.panels.details.forget();
    this.facts.setAnswer(false);
    this.viewer.noise = false;
    document.body.classList.remove('answered');
    this.#open(false);
    show(byId('layer-bar'), false);
    byId('stage').setAttribute('aria-label', 'Slice viewer, no answer');
  }

  #open(visible) {
    show(byId('results'), visible);
    show(byId('basis'), visible);
  }

  /** Follows once the slice has stood still for a moment. */
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.now(), SETTLE);
  }

  now() {
    clearTimeout(this.timer);
    const item = this.cases.current;
    const { k } = this.store.state;
    if (item === null || item.stack === null) {
      return;
    }
    let slice = null;
    try {
      slice = item.slice(k);
    } catch {
      slice = null; // the case failed, and its problem is shown
    }
    const some = item.answers.size > 0;
    document.body.classList.toggle('answered', some);
    show(byId('layer-bar'), some);
    this.#open(slice !== null);
    show(byId('no-answer'), slice === null && item.depth > 1 && (some || item.failures.has(k)));
    byId('no-answer').textContent = `Slice ${k + 1} ${whyNone(item, k)}`;
    if (slice === null) {
      this.shown = { item: null, slice: null };
      byId('stage').setAttribute('aria-label', `Slice viewer, slice ${k + 1}, no answer`);
    } else if (slice !== this.shown.slice || item !== this.shown.item) {
      this.shown = { item, slice };
      this.#fill(item, slice, k);
    }
  }

  /** The answer for the slice shown, in one sentence. */
  describe() {
    const { slice, item } = this.shown;
    if (slice === null) {
      return '';
    }
    const c = slice.classification?.predicted;
    const verdict = c === undefined ? 'No assessment' : `${c.label}, ${percent(c.probability)}`;
    const where = item.depth > 1 ? `Slice ${item.k + 1}: ` : '';
    return (
      `${this.noise ? 'Untrained model, results are noise. ' : ''}${where}${verdict}. ` +
      `${plural(slice.detections.length, 'finding')}, ` +
      `${plural(slice.regions.length, 'region')}.`
    );
  }

  #fill(item, slice, k) {
    const { panels, facts } = this;
    const trained = slice.model.trained ?? facts.model.trained;
    this.noise = trained === false;
    facts.setAnswer(this.noise);
    this.viewer.noise = this.noise;
    show(this.title, item.depth > 1);
    this.title.textContent = `Slice ${k + 1} of ${item.depth}`;
    this.layers.show(slice);
    panels.notes.show([...this.#ownNotes(item), ...item.warnings, ...slice.warnings]);
    panels.assessment.show(slice, this.noise);
    panels.burden.show(slice);
    panels.findings.show(slice);
    panels.regions.show(slice);
    panels.details.show(slice, {
      info: facts.info,
      roundTrip: item.roundTrip,
      file: item,
      volume: !item.isPicture,
      curl: curlCommand(
        this.service.predictAddress(item.options),
        item.files.length > 1 ? 'series.zip' : item.name,
        this.service.key !== '',
        !item.isPicture,
      ),
    });
    byId('stage').setAttribute('aria-label', `Slice viewer. ${this.describe()}`);
    if (item.depth > 1 && item.status !== 'running') {
      byId('status').textContent = this.describe();
    }
  }

  #ownNotes(item) {
    const notes = [];
    if (item.localProblem !== null) {
      notes.push(NOTES.local(item.localProblem.message));
    } else if (item.stack.broken) {
      notes.push(NOTES.noPicture);
    }
    if (item.stack.frames > 1) {
      notes.push(NOTES.frames(item.stack.frames));
    }
    return notes;
  }

  #zoomTo(ref) {
    const { slice } = this.shown;
    if (ref === null || slice === null) {
      return;
    }
    const list = ref.kind === 'detection' ? slice.detections : slice.regions;
    this.viewer.zoomToBox(list[ref.index].box);
    const { mode } = this.store.state;
    const wanted = ref.kind === 'detection' ? 'findings' : 'attention';
    if (mode !== wanted && mode !== 'both') {
      this.store.set({ mode: wanted });
    }
    byId('stage').scrollIntoView({ block: 'nearest' });
  }

  #choose(by) {
    const { slice } = this.shown;
    const { state } = this.store;
    if (slice === null) {
      return;
    }
    const attention = state.mode === 'attention';
    const list = (attention ? slice.regions : slice.detections).filter(
      (item) => attention || isShown(item, state),
    );
    if (list.length > 0) {
      const at = list.findIndex((item) => item.index === state.selected?.index);
      const from = at < 0 && by < 0 ? 1 : 0;
      const next = list[(at + by + list.length + from) % list.length];
      const kind = attention ? 'region' : 'detection';
      this.store.set({ selected: { kind, index: next.index } });
    }
  }
}

function whyNone(item, k) {
  const failure = item.failures.get(k);
  if (failure !== undefined) {
    return `has no findings: ${failure.detail}.`;
  }
  return item.busy ? 'has no answer yet.' : 'was not asked about, or its answer did not arrive.';
}
