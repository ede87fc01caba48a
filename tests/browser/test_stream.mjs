// A volume's answer as it comes: slice by slice, broken off, and what can be kept of it.

import assert from 'node:assert/strict';
import { choose, text, waitPhase } from './browser.mjs';
import { sendProblem } from './mock.mjs';
import { niiGz, onMock, openAnswered, save, waitText } from './pages.mjs';
import { answerOf, beginStream, eventsOf, sendVolume, SIZE } from './volume.mjs';

const FILE = niiGz();
const DEPTH = SIZE[2];
const { mock, withPage } = onMock('/ct', (request, response) => sendVolume(response));

/** A request that a test answers event by event. */
function held() {
  let write;
  let response;
  const came = new Promise((resolve) => {
    mock.reply = (request, out) => {
      response = out;
      write = beginStream(out);
      resolve();
    };
  });
  return { came, send: (...events) => write(...events), end: () => response.end(), get left() {
    return response.destroyed;
  } };
}

withPage('queue, progress and results are told as they come', {}, async (page) => {
  const [accepted, volume, ...rest] = eventsOf();
  const request = held();
  await choose(page, FILE);
  await request.came;
  assert.equal(mock.requests[0].headers.accept.split(',')[0], 'application/x-ndjson');
  assert.deepEqual(mock.requests[0].body, FILE.buffer);
  request.send(accepted);
  await waitText(page, '#busy-text', /^Place 2 in the queue$/);
  assert.equal(await page.isVisible('#results'), false);
  request.send(volume, ...rest.slice(0, 3));
  await waitText(page, '#busy-text', /^Slice 3 of 12$/);
  await waitText(page, '.busy-detail', /^25 %, about 23 s left$/);
  assert.equal(await page.getAttribute('.busy-bar', 'aria-valuenow'), '25');
  // The slice that is shown has none yet, an earlier one has.
  await waitText(page, '#no-answer', /Slice 7 has no answer yet/);
  await page.locator('#slice').fill('3');
  await page.waitForSelector('#results:visible');
  assert.equal(await text(page, '.slice-title'), 'Slice 3 of 12');
  await page.locator('#slice').fill('7');
  await page.waitForSelector('#results', { state: 'hidden' });
  request.send(...rest.slice(3, 7));
  await page.waitForSelector('#results:visible');
  assert.equal(await text(page, '.slice-title'), 'Slice 7 of 12');
  await waitText(page, '.figure-label', /7 of 12 slices so far/);
  request.send(...rest.slice(7));
  request.end();
  await waitPhase(page, 'done');
  assert.match(await text(page, '#status'), /Done\. COVID-19\. .* of the lung affected/);
});

withPage('stopping ends the request and keeps what came', {}, async (page) => {
  const events = eventsOf();
  const request = held();
  await choose(page, FILE);
  await request.came;
  request.send(...events.slice(0, 10));
  await waitText(page, '#busy-text', /^Slice 8 of 12$/);
  await page.getByRole('button', { name: 'Stop' }).click();
  await waitPhase(page, 'stopped');
  assert.equal(await text(page, '#busy-text'), 'Stopped after 8 slices');
  while (!request.left) {
    await page.waitForTimeout(20);
  }
  await page.waitForSelector('#results:visible');
  mock.reply = (_, response) => sendVolume(response);
  await page.getByRole('button', { name: 'Ask again', exact: true }).click();
  await waitPhase(page, 'done');
});

withPage('a stream that breaks off, or ends in an error, says so', { allowed: ['offline'] }, async (page) => {
  const events = eventsOf();
  for (const [end, code, detail] of [
    [[], 'answer', /broke off.*kept/],
    [
      [{ event: 'error', error: { status: 504, code: 'deadline_exceeded', detail: 'No result within 60000 ms.' } }],
      'deadline_exceeded',
      /within 60000 ms/,
    ],
  ]) {
    mock.reply = (request, response) => {
      beginStream(response)(...events.slice(0, 10), ...end);
      response.end();
    };
    await choose(page, { ...FILE, name: `${code}.nii.gz` });
    await page.waitForSelector(`.problem[data-code=${code}]`);
    assert.match(await text(page, '.problem-detail'), detail);
    await page.waitForSelector('#results:visible');
    assert.equal(await text(page, '.slice-title'), 'Slice 7 of 12');
  }
});

withPage('a slice without findings says why', {}, async (page) => {
  const detail = 'every pixel has the same value, so there is nothing to standardise';
  const events = eventsOf().map((event) =>
    event.event === 'slice' && event.slice === 0
      ? { event: 'slice', slice: 0, position_mm: -300, progress: event.progress, error: { code: 'constant_image', detail } }
      : event,
  );
  mock.reply = (request, response) => {
    beginStream(response)(...events);
    response.end();
  };
  await openAnswered(page);
  await page.locator('#slice').fill('1');
  await waitText(page, '#no-answer', /Slice 1 has no findings: every pixel/);
});

withPage('the whole volume: burden, profile, worst slices, vote', {}, async (page) => {
  await openAnswered(page);
  const panel = '#volume-panel';
  assert.match(await text(page, `${panel} .verdict`), /COVID-19\s*81\.0 %/);
  assert.match(await text(page, '.vote-rule'), /mean of the slices with much lung/);
  const { summary } = eventsOf().at(-2);
  const total = summary.burden.total;
  assert.equal(await text(page, `${panel} .figure`), `${total.affected_pct.toFixed(1)} %`);
  const cells = (await page.locator('.burden-table tbody tr').first().locator('td').allInnerTexts()).map(parseFloat);
  ['right', 'left', 'total'].forEach((side, i) => {
    assert.ok(Math.abs(cells[i] - summary.burden[side].lung_ml) < 0.06, `${side}: ${cells}`);
  });
  const chips = await page.locator('.worst .chip').allInnerTexts();
  assert.equal(chips.length, summary.worst_slices.filter((w) => w.affected_pct >= 0).length);
  await page.locator('.worst .chip').first().click();
  const worst = summary.worst_slices[0].slice + 1;
  await waitText(page, '.slice-number', new RegExp(`^${worst} / 12$`));
  // The plot goes where it is clicked, and by keyboard.
  const plot = await page.locator('#profile').boundingBox();
  await page.mouse.click(plot.x + 34 + ((plot.width - 42) * 10.5) / DEPTH, plot.y + 60);
  await waitText(page, '.slice-number', /^11 \/ 12$/);
  await page.locator('#profile').focus();
  await page.keyboard.press('ArrowLeft');
  await waitText(page, '.slice-number', /^10 \/ 12$/);
  await page.keyboard.press('Home');
  await waitText(page, '.slice-number', /^1 \/ 12$/);
  assert.equal(await page.getAttribute('#profile', 'aria-valuetext'), 'slice 1: 0.0\u00a0%');
});

withPage('answer, findings, picture, labels, report and command', { acceptDownloads: true }, async (page) => {
  await openAnswered(page);
  const json = await save(page, '#save-json');
  assert.equal(json.name, 'chest.oneshot.json');
  const answer = JSON.parse(json.bytes);
  assert.equal(answer.slices.length, DEPTH);
  assert.equal(answer.request_id, 'req-volume');
  assert.equal(answer.summary.vote.predicted, 'covid_19');
  assert.deepEqual(answer.slices[5].detections, answerOf(5).detections);
  const csv = await save(page, '#save-csv');
  assert.equal(csv.name, 'chest.findings.csv');
  const lines = csv.bytes.toString().trim().split('\r\n');
  assert.equal(lines[0], 'slice,id,class,score,x,y,width,height,area_px,area_mm2');
  const found = Array.from({ length: DEPTH }, (_, k) => answerOf(k).detections.map((d) => [k, d]));
  assert.equal(lines.length - 1, found.flat().length);
  const [k, d] = found.flat()[7];
  assert.equal(
    lines[8],
    [k, d.id, d.class, d.score, ...d.bbox_xywh, d.area_px, (d.area_px * 0.64).toFixed(2)].join(','),
  );
  const png = await save(page, '#save-png');
  assert.equal(png.name, 'chest.slice7.oneshot.png');
  assert.equal(png.bytes.toString('latin1', 1, 4), 'PNG');
  const map = Buffer.from('a label map');
  mock.reply = (request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/x-nifti' });
    response.end(map);
  };
  const labels = await save(page, '#save-labels');
  assert.equal(labels.name, 'chest.labels.nii.gz');
  assert.deepEqual(labels.bytes, map);
  assert.match(mock.requests.at(-1).headers.accept, /^application\/x-nifti/);
  assert.equal(
    await text(page, '.command'),
    "curl -N -H 'Accept: application/x-ndjson' --data-binary @chest.nii.gz " +
      `'${mock.url}v1/predict?masks=rle'`,
  );
  const paper = (await page.pdf({ preferCSSPageSize: true })).toString('latin1');
  assert.equal(paper.match(/\/Type \/Page\b/g).length, 1, 'the report is one page');
});

withPage('a label map that is refused is told', { allowed: [429] }, async (page) => {
  await openAnswered(page);
  mock.reply = (request, response) =>
    sendProblem(response, 429, 'queue_full', 'All 8 places are taken.', { 'Retry-After': '9' });
  await page.click('#save-labels');
  await waitText(page, '#keep-problem', /busy.*All 8 places/);
});

withPage('the page under print holds the report', {}, async (page) => {
  await openAnswered(page);
  await page.evaluate(() => window.dispatchEvent(new Event('beforeprint')));
  await page.emulateMedia({ media: 'print' });
  const report = await text(page, '#report');
  assert.match(report, /Research use only – not for diagnosis/);
  assert.match(report, /COVID-19.*83\.3 %/s);
  assert.match(report, /4f0c2b7de0a94d6f8a5a5a1f0f8e3c2db1907d61b2c45a0f9c87e6d5b4a39281/);
  assert.ok(await page.isVisible('#report'));
  assert.ok(await page.isHidden('main'));
  await page.emulateMedia({ media: null });
  await page.evaluate(() => window.dispatchEvent(new Event('afterprint')));
  assert.equal(await text(page, '#report'), '');
});

withPage('nothing is left in the browser', {}, async (page) => {
  await openAnswered(page);
  const kept = await page.evaluate(async () => ({
    local: localStorage.length,
    session: sessionStorage.length,
    databases: (await indexedDB.databases()).length,
    caches: (await caches.keys()).length,
    cookies: document.cookie,
    workers: (await navigator.serviceWorker?.getRegistrations())?.length ?? 0,
  }));
  assert.deepEqual(kept, { local: 0, session: 0, databases: 0, caches: 0, cookies: '', workers: 0 });
});
