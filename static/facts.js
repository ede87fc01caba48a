// What is known about the service: its state in the header, the model, its limits, the banner.

import { byId, el, show } from './dom.js';
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
        const limits = this.info.limits ?? {};
        const known = (value) => (Number.isFinite(value) ? value : null);
        return {
            body: known(limits.max_body_bytes),
            pixels: known(limits.max_pixels),
            time: known(limits.timeout_ms),
        };
    }

    /** How long to wait for an answer, in ms: a little longer than the service itself takes. */
    get patience() {
        return this.limits.time === null ? 120_000 : this.limits.time + 15_000;
    }

    start() {
        this.#pill('wait', 'Connecting');
        this.refresh();
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
            this.#pill(
                error.status === 503 ? 'wait' : 'down',
                error.code === 'model_loading'
                    ? 'Model loading'
                    : error.code === 'draining'
                      ? 'Shutting down'
                      : error.status === 503
                        ? 'Not ready'
                        : 'Not reachable',
            );
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
            ['Picture', limits.pixels === null ? null : `up to ${count(limits.pixels)} pixels`],
            ['Time', limits.time === null ? null : `up to ${limits.time / 1000}\u00a0s`],
        ]);
        byId('model-facts').replaceChildren(el('dl', { class: 'facts' }, rows, taken));
        show(byId('model-card'), rows.length > 0);
        for (const [name, value] of Object.entries(this.info.defaults ?? {})) {
            const input = document.querySelector(`[data-request="${CSS.escape(name)}"]`);
            if (input !== null) {
                input.placeholder = `${value}`;
            }
        }
    }
}
