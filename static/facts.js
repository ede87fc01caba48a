// What is known about the service: its state in the header, the model, its limits, the banner.

import { byId, copyButton, el, fill, show } from './dom.js';
import { bytes, count } from './format.js';
import { group, modelFacts } from './panels.js';

const AGAIN = [2, 5, 10, 20, 30]; // seconds between tries while the service does not answer

export class ServiceFacts {
  constructor(service) {
    this.service = service;
    this.info = {};
    this.tries = 0;
    this.timer = null;
    this.answerIsNoise = false;
  }

  get model() {
    return this.info.model ?? {};
  }

  /** Limits of a request; null where the service does not say. */
  get limits() {
    const known = (name) => {
      const value = this.info.limits?.[name];
      return Number.isFinite(value) ? value : null;
    };
    return {
      body: known('max_body_bytes'),
      memory: known('max_buffered_bytes'),
      ratio: known('max_inflate_ratio'),
      pixels: known('max_pixels'),
      slices: known('max_slices'),
      time: known('timeout_ms'),
    };
  }

  /** How long to wait for an answer, in ms: a little longer than the service itself takes. */
  get patience() {
    return this.limits.time === null ? 120_000 : this.limits.time + 15_000;
  }

  /**
   * Why a file of `size` bytes with these slices (a Stack, null: not known) would be refused; null
   * when it would not. `chosen`: some of the slices are asked for, and how many is not known here.
   */
  refusal(size, stack, chosen) {
    const { body, memory, ratio, pixels, slices } = this.limits;
    const { area, depth, unpacked } = stack ?? {};
    const takes = (most, flag) => `this service takes up to ${most} (--${flag}).`;
    const limits = [
      [
        size,
        body,
        `It has ${bytes(size)}; ${takes(bytes(body), 'max-body')} It can be looked at here all ` +
          'the same.',
      ],
      [area, pixels, `A slice has ${count(area)} pixels; ${takes(count(pixels), 'max-pixels')}`],
      [
        size + unpacked,
        memory,
        `It unpacks to ${bytes(unpacked)}; ${takes(bytes(memory), 'max-buffered')}`,
      ],
      [
        unpacked / size,
        ratio,
        `It unpacks to over ${count(ratio)} times its size (--max-inflate-ratio). Send it unpacked.`,
      ],
      [
        chosen ? 0 : depth,
        slices,
        `It has ${count(depth)} slices; ${takes(count(slices), 'max-slices')} Ask for some of ` +
          'them with “Slices” in the options.',
      ],
    ];
    return limits.find(([value, limit]) => limit !== null && value > limit)?.[2] ?? null;
  }

  start() {
    this.#pill('wait', 'Connecting');
    this.asked = this.refresh();
  }

  async refresh() {
    clearTimeout(this.timer);
    try {
      this.info = await this.service.info();
      this.tries = 0;
      this.#pill('ready', 'Ready');
      this.#warn();
      this.#describe();
    } catch (error) {
      if (error.status === 401) {
        this.#pill('wait', 'Key needed');
        return;
      }
      const [state, text] = error.status === 503 ? ['wait', 'Not ready'] : ['down', 'Not reachable'];
      const words = { model_loading: 'Model loading', draining: 'Shutting down' };
      this.#pill(state, words[error.code] ?? text);
      const seconds = error.retryAfter ?? AGAIN[Math.min(this.tries++, AGAIN.length - 1)];
      this.timer = setTimeout(() => this.refresh(), seconds * 1000);
    }
  }

  /** Whether the answer on the page comes from untrained weights. */
  setAnswer(noise) {
    this.answerIsNoise = noise;
    this.#warn();
  }

  #warn() {
    const noise = this.answerIsNoise || this.model.trained === false;
    show(byId('untrained'), noise);
    document.body.classList.toggle('noise', noise);
  }

  #pill(state, text) {
    const pill = byId('service');
    pill.dataset.state = state;
    byId('service-text').textContent = text;
  }

  #describe() {
    const { limits } = this;
    const rows = group('Model', modelFacts(this.model));
    const taken = group('This service takes', [
      ['File size', limits.body === null ? null : `up to ${bytes(limits.body)}`],
      ['Slice', limits.pixels === null ? null : `up to ${count(limits.pixels)} pixels`],
      ['Volume', limits.slices === null ? null : `up to ${count(limits.slices)} slices`],
      ['Time', limits.time === null ? null : `up to ${limits.time / 1000}\u00a0s`],
    ]);
    byId('model-facts').replaceChildren(el('dl.facts', rows, taken));
    show(byId('model-card'), rows.length > 0);
    this.#line();
    for (const [name, value] of Object.entries(this.info.defaults ?? {})) {
      const input = document.querySelector(`[data-request="${CSS.escape(name)}"]`);
      if (input !== null) {
        input.placeholder = `${value}`;
      }
    }
  }

  /** The line at the foot of the page: which weights, and whether they were trained. */
  #line() {
    const { name, version, sha256, trained } = this.model;
    fill(
      byId('model-line'),
      el('span.model-name', [name, version].filter(Boolean).join(' · ')),
      sha256
        ? el(
            'span.with-copy',
            el(
              'code',
              { title: `SHA-256 ${sha256}` },
              el('span.hash-name', 'sha256 '),
              `${sha256.slice(0, 12)}…`,
            ),
            copyButton('Copy SHA-256 of the model', () => sha256),
          )
        : null,
      typeof trained === 'boolean'
        ? el(
            'span',
            { class: trained ? 'trained' : 'not-trained' },
            trained ? 'trained' : 'untrained: noise',
          )
        : null,
    );
  }
}
