// What the request under way is doing, in the strip between the slice and its bar.

import { byId, el, fill, show } from './dom.js';
import { shareOf, stateText } from './files.js';
import { bytes, duration, percent } from './format.js';
import { icon } from './icons.js';

/** actions: {stop(), again()}. */
export class ProgressStrip {
  constructor(actions) {
    this.item = null;
    this.text = el('strong', { id: 'busy-text' });
    this.detail = el('span.busy-detail');
    this.elapsed = el('span.elapsed', { id: 'elapsed' });
    this.bar = el(
      'span.busy-bar',
      { role: 'progressbar', 'aria-label': 'Progress', 'aria-valuemin': 0, 'aria-valuemax': 100 },
      el('span'),
    );
    this.stop = el(
      'button.button.small',
      { id: 'cancel', click: actions.stop },
      icon('close'),
      'Stop',
    );
    this.again = el(
      'button.button.small',
      { id: 'ask-again', click: actions.again },
      icon('refresh'),
      'Ask again',
    );
    fill(
      byId('busy'),
      el('p', this.text, this.detail, this.elapsed),
      this.bar,
      this.stop,
      this.again,
    );
    setInterval(() => this.#tick(), 250);
  }

  show(item) {
    this.item = item;
    const busy = item !== null && (item.busy || item.status === 'waiting');
    show(byId('busy'), busy || item?.status === 'stopped');
    if (item === null) {
      return;
    }
    show(this.stop, busy);
    show(this.bar, busy);
    show(this.again, !busy);
    this.text.textContent = stateText(item);
    const share = shareOf(item);
    const steady = share > 0 && (item.status === 'sending' || item.progress.total > 1);
    this.bar.classList.toggle('unknown', !steady);
    this.bar.style.setProperty('--value', steady ? `${100 * share}%` : '100%');
    if (steady) {
      this.bar.setAttribute('aria-valuenow', Math.round(100 * share));
    } else {
      this.bar.removeAttribute('aria-valuenow');
    }
    this.detail.textContent = this.#details(item);
    this.#tick();
  }

  #details({ status, progress, size }) {
    if (status === 'sending') {
      return `${bytes(size * progress.share)} of ${bytes(size)}`;
    }
    if (status === 'running' && progress.total > 1) {
      const left = progress.eta === null ? '' : `, about ${duration(progress.eta)} left`;
      return `${percent(progress.done / progress.total, 0)}${left}`;
    }
    return '';
  }

  #tick() {
    const { item } = this;
    const counts = item !== null && item.busy;
    show(this.elapsed, counts);
    if (counts) {
      const seconds = (performance.now() - item.progress.started) / 1000;
      this.elapsed.textContent = `${seconds.toFixed(1)} s`;
    }
  }
}
