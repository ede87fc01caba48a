// Errors in words: what happened, what the service said, what to do now.

import { copyButton, el } from './dom.js';
import { icon } from './icons.js';

const TITLES = {
  bad_option: 'An option was not accepted',
  empty_body: 'The file is empty',
  unauthorized: 'This service needs a key',
  payload_too_large: 'The file is too large',
  unsupported_media: 'Not a kind of file the service reads',
  bad_png: 'The PNG is damaged',
  bad_nifti: 'The NIfTI file is damaged',
  bad_dicom: 'The DICOM slices cannot be read',
  bad_image: 'The picture cannot be used',
  constant_image: 'The picture is one single grey',
  queue_full: 'The service is busy',
  model_loading: 'The model is still loading',
  draining: 'The service is shutting down',
  deadline_exceeded: 'The answer took too long',
  internal: 'The service failed',
};
// Of answers without a code, such as a proxy's.
const BY_STATUS = {
  400: 'The request was not accepted',
  401: TITLES.unauthorized,
  403: 'This service refused the request',
  404: 'The service is not at this address',
  413: TITLES.payload_too_large,
  502: 'The service is not reachable behind its proxy',
  503: 'The service is not ready',
  504: TITLES.deadline_exceeded,
};
const BY_KIND = {
  network: 'The service cannot be reached',
  timeout: 'No answer in time',
  answer: 'The answer could not be read',
  file: 'The file cannot be read',
};
const ADVICE = {
  network: 'Check that the service runs and that this computer can reach it, then try again.',
  timeout: 'It may be busy or stuck. Try again, or ask whoever runs it.',
  answer:
    'The service and this page may be of different versions, or something in between ' +
    'answered.',
  file: 'It may have been moved or changed. Choose it again.',
};

export function problemTitle(error) {
  return (
    TITLES[error.code] ??
    BY_STATUS[error.status] ??
    BY_KIND[error.kind] ??
    error.title ??
    'Something went wrong'
  );
}

/**
 * The card shown in place of a result. actions: {retry, choose, useKey(key)}. Returns {root, stop}:
 * stop() ends the countdown.
 */
export function problemCard(error, actions) {
  const heading = el('h2.problem-title', { tabindex: '-1' }, icon('alert'), problemTitle(error));
  const root = el(
    'div.problem',
    { role: 'alert', 'data-code': error.code || error.kind },
    heading,
    el('p.problem-detail', error.detail),
    error.kind in ADVICE && !error.code ? el('p.problem-advice', ADVICE[error.kind]) : null,
  );
  let timer = null;
  const stop = () => clearInterval(timer);
  const buttons = el('div.buttons');
  if (error.status === 401) {
    buttons.append(keyForm(actions.useKey));
  } else {
    const waits = error.retryAfter !== null && (error.status === 429 || error.status === 503);
    if (waits) {
      const now = () => {
        stop();
        actions.retry();
      };
      const wait = countdown(error.retryAfter, actions.retry);
      timer = wait.timer;
      root.append(wait.root);
      buttons.append(
        button('Try now', 'refresh', now, 'primary'),
        button('Stop waiting', 'close', () => {
          stop();
          wait.root.replaceChildren('No further try on its own.');
        }),
      );
    } else if (mayHelp(error)) {
      buttons.append(button('Try again', 'refresh', actions.retry, 'primary'));
    }
    buttons.append(button('Choose another file', 'folder', actions.choose));
  }
  root.append(buttons);
  const facts = [
    error.code ? el('span', 'Code ', el('code', error.code)) : null,
    error.status ? el('span', 'HTTP ', el('code', String(error.status))) : null,
    error.requestId
      ? el(
          'span.with-copy',
          'Request ',
          el('code', error.requestId),
          copyButton('Copy request id', () => error.requestId),
        )
      : null,
  ].filter(Boolean);
  if (facts.length > 0) {
    root.append(el('p.problem-facts', facts));
  }
  return { root, stop };
}

// Whether the same file might be answered the next time.
function mayHelp(error) {
  return (
    ['network', 'timeout', 'answer'].includes(error.kind) ||
    error.status === 408 ||
    error.status === 429 ||
    error.status >= 500
  );
}

function countdown(seconds, retry) {
  const end = performance.now() + seconds * 1000;
  const left = el('b.countdown', `${seconds} s`);
  const bar = el('span.countdown-bar', { css: { '--value': '100%' } });
  // Read out once, not every second.
  const root = el(
    'div.problem-wait',
    el('p', 'Trying again in ', el('span', { 'aria-live': 'off' }, left)),
    el('span.countdown-track', { 'aria-hidden': 'true' }, bar),
  );
  const timer = setInterval(() => {
    const rest = Math.max(0, (end - performance.now()) / 1000);
    left.textContent = `${Math.ceil(rest)} s`;
    bar.style.setProperty('--value', `${(100 * rest) / seconds}%`);
    if (rest <= 0) {
      clearInterval(timer);
      retry();
    }
  }, 200);
  return { root, timer };
}

function keyForm(useKey) {
  const input = el('input', {
    type: 'password',
    id: 'api-key',
    autocomplete: 'off',
    required: true,
    spellcheck: 'false',
  });
  return el(
    'form.key-form',
    {
      submit: (event) => {
        event.preventDefault();
        useKey(input.value.trim());
      },
    },
    el('label', { for: 'api-key' }, 'API key'),
    input,
    el('button.button.primary', { type: 'submit' }, 'Use key'),
    el('p.note', 'Kept in this tab only, and forgotten when it closes.'),
  );
}

function button(label, symbol, run, kind = '') {
  return el('button', { class: `button ${kind}`, click: run }, icon(symbol), label);
}
