// The page: puts its parts together and keeps them in step.

import { Service } from './api.js';
import { Cases } from './cases.js';
import { byId, fill, onClick, show } from './dom.js';
import { ServiceFacts } from './facts.js';
import { filesPanel } from './files.js';
import { drawIcons } from './icons.js';
import { wireIntake } from './intake.js';
import { Keep } from './keep.js';
import { keyList, keyTable, wireKeys } from './keys.js';
import { Measures } from './measures.js';
import { Answer } from './answer.js';
import { Pointer } from './pointer.js';
import { problemCard, problemTitle } from './problem.js';
import { ProgressStrip } from './progress.js';
import { SliceBar } from './slicebar.js';
import { Stage } from './stage.js';
import { Store } from './store.js';
import { Viewer } from './viewer.js';
import { VolumePanel, volumeLine } from './volume.js';
import { offerSamples } from './samples.js';

drawIcons(document);

const service = new Service(document.baseURI);
const store = new Store();
const facts = new ServiceFacts(service);
const cases = new Cases(service, facts, requestOptions);
const viewer = new Viewer(byId('stage'), byId('canvas'), store);
const bar = new SliceBar(goTo);
const files = filesPanel({ show: (item) => cases.show(item), remove: (item) => cases.remove(item) });
const volume = new VolumePanel(goTo);
const strip = new ProgressStrip({ stop: () => cases.stop(cases.current), again });
const measures = new Measures(viewer, store, { onShow: goTo, say: announce });
const stage = new Stage({ viewer, store, bar, measures, goTo, current: () => cases.current });
const keep = new Keep({ cases, service, facts, store, say: announce });
const answer = new Answer({ cases, facts, service, store, viewer, stage, keep });
let card = null; // the problem shown

byId('files').append(files.root);
byId('volume').append(volume.root);
byId('measures').append(measures.root);

function announce(text) {
  byId('status').textContent = text;
}

/** What became of a folder. */
function notice(text) {
  const node = byId('notice');
  node.textContent = text;
  show(node, text !== '');
  if (text !== '') {
    announce(text);
    node.scrollIntoView({ block: 'nearest' });
  }
}

/** What the file is. */
function describe(text) {
  byId('file-facts').textContent = text;
}

/* ---- cases ---- */

function on(type, run) {
  cases.addEventListener(type, ({ detail }) => run(detail));
}

function setPhase() {
  const item = cases.current;
  const phases = { done: 'done', stopped: 'stopped', failed: 'problem' };
  const phase = item === null ? 'empty' : (phases[item.status] ?? 'busy');
  // Whoever pressed a button that now goes away continues at the slice.
  const active = document.activeElement;
  const goesOn = active !== document.body && active?.closest('#intro, #busy, #problem') !== null;
  document.body.dataset.phase = phase; // 'empty', 'busy', 'done', 'stopped', 'problem'
  show(byId('intro'), phase === 'empty');
  show(byId('guide'), phase === 'empty');
  show(byId('problem'), phase === 'problem');
  byId('stage').setAttribute('aria-busy', String(phase === 'busy'));
  strip.show(item);
  if (goesOn && (active.closest('[hidden]') !== null || !active.isConnected)) {
    const title = byId('problem').querySelector('.problem-title');
    (phase === 'problem' ? title : byId('stage')).focus({ preventScroll: true });
  }
}

on('list', () => {
  files.show(cases.list, cases.current);
  show(byId('files'), cases.list.length > 1);
  setPhase();
});

on('current', ({ item }) => {
  card?.stop();
  fill(byId('problem'));
  bar.show(null);
  store.set({ selected: null, hovered: null, cursor: null, measures: item?.measures ?? [] });
  viewer.show(null);
  files.show(cases.list, item);
  const name = item?.name ?? 'No slice yet';
  Object.assign(byId('file-name'), { textContent: name, title: name });
  describe(item === null ? '' : stage.describe(item));
  if (item?.problem) {
    showProblem(item);
  }
  answer.reset();
  volume.show(item);
  setPhase();
  if (item !== null) {
    announce(`Opening ${item.name}.`);
  }
});

on('head', ({ item }) => {
  stage.open(item);
  bar.show(item);
  bar.set(store.state.k);
  describe(stage.describe(item));
  volume.show(item);
  volume.set(store.state.k);
  answer.later();
});

on('plane', ({ item, k }) => {
  if (k === store.state.k) {
    viewer.redraw();
  }
  if (!item.stack.complete && item.depth > 1) {
    describe(stage.describe(item));
  }
});

on('read', ({ item }) => {
  stage.complete(item);
  describe(stage.describe(item));
  answer.later();
});

on('progress', ({ item }) => {
  files.update(item, cases.current);
  if (item === cases.current) {
    strip.show(item);
  }
});

// Plots of the whole volume need not follow every slice.
let plots = null;
function plotsLater() {
  plots ??= setTimeout(() => {
    plots = null;
    volume.show(cases.current);
    bar.redraw();
  }, 400);
}

on('answer', ({ item, k }) => {
  if (item === cases.current) {
    if (k === store.state.k) {
      viewer.redraw();
      answer.later();
    }
    plotsLater();
  }
});

on('ended', ({ item }) => {
  files.update(item, cases.current);
  facts.refresh();
  if (item !== cases.current) {
    return;
  }
  if (item.problem !== null) {
    showProblem(item);
    setPhase();
    announce(`${problemTitle(item.problem)}. ${item.problem.detail}`);
    return;
  }
  setPhase();
  bar.redraw();
  volume.show(item);
  answer.now();
  if (item.status === 'done') {
    const whole = item.depth > 1 ? `Done. ${volumeLine(item)} ` : '';
    announce(whole + answer.describe());
  } else {
    announce('Stopped. What had arrived is kept.');
  }
});

function showProblem(item) {
  card?.stop();
  card = problemCard(item.problem, {
    retry: () => cases.again(item),
    choose: () => byId('picker').click(),
    useKey: (key) => {
      service.key = key;
      facts.refresh();
      cases.list.filter((one) => one.problem?.status === 401).forEach((one) => cases.again(one));
    },
  });
  byId('problem').replaceChildren(card.root);
  if (window.innerWidth <= 860) {
    show(byId('problem'), true);
    card.root.scrollIntoView({ block: 'nearest' });
  }
}

function again() {
  if (cases.current !== null) {
    card?.stop();
    answer.reset();
    cases.again(cases.current);
    volume.show(cases.current);
    bar.redraw();
  }
}

/** Shows slice k of the current case. */
function goTo(k) {
  const item = cases.current;
  if (item?.stack) {
    const next = Math.min(item.depth - 1, Math.max(0, k));
    item.k = next;
    item.moved = true;
    store.set({ k: next, selected: null, hovered: null });
  }
}

store.watch(['k'], ({ k }) => {
  bar.set(k);
  volume.set(k);
  answer.later();
});
store.watch(['measures'], (state) => {
  if (cases.current !== null) {
    cases.current.measures = state.measures;
  }
});

/* ---- request options ---- */

function requestOptions() {
  const options = {};
  for (const input of document.querySelectorAll('[data-request]')) {
    if (input.value.trim() !== '') {
      options[input.dataset.request] = input.value.trim();
    }
  }
  return options;
}

/* ---- wiring ---- */

const table = keyTable({ ...stage.keys, viewer, store, choose: answer.choose, zoomToChosen: answer.zoomToChosen });
wireKeys(byId('stage'), table, () => cases.current?.stack !== null && cases.current !== null);
byId('key-list').append(keyList(table));
onClick('help', () => byId('keys').showModal());
onClick('again', again);
onClick('close', () => cases.current && cases.remove(cases.current));
new Pointer(viewer, store, stage.pointer);
wireIntake((list, nameOf) => cases.add(list, nameOf), notice);
offerSamples(byId('samples'), (list) => cases.add(list), announce);
setPhase();
facts.start();
