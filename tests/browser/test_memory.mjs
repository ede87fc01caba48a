// A large volume takes its memory while it is open, and gives it back.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { launch, openPage, withEnd } from './browser.mjs';
import { dropPath, LARGE, largeVolume } from './large.mjs';
import { Mock } from './mock.mjs';
import { waitText } from './pages.mjs';

const VOXELS = (LARGE[0] * LARGE[1] * LARGE[2] * 2) / 2 ** 20; // MiB
const SLACK = VOXELS / 2; // what allocators may keep; below a volume, so that none can hide in it
let mock;
let file;

before(async () => {
  mock = await new Mock().start();
  // It does not travel: this is about the page.
  mock.info.limits.max_body_bytes = 2 ** 20;
  file = await largeVolume('large.nii');
});
after(async () => {
  await mock.stop();
  file.remove();
});

/** MiB that the page's process holds for itself, after everything that can go has gone. */
async function held(page, session, browserSession) {
  await session.send('HeapProfiler.collectGarbage');
  const { processInfo } = await browserSession.send('SystemInfo.getProcessInfo');
  return processInfo
    .filter(({ type }) => type === 'renderer')
    .map(({ id }) => /RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${id}/status`, 'latin1')))
    .reduce((sum, match) => sum + Number(match?.[1] ?? 0) / 1024, 0);
}

async function heldBelow(limit, measure) {
  let now = await measure();
  // Workers end, and pages are returned, in their own time.
  for (let tries = 0; now > limit && tries < 100; tries++) {
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });
    now = await measure();
  }
  return now;
}

test('a large volume is let go when it is closed, as often as it is opened', async (t) => {
  const page = await openPage(mock.url);
  await withEnd(page, async () => {
    await page.waitForSelector('#service[data-state=ready]');
    const session = await page.context().newCDPSession(page);
    const browserSession = await (await launch()).newBrowserCDPSession();
    const measure = () => held(page, session, browserSession);
    const empty = await measure();
    const figures = [];
    for (let round = 0; round < 4; round++) {
      await dropPath(page, file.path);
      await waitText(page, '#file-facts', /^512 × 512 × 300 px (?!.*unpacked)/);
      const open = await measure();
      await page.getByRole('button', { name: 'Close this file' }).click();
      await page.waitForSelector('body[data-phase=empty]');
      const closed = await heldBelow(empty + SLACK, measure);
      figures.push([open, closed].map((mib) => Math.round(mib)));
      assert.ok(open > empty + 0.9 * VOXELS, `open it holds ${open} MiB, before ${empty}: not seen`);
      assert.ok(open < empty + 2.5 * VOXELS, `open it holds ${open} MiB for ${VOXELS} of voxels`);
      assert.ok(closed < empty + SLACK, `closed it holds ${closed} MiB, before ${empty}`);
    }
    t.diagnostic(`MiB: empty ${Math.round(empty)}, then open and closed ${figures.join('; ')}`);
  });
});
