// The service over HTTP. Addresses are relative to the page, so any prefix works.

/**
 * Why a call gave no answer. kind: 'problem' (the service said so, see status, code, detail),
 * 'answer' (something answered, but not with what was asked for), 'network', 'timeout', 'aborted'.
 * retryAfter: seconds, or null.
 */
export class ServiceError extends Error {
    constructor(kind, facts = {}) {
        super(facts.detail ?? kind);
        this.name = 'ServiceError';
        this.kind = kind;
        this.status = facts.status ?? 0;
        this.code = facts.code ?? '';
        this.title = facts.title ?? '';
        this.detail = facts.detail ?? '';
        this.requestId = facts.requestId ?? '';
        this.retryAfter = facts.retryAfter ?? null;
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

export class Service {
    /** base: address of the page; fetch: for tests. */
    constructor(base, fetchFunction = (...args) => fetch(...args)) {
        this.base = base;
        this.fetch = fetchFunction;
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

    /** Facts about model and service: the parsed answer of /v1/info. */
    async info(signal) {
        const { json } = await this.#call(this.address('v1/info'), {}, signal, 10_000);
        return json;
    }

    /**
     * Sends a file. Returns {json, text, requestId, roundTrip (ms)}; `text` is the answer as it
     * came. Throws ServiceError.
     */
    async predict(file, { options = {}, signal, timeout = 120_000 } = {}) {
        const started = performance.now();
        const answer = await this.#call(
            this.predictAddress(options),
            {
                method: 'POST',
                body: file,
                headers: file.type ? {} : { 'Content-Type': 'application/octet-stream' },
            },
            signal,
            timeout,
        );
        return { ...answer, roundTrip: performance.now() - started };
    }

    predictAddress(options = {}) {
        return this.address('v1/predict', { ...options, masks: 'rle' });
    }

    async #call(url, init, signal, timeout) {
        const stop = new AbortController();
        const onAbort = () => stop.abort();
        let late = false;
        const timer = setTimeout(() => {
            late = true;
            stop.abort();
        }, timeout);
        signal?.addEventListener('abort', onAbort);
        if (signal?.aborted) {
            stop.abort();
        }
        const headers = { Accept: 'application/json, application/problem+json', ...init.headers };
        if (this.key) {
            headers.Authorization = `Bearer ${this.key}`;
        }
        try {
            const response = await this.fetch(url, {
                ...init,
                headers,
                signal: stop.signal,
                cache: 'no-store',
                credentials: 'same-origin',
                redirect: 'error',
            });
            const text = await response.text();
            return readAnswer(response, text);
        } catch (error) {
            if (error instanceof ServiceError) {
                throw error;
            }
            if (late) {
                throw new ServiceError('timeout', {
                    detail: `There was no answer within ${Math.round(timeout / 1000)} seconds.`,
                });
            }
            if (signal?.aborted) {
                throw new ServiceError('aborted');
            }
            throw new ServiceError('network', { detail: `Nothing answered at ${url.origin}.` });
        } finally {
            clearTimeout(timer);
            signal?.removeEventListener('abort', onAbort);
        }
    }
}

function readAnswer(response, text) {
    const type = response.headers.get('content-type') ?? '';
    const requestId = response.headers.get('x-request-id') ?? '';
    let json = null;
    if (/[/+]json\b/.test(type)) {
        try {
            json = JSON.parse(text);
        } catch {
            json = null;
        }
    }
    const isObject = json !== null && typeof json === 'object' && !Array.isArray(json);
    if (response.ok && isObject) {
        return { json, text, requestId: stringOr(json.request_id, requestId) };
    }
    const what = type === '' ? 'without saying what it is' : `with ${type.split(';')[0]}`;
    const facts = {
        status: response.status,
        requestId,
        retryAfter: retryAfterSeconds(response.headers.get('retry-after')),
        detail:
            `HTTP ${response.status} came back ${what} where JSON was expected. ` +
            'A proxy in front of the service may have answered instead.',
    };
    if (!response.ok && isObject) {
        throw new ServiceError('problem', {
            ...facts,
            code: stringOr(json.code, ''),
            title: stringOr(json.title, ''),
            detail: stringOr(json.detail, stringOr(json.title, facts.detail)),
            requestId: stringOr(json.request_id, requestId),
        });
    }
    throw new ServiceError(response.ok ? 'answer' : 'problem', facts);
}

function stringOr(value, otherwise) {
    return typeof value === 'string' && value !== '' ? value : otherwise;
}
