// The files that were opened, each with its own pixels, request and answer.

import { ServiceError } from './api.js';
import { Case } from './case.js';
import { isDicom, seriesOf } from './dicom.js';
import { FormatError } from './nifti.js';
import { readHeader } from './png.js';
import { sourceOf } from './series.js';
import { blankStack, readHead, readStack } from './stack.js';
import { zipOf } from './zip.js';

const AT_ONCE = 2; // requests under way

/**
 * Events, each with detail {item, k}: 'list' (cases came, went or changed their state), 'current',
 * 'head', 'plane', 'read' (all pixels there, or localProblem set), 'progress', 'answer' (slice k),
 * 'ended' (status is done, failed or stopped).
 */
export class Cases extends EventTarget {
  /** facts: ServiceFacts; options(): the request's options now. */
  constructor(service, facts, options) {
    super();
    this.service = service;
    this.facts = facts;
    this.options = options;
    this.list = [];
    this.current = null;
    this.stops = new Map();
  }

  /**
   * Opens files: one case each, DICOM slices of a series together. Shows the first of them.
   * nameOf(file): what to call it.
   */
  async add(files, nameOf = (file) => file.name) {
    const fresh = await group(files, nameOf);
    this.list.push(...fresh);
    this.#tell('list', null);
    if (fresh.length > 0) {
      this.show(fresh[0]);
    }
    this.#next();
  }

  /** Makes a case the one on the page. Pixels of the one before are let go. */
  show(item) {
    if (this.current === item) {
      return;
    }
    const before = this.current;
    this.current = item;
    if (before !== null) {
      before.stopReading?.abort();
      before.stack?.release();
      before.stack = null;
      before.unpacked.clear();
    }
    this.#tell('current', item);
    if (item !== null) {
      this.#read(item);
    }
  }

  remove(item) {
    this.stop(item);
    const at = this.list.indexOf(item);
    this.list.splice(at, 1);
    if (this.current === item) {
      this.show(this.list[Math.min(at, this.list.length - 1)] ?? null);
    }
    item.clear('stopped');
    this.#tell('list', null);
  }

  /** Asks again, with the options of now. */
  again(item) {
    this.stop(item);
    item.clear('waiting');
    this.#tell('list', item);
    this.#next();
  }

  stop(item) {
    this.stops.get(item)?.abort();
    this.stops.delete(item);
    if (item.busy || item.status === 'waiting') {
      item.status = 'stopped';
      this.#tell('ended', item);
    }
    this.#next();
  }

  body(item) {
    return item.files.length === 1 ? item.files[0] : zipOf(item.files);
  }

  #tell(type, item, k = null) {
    this.dispatchEvent(new CustomEvent(type, { detail: { item, k } }));
  }

  async #read(item) {
    const stop = new AbortController();
    item.stopReading = stop;
    item.localProblem = null;
    const mine = () => this.current === item && !stop.signal.aborted;
    item.headKnown = new Promise((resolve) => {
      item.tellHead = resolve;
    });
    try {
      await readStack(item.files, {
        signal: stop.signal,
        onHead: (stack) => {
          if (mine()) {
            item.stack = stack;
            item.tellHead();
            this.#tell('head', item);
          }
        },
        onPlane: (k) => mine() && this.#tell('plane', item, k),
      });
    } catch (error) {
      if (mine()) {
        item.localProblem = error;
      }
    }
    item.tellHead();
    if (mine()) {
      this.#tell('read', item);
    }
  }

  #next() {
    const under = this.list.filter((item) => item.busy).length;
    const item = this.list.find((one) => one.status === 'waiting');
    if (item !== undefined && under < AT_ONCE) {
      this.#ask(item);
      this.#next();
    }
  }

  async #ask(item) {
    const stop = new AbortController();
    this.stops.set(item, stop);
    item.status = 'sending';
    item.options = this.options();
    item.progress.started = performance.now();
    this.#tell('list', item);
    try {
      await this.#check(item);
      if (!stop.signal.aborted) {
        await (item.isPicture ? this.#askSlice(item, stop) : this.#askVolume(item, stop));
      }
    } catch (error) {
      if (!stop.signal.aborted && error.kind !== 'aborted') {
        item.problem = asProblem(error, item);
      }
    }
    if (stop.signal.aborted || this.stops.get(item) !== stop) {
      return;
    }
    this.stops.delete(item);
    item.status = item.problem === null ? 'done' : 'failed';
    this.#tell('ended', item);
    this.#next();
  }

  /** Refuses what is known to be refused before it travels. */
  async #check(item) {
    await this.facts.asked;
    this.#weigh(item, null);
    item.isPicture = await isPicture(item.files);
    if (item.isPicture) {
      delete item.options.slices; // there is one
    }
    let [stack, localProblem] = [null, null];
    if (this.current === item) {
      await item.headKnown;
      ({ stack, localProblem } = item);
    } else {
      stack = await readHead(item.files).catch((error) => {
        localProblem = error;
        return null;
      });
    }
    if (localProblem !== null && localProblem.code !== 'too_large_here') {
      throw localProblem;
    }
    this.#weigh(item, stack);
  }

  #weigh(item, stack) {
    const detail = this.facts.refusal(item.size, stack, item.options.slices !== undefined);
    if (detail !== null) {
      throw new ServiceError('problem', { code: 'payload_too_large', detail });
    }
  }

  #progress(item, patch) {
    Object.assign(item.progress, patch);
    this.#tell('progress', item);
  }

  async #askSlice(item, stop) {
    const answer = await this.service.predict(item.files[0], {
      options: item.options,
      signal: stop.signal,
      timeout: this.facts.patience,
      onUpload: (share) => {
        item.status = share >= 1 ? 'running' : 'sending';
        this.#progress(item, { share });
      },
    });
    item.text = answer.text;
    item.roundTrip = answer.roundTrip;
    item.frame = { request_id: answer.requestId };
    this.#take(item, 0, answer.json);
  }

  async #askVolume(item, stop) {
    const { roundTrip } = await this.service.stream(await this.body(item), {
      options: item.options,
      signal: stop.signal,
      onUpload: (share) => {
        item.status = share >= 1 ? 'queued' : 'sending';
        this.#progress(item, { share });
      },
      onEvent: (event) => !stop.signal.aborted && this.#event(item, event),
    });
    item.roundTrip = roundTrip;
  }

  #event(item, { event, ...rest }) {
    if (event === 'accepted') {
      item.status = 'queued';
      item.frame.request_id = rest.request_id;
      this.#progress(item, { place: rest.queue_position });
    } else if (event === 'volume') {
      const { warnings, ...frame } = rest;
      item.status = 'running';
      Object.assign(item.frame, frame);
      item.warnings = warnings ?? [];
      this.#progress(item, { total: rest.volume?.slices_selected?.count ?? item.depth });
    } else if (event === 'slice') {
      const { progress, error, ...json } = rest;
      if (!Number.isInteger(json.slice) || json.slice < 0) {
        throw new TypeError('a slice of the answer has no number');
      }
      if (error === undefined) {
        this.#take(item, json.slice, json);
      } else {
        item.failures.set(json.slice, error);
      }
      if (progress !== undefined) {
        const { done, total, eta_ms: eta } = progress;
        this.#progress(item, { done, total, eta: eta ?? null });
      }
    } else if (event === 'summary') {
      item.summary = rest.summary;
      Object.assign(item.frame, { input: rest.input ?? item.frame.input });
      item.unpacked.clear(); // they hold the frame of before
      const known = item.warnings.map((w) => w.code);
      item.warnings.push(...(rest.warnings ?? []).filter((w) => !known.includes(w.code)));
    }
  }

  #take(item, k, json) {
    item.take(k, json);
    const slice = item.slice(k); // throws TypeError when it is not what it should be
    if (this.current === item) {
      const { stack } = item;
      if (stack === null || stack.width !== slice.width || stack.height !== slice.height) {
        const depth = Math.max(item.progress.total, k + 1);
        item.stack = blankStack(slice.width, slice.height, depth);
        item.stack.broken = true;
        this.#tell('head', item);
      }
    }
    item.progress.done = Math.max(item.progress.done, item.answers.size);
    this.#tell('answer', item, k);
  }
}

function asProblem(error, item) {
  if (error instanceof ServiceError) {
    return error;
  }
  if (error instanceof FormatError) {
    return new ServiceError('file', { code: error.code, detail: error.message });
  }
  if (error instanceof DOMException) {
    return new ServiceError('file', { detail: `${item.name} cannot be read: ${error.message}` });
  }
  return new ServiceError('answer', {
    requestId: item.frame.request_id,
    detail: `The service answered, but not with a slice this page understands: ${error.message}.`,
  });
}

/** A PNG, or a single DICOM slice: the service answers both with one slice. */
async function isPicture(files) {
  const start = await sourceOf(files[0]).read(4096);
  return readHeader(start) !== null || (files.length === 1 && isDicom(start));
}

/** Files as cases: DICOM slices of one series are one, everything else is one each. */
async function group(files, nameOf) {
  const cases = [];
  const series = new Map();
  for (const file of files) {
    const key = await seriesOfFile(file);
    if (key === null) {
      cases.push(new Case([file], nameOf(file)));
    } else if (series.has(key)) {
      series.get(key).push(file);
    } else if (file.name !== 'DICOMDIR' || files.length === 1) {
      series.set(key, [file]);
    }
  }
  for (const list of series.values()) {
    const more = list.length > 1 ? ` and ${list.length - 1} more` : '';
    cases.push(new Case(list, `${nameOf(list[0])}${more}`));
  }
  return cases;
}

/** The series of a DICOM slice; null for everything else, also for what cannot be read. */
async function seriesOfFile(file) {
  try {
    for (let wanted = 65536; ; wanted *= 4) {
      const start = await sourceOf(file).read(wanted);
      if (!isDicom(start)) {
        return null;
      }
      const series = seriesOf(start, file.size);
      if (series !== null) {
        return series;
      }
    }
  } catch {
    return null; // reading it again for the page will tell why
  }
}
