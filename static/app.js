// The page: takes a file, asks the service, and hands the answer to viewer and panels.

import { Service, ServiceError } from './api.js';
import { byId, el, icon, segmented, show } from './dom.js';
import { ServiceFacts } from './facts.js';
import { findingsPanel, layerBar } from './findings.js';
import { bytes, percent, plural } from './format.js';
import { wireIntake } from './intake.js';
import { assessmentPanel, burdenPanel, detailsPanel, notesPanel } from './panels.js';
import { blankPicture, readPicture } from './picture.js';
import { problemCard, problemTitle } from './problem.js';
import { regionsPanel } from './regions.js';
import { curlCommand, drawPicture, saveBlob, stem } from './save.js';
import { readSlice } from './slice.js';
import { isShown, Store } from './store.js';
import { NOTES } from './text.js';
import { Viewer } from './viewer.js';

const MODES = [
    { value: 'image', label: 'Slice', title: 'The slice alone' },
    { value: 'findings', label: 'Findings', title: 'Outlined areas' },
    { value: 'attention', label: 'Attention', title: 'Regions the class was decided from' },
    { value: 'both', label: 'Both', title: 'Findings and regions' },
];

const service = new Service(document.baseURI);
const store = new Store();
const stage = byId('stage');
const viewer = new Viewer(stage, byId('canvas'), store);
const facts = new ServiceFacts(service);

let run = null; // the request under way: {stop, ticker, card}
let shown = null; // what is on the page: {file, picture, answer, slice}
let last = null; // the file to try again with

/* ---- panels ---- */

const zoomToReference = (ref) => {
    if (ref === null || shown?.slice === undefined) {
        return;
    }
    const list = ref.kind === 'detection' ? shown.slice.detections : shown.slice.regions;
    viewer.zoomToBox(list[ref.index].box);
    showLayerOf(ref);
    stage.scrollIntoView({ block: 'nearest' });
};

const showAttention = () => {
    store.set({ mode: 'attention' });
    stage.scrollIntoView({ block: 'nearest' });
};

const layers = layerBar(store);
const panels = {
    assessment: assessmentPanel(),
    notes: notesPanel(),
    burden: burdenPanel(),
    findings: findingsPanel(store, zoomToReference),
    regions: regionsPanel(store, zoomToReference, showAttention),
    details: detailsPanel({ saveJson, savePng }),
};
byId('results').append(...Object.values(panels).map((p) => p.root));
byId('layer-bar').append(layers.root);

/* ---- phases ---- */

function setPhase(phase) {
    // Whoever pressed a button that now goes away continues at the slice.
    const goesOn =
        document.activeElement?.closest('.cover') !== null &&
        document.activeElement !== document.body;
    document.body.dataset.phase = phase; // 'empty', 'busy', 'done', 'problem'
    show(byId('intro'), phase === 'empty');
    show(byId('busy'), phase === 'busy');
    show(byId('results'), phase === 'done');
    show(byId('guide'), phase !== 'done');
    show(byId('problem'), phase === 'problem');
    show(byId('layer-bar'), phase === 'busy' || phase === 'done');
    byId('layer-bar').inert = phase !== 'done';
    stage.setAttribute('aria-busy', String(phase === 'busy'));
    if (goesOn) {
        (phase === 'problem' ? byId('problem').querySelector('.problem-title') : stage).focus({
            preventScroll: true,
        });
    }
}

function announce(text) {
    byId('status').textContent = text;
}

function stopRun() {
    run?.stop.abort();
    clearInterval(run?.ticker);
    run?.card?.stop();
    run = null;
}

async function open(files) {
    const [file] = files;
    stopRun();
    const mine = { stop: new AbortController(), ticker: null, card: null };
    run = mine;
    last = file;
    shown = { file, picture: null };
    facts.setAnswer(false);
    store.set({ selected: null, hovered: null });
    viewer.show(null, null);
    byId('file-name').textContent = file.name;
    byId('file-facts').textContent = bytes(file.size);
    setPhase('busy');
    startClock(mine);
    announce(
        `Sending ${file.name}.` +
            (files.length > 1
                ? ` One slice at a time: the other ${files.length - 1} are left out.`
                : ''),
    );
    try {
        refuseEarly(file);
        const options = requestOptions();
        const [picture, answer] = await Promise.all([
            showPicture(file, mine),
            service.predict(file, { options, signal: mine.stop.signal, timeout: facts.patience }),
        ]);
        if (run === mine) {
            finish(mine, { file, picture, answer, options, ignored: files.length - 1 });
        }
    } catch (error) {
        if (run === mine && error.kind !== 'aborted') {
            fail(mine, file, error);
        }
    }
}

function startClock(mine) {
    const started = performance.now();
    const tick = () => {
        byId('elapsed').textContent = `${((performance.now() - started) / 1000).toFixed(1)} s`;
    };
    tick();
    mine.ticker = setInterval(tick, 100);
}

/** Refuses what is known to be refused before it travels. */
function refuseEarly(file) {
    const limit = facts.limits.body;
    if (limit !== null && file.size > limit) {
        throw new ServiceError('problem', {
            code: 'payload_too_large',
            detail:
                `${file.name} has ${bytes(file.size)}; ` +
                `this service takes up to ${bytes(limit)}.`,
        });
    }
}

async function showPicture(file, mine) {
    const picture = await readPicture(file);
    if (run === mine && picture !== null) {
        store.set({ stretch: picture.deep });
        shown.picture = picture;
        viewer.show(picture, null);
        byId('file-facts').textContent = describePicture(picture, file);
    }
    return picture;
}

function describePicture(picture, file) {
    return (
        `${picture.width} × ${picture.height} px · ${picture.deep ? '16 bit · ' : ''}` +
        bytes(file.size)
    );
}

function finish(mine, { file, picture, answer, options, ignored }) {
    clearInterval(mine.ticker);
    let slice;
    try {
        slice = readSlice(answer.json);
    } catch (error) {
        fail(
            mine,
            file,
            new ServiceError('answer', {
                detail:
                    'The service answered, but not with a slice this page understands: ' +
                    `${error.message}.`,
                requestId: answer.requestId,
            }),
        );
        return;
    }
    slice.requestId ||= answer.requestId;
    const notes = [];
    let drawn = picture;
    if (drawn === null || drawn.width !== slice.width || drawn.height !== slice.height) {
        drawn = blankPicture(slice.width, slice.height);
        notes.push(NOTES.noPicture);
    }
    if (ignored > 0) {
        notes.push(NOTES.oneAtATime(file.name, ignored));
    }
    const noise =
        slice.model.trained === false ||
        (slice.model.trained === undefined && facts.model.trained === false);
    facts.setAnswer(noise);
    shown = { file, picture: drawn, answer, slice, options, noise };
    store.set({ threshold: 0, mode: store.state.mode === 'image' ? 'findings' : store.state.mode });
    viewer.show(drawn, slice, { noise });
    layers.show(slice);
    panels.notes.show(slice, notes);
    panels.assessment.show(slice, noise);
    panels.burden.show(slice);
    panels.findings.show(slice);
    panels.regions.show(slice);
    panels.details.show(slice, {
        info: facts.info,
        roundTrip: answer.roundTrip,
        file,
        curl: curlCommand(service.predictAddress(options), file.name, service.key !== ''),
    });
    setPhase('done');
    const summary = describe(slice, noise);
    stage.setAttribute('aria-label', `Slice viewer. ${summary}`);
    announce(summary);
    facts.refresh();
}

function describe(slice, noise) {
    const c = slice.classification?.predicted;
    const verdict = c === undefined ? 'No assessment' : `${c.label}, ${percent(c.probability)}`;
    return (
        `${noise ? 'Untrained model, results are noise. ' : ''}${verdict}. ` +
        `${plural(slice.detections.length, 'finding')}, ${plural(slice.regions.length, 'region')}.`
    );
}

function fail(mine, file, error) {
    clearInterval(mine.ticker);
    const problem =
        error instanceof ServiceError
            ? error
            : error instanceof DOMException
              ? new ServiceError('file', {
                    detail: `${file.name} cannot be read: ${error.message}`,
                })
              : new ServiceError('answer', { detail: `This page failed: ${error.message}` });
    mine.card = problemCard(problem, {
        retry: () => open([last]),
        choose: () => byId('picker').click(),
        useKey: (key) => {
            service.key = key;
            facts.refresh();
            open([last]);
        },
    });
    byId('problem').replaceChildren(mine.card.root);
    setPhase('problem');
    announce(`${problemTitle(problem)}. ${problem.detail}`);
    if (problem.kind === 'network') {
        facts.refresh();
    }
}

/* ---- taking away ---- */

function saveJson() {
    saveBlob(
        new Blob([shown.answer.text], { type: 'application/json' }),
        `${stem(shown.file.name)}.oneshot.json`,
    );
}

async function savePng() {
    const { picture, slice, noise, file } = shown;
    const model = slice.model.name ?? facts.model.name ?? 'unknown model';
    const blob = await drawPicture(picture, slice, store.state, { noise, model, file: file.name });
    saveBlob(blob, `${stem(file.name)}.oneshot.png`);
}

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

/* ---- stage tools ---- */

function wireStage() {
    const choose = (mode) => store.set({ mode });
    byId('modes').append(segmented('What to draw', 'mode', MODES, store.state.mode, choose));
    store.watch(['mode'], (state) => {
        stage.dataset.mode = state.mode;
        byId('attention-legend').hidden = state.mode !== 'attention' && state.mode !== 'both';
        byId('layer-bar').classList.toggle(
            'quiet',
            state.mode === 'image' || state.mode === 'attention',
        );
        document.querySelector(`[name=mode][value=${state.mode}]`).checked = true;
    });
    byId('zoom-in').addEventListener('click', () => viewer.zoom(1.5));
    byId('zoom-out').addEventListener('click', () => viewer.zoom(1 / 1.5));
    byId('zoom-fit').addEventListener('click', () => viewer.fit());
    byId('contrast').addEventListener('click', () => store.set({ stretch: !store.state.stretch }));
    store.watch(['stretch'], (state) =>
        byId('contrast').setAttribute('aria-pressed', String(state.stretch)),
    );
    viewer.addEventListener('view', (event) => {
        byId('zoom-level').textContent = `${Math.round(event.detail.scale * 100)} %`;
        byId('zoom-fit').setAttribute('aria-pressed', String(event.detail.fitted));
    });
    viewer.addEventListener('probe', (event) => showProbe(event.detail));
    stage.addEventListener('keydown', stageKey);
    byId('cancel').addEventListener('click', () => {
        stopRun();
        shown = null;
        viewer.show(null, null);
        setPhase('empty');
        announce('Stopped.');
    });
    byId('again').addEventListener('click', () => {
        if (last !== null) {
            open([last]);
        }
    });
    // A choice made in the list should be visible on the slice.
    store.watch(['selected'], (state) => {
        if (state.selected !== null) {
            showLayerOf(state.selected);
        }
    });
}

function showLayerOf(ref) {
    const { mode } = store.state;
    const wanted = ref.kind === 'detection' ? 'findings' : 'attention';
    if (mode !== wanted && mode !== 'both') {
        store.set({ mode: wanted });
    }
}

function showProbe(probe) {
    const box = byId('probe');
    show(box, probe !== null);
    if (probe !== null) {
        box.replaceChildren(
            el('span', {}, `x ${probe.x}  y ${probe.y}  grey ${probe.value}`),
            ...probe.classes.map((c) =>
                el('span', { class: 'probe-class', css: { '--swatch': c.colour } }, c.short),
            ),
        );
    }
}

function stageKey(event) {
    if (event.target !== stage || event.ctrlKey || event.metaKey || event.altKey) {
        return;
    }
    const { state } = store;
    const step = (by) => {
        const slice = shown?.slice;
        if (slice === undefined) {
            return;
        }
        const attention = state.mode === 'attention';
        const list = (attention ? slice.regions : slice.detections).filter(
            (item) => attention || isShown(item, state),
        );
        if (list.length > 0) {
            const at = list.findIndex((item) => item.index === state.selected?.index);
            const next = list[(at + by + list.length + (at < 0 && by < 0 ? 1 : 0)) % list.length];
            store.set({
                selected: { kind: attention ? 'region' : 'detection', index: next.index },
            });
        }
    };
    const actions = {
        n: () => step(1),
        p: () => step(-1),
        z: () => zoomToReference(state.selected),
        m: () => store.set({ masks: !state.masks }),
        b: () => store.set({ boxes: !state.boxes }),
        c: () => store.set({ stretch: !state.stretch }),
        v: () => {
            const at = MODES.findIndex((mode) => mode.value === state.mode);
            store.set({ mode: MODES[(at + 1) % MODES.length].value });
        },
        Escape: () => store.set({ selected: null }),
    };
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (action !== undefined) {
        event.preventDefault();
        action();
    }
}

/* ---- sample, help ---- */

async function offerSample() {
    const button = byId('sample');
    const address = new URL('sample.png', document.baseURI);
    try {
        const response = await fetch(address, { method: 'HEAD' });
        if (!response.ok || response.headers.get('content-type') !== 'image/png') {
            return;
        }
    } catch {
        return;
    }
    show(button, true);
    button.addEventListener('click', async () => {
        try {
            const response = await fetch(address);
            const blob = await response.blob();
            open([new File([blob], 'sample.png', { type: 'image/png' })]);
        } catch {
            announce('The sample could not be fetched.');
        }
    });
}

wireIntake(byId('picker'), open);
wireStage();
byId('help').addEventListener('click', () => byId('keys').showModal());
byId('keys-close').prepend(icon('close'));
setPhase('empty');
facts.start();
offerSample();
