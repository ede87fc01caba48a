// What a reader sees when there is no answer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  choose,
  closePage,
  openPage,
  showSlice,
  SLICE,
  text,
  waitPhase,
} from './browser.mjs';
import { Mock, sendJson, sendProblem, sliceOf } from './mock.mjs';
import { onMock } from './pages.mjs';

const SIZE = { width: 256 };
const good = (request, response) => sendJson(response, 200, sliceOf(SIZE));
const { mock, withPage: onPage } = onMock('', good);
const withPage = (name, allowed, body) => onPage(name, { allowed }, body);

const REFUSALS = [
  [400, 'bad_option', 'score_threshold must be within 0 and 1.', /option/],
  [400, 'empty_body', 'The request has no body.', /empty/],
  [413, 'payload_too_large', 'The body is larger than 64 MiB (--max-body).', /too large/],
  [415, 'unsupported_media', 'These bytes are neither PNG nor NIfTI.', /Not a kind of file/],
  [422, 'bad_png', 'IDAT ends after 12 of 256 rows.', /damaged/],
  [422, 'constant_image', 'Every pixel has the value 0.', /one single grey/],
  [500, 'internal', 'Something failed; the log has more.', /failed/],
  [504, 'deadline_exceeded', 'The deadline of 10 s passed.', /too long/],
];

withPage(
  'refusals are told with detail, code and request id',
  REFUSALS.map(([s]) => s),
  async (page) => {
    for (const [status, code, detail, title] of REFUSALS) {
      mock.reply = (request, response) => sendProblem(response, status, code, detail);
      await choose(page);
      await page.waitForSelector(`.problem[data-code=${code}]`);
      assert.match(await text(page, '.problem-title'), title);
      assert.equal(await text(page, '.problem-detail'), detail);
      const facts = await text(page, '.problem-facts');
      assert.match(facts, new RegExp(`${code}.*${status}.*req-7f3a`));
      assert.equal(await page.getAttribute('.problem', 'role'), 'alert');
      assert.match(await text(page, '#status'), title);
      // Only what may pass by itself is offered again.
      assert.equal(
        await page.getByRole('button', { name: 'Try again' }).count(),
        status >= 500 ? 1 : 0,
      );
    }
    mock.reply = good;
    await showSlice(page);
    assert.ok(await page.isHidden('#problem'));
  },
);

withPage('a full queue counts down and tries again by itself', [429], async (page) => {
  let refusals = 0;
  mock.reply = (request, response) => {
    if (refusals++ === 0) {
      sendProblem(response, 429, 'queue_full', 'All 8 places are taken.', {
        'Retry-After': '20',
      });
    } else {
      good(request, response);
    }
  };
  await page.clock.install();
  await choose(page);
  await waitPhase(page, 'problem');
  assert.match(await text(page, '.problem-wait'), /Trying again in (20|1\d) s/);
  await page.clock.fastForward(10_000);
  await page.waitForFunction(
    () => parseInt(document.querySelector('.countdown').textContent, 10) <= 10,
  );
  assert.equal(mock.requests.length, 1, 'tried before the time was over');
  await page.clock.fastForward(11_000);
  await waitPhase(page, 'done');
  assert.equal(mock.requests.length, 2);
  assert.deepEqual(mock.requests[1].body, SLICE.buffer);
});

withPage('waiting may be cut short or given up', [503], async (page) => {
  mock.reply = (request, response) =>
    sendProblem(response, 503, 'model_loading', 'Almost there.', { 'Retry-After': '20' });
  await page.clock.install();
  await choose(page);
  await waitPhase(page, 'problem');
  assert.match(await text(page, '.problem-title'), /still loading/);
  await page.getByRole('button', { name: 'Stop waiting' }).click();
  await page.clock.fastForward(60_000);
  assert.equal(await text(page, '.problem-wait'), 'No further try on its own.');
  assert.equal(mock.requests.length, 1);
  mock.reply = good;
  await page.getByRole('button', { name: 'Try now' }).click();
  await waitPhase(page, 'done');
});

withPage('another file ends the wait for the first', [429], async (page) => {
  mock.reply = (request, response) =>
    sendProblem(response, 429, 'queue_full', 'Full.', { 'Retry-After': '20' });
  await page.clock.install();
  await choose(page);
  await waitPhase(page, 'problem');
  mock.reply = good;
  await showSlice(page, { ...SLICE, name: 'next.png' });
  await page.clock.fastForward(60_000);
  await waitPhase(page, 'done');
  assert.equal(mock.requests.length, 2);
});

withPage('a key is asked for, used, and kept out of sight', [401], async (page) => {
  mock.reply = (request, response) => {
    if (request.headers.authorization === 'Bearer s3cret') {
      good(request, response);
    } else {
      sendProblem(response, 401, 'unauthorized', 'Send a key.', {
        'WWW-Authenticate': 'Bearer',
      });
    }
  };
  await choose(page);
  await waitPhase(page, 'problem');
  await page.getByLabel('API key').fill('s3cret');
  await page.keyboard.press('Enter');
  await waitPhase(page, 'done');
  assert.match(await text(page, '.command'), /Bearer \$ONESHOT_KEY/);
  assert.ok(!(await page.content()).includes('s3cret'));
});

withPage('answers that are not answers', [502], async (page) => {
  const send = (status, type, body) => {
    mock.reply = (request, response) => {
      response.writeHead(status, { 'Content-Type': type });
      response.end(body);
    };
  };
  send(502, 'text/html', '<h1>Bad gateway</h1>');
  await choose(page);
  await waitPhase(page, 'problem');
  assert.match(await text(page, '.problem-title'), /proxy/);
  assert.match(await text(page, '.problem-detail'), /HTTP 502 came back with text\/html/);
  for (const [type, body, detail] of [
    ['text/html', '<html>login</html>', /text\/html/],
    ['application/json', '{"detections": [', /JSON/],
    ['application/json', '[1, 2]', /JSON/],
    ['application/json', '{"hello": "world"}', /input is missing/],
    [
      'application/json',
      JSON.stringify({ ...sliceOf(SIZE), detections: [{}] }),
      /detections\[0\]/,
    ],
  ]) {
    send(200, type, body);
    await page.evaluate(() => document.getElementById('problem').replaceChildren());
    await choose(page);
    await page.waitForSelector('.problem[data-code=answer]');
    assert.match(await text(page, '.problem-detail'), detail);
  }
});

withPage('no answer in time', [], async (page) => {
  mock.reply = () => {};
  await page.waitForSelector('#service[data-state=ready]');
  await page.clock.install();
  await choose(page);
  await page.waitForSelector('#busy:visible');
  while (mock.requests.length < 1) {
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
  await page.clock.fastForward(76_000);
  await page.waitForSelector('.problem[data-code=timeout]');
  assert.match(await text(page, '.problem-detail'), /75 seconds/);
});

withPage('stopping keeps the picture, and asks again on demand', [], async (page) => {
  mock.reply = () => {};
  await choose(page);
  await page.getByRole('button', { name: 'Stop' }).click();
  await waitPhase(page, 'stopped');
  assert.equal(await text(page, '#busy-text'), 'Stopped');
  assert.equal(await text(page, '#file-name'), SLICE.name);
  mock.reply = good;
  await page.getByRole('button', { name: 'Ask again' }).click();
  await waitPhase(page, 'done');
});

withPage('a file over the limit does not travel', [], async (page) => {
  mock.info.limits.max_body_bytes = 1000;
  await page.reload();
  await page.waitForSelector('#service[data-state=ready]');
  await choose(page);
  await page.waitForSelector('.problem[data-code=payload_too_large]');
  assert.match(await text(page, '.problem-detail'), /takes up to 1000 bytes/);
  assert.equal(mock.requests.length, 0);
});

withPage('a slice this browser cannot draw still shows its findings', [], async (page) => {
  mock.reply = good;
  await showSlice(page, { ...SLICE, buffer: SLICE.buffer.subarray(0, 60) });
  assert.match(await text(page, '.warnings'), /slice itself cannot be shown/);
  assert.equal(await page.locator('.findings tbody tr').count(), 5);
});

test('a service that went away, and came back', async (t) => {
  const other = await new Mock().start();
  t.after(() => other.stop());
  const page = await openPage(other.url, { allowed: ['offline'] });
  await page.waitForSelector('#service[data-state=ready]');
  const { port } = new URL(other.url);
  await other.stop();
  await choose(page);
  await page.waitForSelector('.problem[data-code=network]');
  assert.match(await text(page, '.problem-title'), /cannot be reached/);
  await page.waitForSelector('#service[data-state=down]');
  await new Promise((resolve) => {
    other.server.listen(Number(port), '127.0.0.1', resolve);
  });
  other.reply = good;
  await page.getByRole('button', { name: 'Try again' }).click();
  await waitPhase(page, 'done');
  await page.waitForSelector('#service[data-state=ready]');
  await closePage(page);
});
