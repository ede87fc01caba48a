// The service over HTTP. Addresses are relative to the page, so any prefix works.

import { Lines } from './stream.js';

/**
 * Why a call gave no answer. kind: 'problem' (the service said so, see status, code, detail),
 * 'answer' (something answered, but not with what was asked for), 'network', 'timeout', 'aborted',
 * 'file'. retryAfter: seconds, or null.
 */
export class ServiceError extends Error {
  constructor(
    kind,
    { status = 0, code = '', title = '', detail = '', requestId = '', retryAfter = null } = {},
  ) {
    super(detail || kind);
    this.name = 'ServiceError';
    Object.assign(this, { kind, status, code, title, detail, requestId, retryAfter });
  }
}

/** Seconds of a Retry-After header (a number or a date); null when absent or unreadable. */
export function retryAfterSeconds(header, now = Date.now()) {
  if (header === null || header === undefined || header.trim() === '') {
    return null;
  }
  const seconds = /^\s*\d+\s*$/.test(header) ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(seconds) ? Math.min(3600, Math.max(1, Math.ceil(seconds))) : null;
}

const INFO_TIMEOUT = 10_000; // ms
const QUIET = 45_000; // ms without a byte after which a stream counts as dead; pings come every 15 s
const JSON_TYPES = 'application/json, application/problem+json';

export class Service {
  /** base: address of the page. */
  constructor(base) {
    this.base = base;
    this.key = ''; // bearer key, kept in memory only
  }

  address(path, query = {}) {
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries(query)) {
      if (value !== '' && value !== null && value !== undefined) {
        url.searchParams.set(name, value);
      }
    }
    return url;
  }

  predictAddress(options = {}) {
    return this.address('v1/predict', { ...options, masks: 'rle' });
  }

  /** Facts about model and service: the parsed answer of /v1/info. */
  async info() {
    const answer = await this.#send({
      method: 'GET',
      url: this.address('v1/info'),
      accept: JSON_TYPES,
      timeout: INFO_TIMEOUT,
    });
    return readJson(answer).json;
  }

  /**
   * Sends one slice. Returns {json, text, requestId, roundTrip (ms)}; `text` is the answer as it
   * came. onUpload(share 0..1). Throws ServiceError.
   */
  async predict(body, { options = {}, signal, timeout = 120_000, onUpload }) {
    const started = performance.now();
    const answer = await this.#send({
      url: this.predictAddress(options),
      accept: JSON_TYPES,
      body,
      signal,
      timeout,
      onUpload,
    });
    return { ...readJson(answer), roundTrip: performance.now() - started };
  }

  /**
   * Sends a volume; onEvent(object) runs for each line of the answer as it arrives. Returns
   * {requestId, roundTrip}. Throws ServiceError, also for a stream that ends in the middle.
   */
  async stream(body, { options = {}, signal, onUpload, onEvent }) {
    const started = performance.now();
    let ended = null;
    let streamed = false;
    const lines = new Lines((event) => {
      ended = event.event === 'done' || event.event === 'error' ? event : ended;
      onEvent(event);
    });
    const answer = await this.#send({
      url: this.predictAddress(options),
      accept: 'application/x-ndjson, application/problem+json',
      body,
      signal,
      quiet: QUIET,
      onUpload,
      onText: (text, type) => {
        if (type.startsWith('application/x-ndjson')) {
          streamed = true;
          lines.push(text);
        }
      },
    });
    if (!streamed) {
      readJson(answer); // a problem, or something else: throws
      throw new ServiceError('answer', {
        requestId: answer.requestId,
        detail: 'The service answered all at once where slice by slice was asked for.',
      });
    }
    lines.end();
    if (ended?.event === 'error') {
      throw problemOf(ended.error ?? {}, { requestId: answer.requestId });
    }
    if (ended === null) {
      throw new ServiceError('answer', {
        requestId: answer.requestId,
        detail: 'The answer broke off. What had arrived is kept.',
      });
    }
    return { requestId: answer.requestId, roundTrip: performance.now() - started };
  }

  /** The label map of a volume as a Blob (.nii.gz on the grid of what was sent). */
  async labelMap(body, { options = {}, signal, onUpload }) {
    const answer = await this.#send({
      url: this.address('v1/predict', { ...options, explain: 'false' }),
      accept: 'application/x-nifti, application/problem+json',
      body,
      signal,
      onUpload,
      binary: true,
    });
    if (answer.status !== 200 || !/nifti|gzip/.test(answer.type)) {
      readJson({ ...answer, text: await answer.blob.text() });
      throw new ServiceError('answer', { detail: `It came back as ${answer.type}.` });
    }
    return answer.blob;
  }

  // fetch() does not tell how far an upload is, so this is XMLHttpRequest.
  #send({ method = 'POST', url, accept, body = null, signal, timeout, quiet, onUpload, onText, binary }) {
    const request = new XMLHttpRequest();
    request.open(method, url);
    request.responseType = binary ? 'blob' : 'text';
    request.setRequestHeader('Accept', accept);
    if (body !== null && !body.type) {
      request.setRequestHeader('Content-Type', 'application/octet-stream');
    }
    if (this.key) {
      request.setRequestHeader('Authorization', `Bearer ${this.key}`);
    }
    const clock = new Patience(request, timeout, quiet);
    let read = 0;
    const hand = () => {
      clock.heard();
      if (onText !== undefined && request.status === 200) {
        const text = request.responseText;
        onText(text.slice(read), request.getResponseHeader('content-type') ?? '');
        read = text.length;
      }
    };
    return new Promise((resolve, reject) => {
      const fail = (kind, detail) => reject(new ServiceError(kind, { detail }));
      const abort = () => {
        request.abort();
        fail('aborted');
      };
      signal?.addEventListener('abort', abort, { once: true });
      request.upload.addEventListener('progress', (event) => {
        clock.heard();
        onUpload?.(event.lengthComputable ? event.loaded / event.total : 0);
      });
      request.upload.addEventListener('load', () => onUpload?.(1));
      request.addEventListener('progress', hand);
      request.addEventListener('load', () => {
        hand();
        resolve(answerOf(request, binary));
      });
      request.addEventListener('error', () =>
        fail('network', `Nothing answered at ${url.origin}, or the connection broke.`),
      );
      request.addEventListener('abort', () => {
        if (clock.over !== null) {
          fail('timeout', `There was no answer within ${clock.over / 1000} seconds.`);
        }
      });
      if (signal?.aborted) {
        abort();
      } else {
        request.send(body);
      }
    }).finally(() => clock.stop());
  }
}

/** Gives up on a request after `timeout` ms altogether, or `quiet` ms without a sign of life. */
class Patience {
  constructor(request, timeout, quiet) {
    this.request = request;
    this.quiet = quiet;
    this.over = null; // ms after which it was given up
    if (timeout !== undefined) {
      this.timer = setTimeout(() => this.#end(timeout), timeout);
    }
    this.heard();
  }

  heard() {
    if (this.quiet !== undefined) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.#end(this.quiet), this.quiet);
    }
  }

  stop() {
    clearTimeout(this.timer);
  }

  #end(after) {
    this.over = after;
    this.request.abort();
  }
}

function answerOf(request, binary) {
  return {
    status: request.status,
    type: request.getResponseHeader('content-type') ?? '',
    requestId: request.getResponseHeader('x-request-id') ?? '',
    retryAfter: retryAfterSeconds(request.getResponseHeader('retry-after')),
    text: binary ? '' : request.responseText,
    blob: binary ? request.response : null,
  };
}

/** {json, text, requestId} of an answer that went well; throws ServiceError for all others. */
function readJson({ status, type, requestId, retryAfter, text }) {
  let json = null;
  if (/[/+]json\b/.test(type)) {
    try {
      json = JSON.parse(text);
    } catch {
      json = null;
    }
  }
  const isObject = json !== null && typeof json === 'object' && !Array.isArray(json);
  const ok = status >= 200 && status < 300;
  if (ok && isObject) {
    return { json, text, requestId: stringOr(json.request_id, requestId) };
  }
  const what = type === '' ? 'without saying what it is' : `with ${type.split(';')[0]}`;
  const facts = {
    status,
    requestId,
    retryAfter,
    detail:
      `HTTP ${status} came back ${what} where JSON was expected. ` +
      'A proxy in front of the service may have answered instead.',
  };
  throw !ok && isObject
    ? problemOf(json, facts)
    : new ServiceError(ok ? 'answer' : 'problem', facts);
}

/** A problem document, or the last event of a stream that failed. */
function problemOf(json, facts) {
  return new ServiceError('problem', {
    ...facts,
    status: Number.isInteger(json.status) ? json.status : facts.status,
    code: stringOr(json.code, ''),
    title: stringOr(json.title, ''),
    detail: stringOr(json.detail, stringOr(json.title, facts.detail)),
    requestId: stringOr(json.request_id, facts.requestId),
  });
}

function stringOr(value, otherwise) {
  return typeof value === 'string' && value !== '' ? value : otherwise;
}
