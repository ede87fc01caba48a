// Every test of the viewer: node --test run.mjs
//
// Needs chromium (CHROMIUM, default /usr/bin/chromium) and the service (ONESHOT_BIN, default
// build/oneshot; ONESHOT_FAKE_BIN, default build/oneshot-fake). Files to open are made on the spot.

import { after } from 'node:test';
import { close } from './browser.mjs';
import './test_budget.mjs';
import './test_modules.mjs';
import './test_page.mjs';
import './test_stage.mjs';
import './test_layout.mjs';
import './test_volume.mjs';
import './test_dicom.mjs';
import './test_folders.mjs';
import './test_overlay.mjs';
import './test_stream.mjs';
import './test_shots.mjs';
import './test_errors.mjs';
import './test_access.mjs';
import './test_axe.mjs';
import './test_service.mjs';
import './test_scan.mjs';
import './test_memory.mjs';

after(close);
