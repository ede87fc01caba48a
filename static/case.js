// One case: a picture, a volume, or the files of a DICOM series; its request and its answer.

import { readSlice } from './slice.js';
import { Tally } from './tally.js';

const KEPT = 24; // slices of an answer that stay unpacked

export class Case {
  constructor(files, name) {
    this.files = files;
    this.name = name;
    this.size = files.reduce((sum, file) => sum + file.size, 0);
    this.isPicture = false;
    this.k = 0;
    this.moved = false; // the reader chose a slice
    this.window = null;
    this.measures = [];
    this.stack = null;
    this.localProblem = null;
    this.stopReading = null;
    this.clear('waiting');
  }

  /** Forgets the answer. */
  clear(status) {
    // 'waiting', 'sending', 'queued', 'running', 'done', 'failed', 'stopped'
    this.status = status;
    this.problem = null;
    this.progress = { share: 0, place: null, done: 0, total: 0, eta: null, started: 0 };
    this.answers = new Map(); // slice → its JSON
    this.failures = new Map(); // slice → why it has none, as a problem
    this.unpacked = new Map();
    this.frame = {}; // what all slices share: model, request id, volume
    this.summary = null;
    this.warnings = [];
    this.text = null; // of a single slice, as it came
    this.roundTrip = null;
    this.options = {};
    this.tally = new Tally();
  }

  get depth() {
    return this.stack?.depth ?? 1;
  }

  get busy() {
    return ['sending', 'queued', 'running'].includes(this.status);
  }

  /** The answer for slice k, unpacked; null while there is none. Throws TypeError. */
  slice(k) {
    if (!this.answers.has(k)) {
      return null;
    }
    let slice = this.unpacked.get(k);
    if (slice === undefined) {
      slice = readSlice({ ...this.frame, ...this.answers.get(k) });
    }
    this.unpacked.delete(k);
    this.unpacked.set(k, slice);
    if (this.unpacked.size > KEPT) {
      this.unpacked.delete(this.unpacked.keys().next().value);
    }
    return slice;
  }

  take(k, json) {
    this.answers.set(k, json);
    this.unpacked.delete(k);
    this.tally.add(k, json);
  }

  /** The whole answer as one JSON document. */
  document() {
    if (this.text !== null) {
      return this.text;
    }
    const failed = [...this.failures].map(([slice, error]) => [slice, { slice, error }]);
    const slices = [...this.answers, ...failed].sort(([a], [b]) => a - b).map(([, json]) => json);
    const summary = this.summary === null ? {} : { summary: this.summary };
    const warnings = this.warnings.length === 0 ? {} : { warnings: this.warnings };
    return JSON.stringify({ ...this.frame, ...warnings, slices, ...summary }, null, 1);
  }
}
