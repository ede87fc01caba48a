// What the service hands out besides answers: how large the page is, where its samples come from.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { drawSamples } from './samples.mjs';
import { programs } from './service.mjs';

const STATIC = fileURLToPath(new URL('../../static/', import.meta.url));
const MOST = 300_000; // bytes, as they are, without compression

test('page, scripts and styles are small, and they are all there is', () => {
  const names = readdirSync(STATIC).filter((name) => /\.(html|js|css|svg)$/.test(name));
  const total = names.reduce((sum, name) => sum + statSync(STATIC + name).size, 0);
  assert.ok(total <= MOST, `${total} bytes, ${total - MOST} too many`);
  // What the page asks for by name is one of them: nothing comes from anywhere else.
  const page = readFileSync(`${STATIC}index.html`, 'utf8');
  const asked = [...page.matchAll(/(?:href|src)="([^"#]+)"/g)].map(([, name]) => name);
  assert.ok(asked.length > 5);
  assert.deepEqual(asked.filter((name) => !names.includes(name)), ['openapi.yaml']);
});

const [[, oneshot, built]] = programs();
test('the samples are what the phantom draws', { skip: !built && `${oneshot} is not built` }, () => {
  const { png, volume } = drawSamples(oneshot);
  const kept = (name) => readFileSync(STATIC + name);
  assert.ok(kept('sample.png').equals(png), 'sample.png is another: make samples');
  assert.ok(gunzipSync(kept('sample.nii.gz')).equals(volume), 'sample.nii.gz is another: make samples');
});
