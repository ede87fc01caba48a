// The few tests of the viewer that `make test` runs: node --test short.mjs
//
// A volume on the service with its model, in Chromium, from the drop to what is kept; axe-core on
// every state in one theme; the size of the page. `run.mjs` is all of them.

import { after } from 'node:test';
import { close } from './browser.mjs';

process.env.SHORT = '1';
await import('./test_budget.mjs');
await import('./test_scan.mjs');
await import('./test_axe.mjs');

after(close);
