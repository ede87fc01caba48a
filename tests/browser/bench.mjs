// How long a large volume takes to be on the screen after it was dropped, and how fast it can be
// scrolled while its answer streams in: node bench.mjs, or make bench-browser.
//
// Once on a mock that sends a slice every 100 ms and leaves the processor to the browser, and once on
// the service with its model, which does not. RUNS: how often each (3).

import { close, openPage } from './browser.mjs';
import { dropPath, LARGE, largeVolume } from './large.mjs';
import { Mock } from './mock.mjs';
import { programs, startService } from './service.mjs';
import { beginStream, eventsOf } from './volume.mjs';

const RUNS = Number(process.env.RUNS ?? 3);
const SECONDS = 5; // of scrolling

/** In the page: notes when a drop happens and when something is first drawn. */
function watchDrop() {
  const canvas = document.getElementById('canvas');
  // There is bright tissue in the middle of its slices.
  const drawn = () => {
    const [x, y] = [canvas.width >> 1, canvas.height >> 1];
    return canvas.getContext('2d').getImageData(x, y, 1, 1).data[0] > 128;
  };
  window.addEventListener(
    'drop',
    () => {
      const dropped = performance.now();
      window.seen = new Promise((resolve) => {
        const look = () =>
          drawn() ? resolve(performance.now() - dropped) : requestAnimationFrame(look);
        requestAnimationFrame(look);
      });
      window.whole = new Promise((resolve) => {
        const timer = setInterval(() => {
          const words = document.getElementById('file-facts').textContent;
          if (/px/.test(words) && !/unpacked/.test(words)) {
            clearInterval(timer);
            resolve(performance.now() - dropped);
          }
        }, 10);
      });
    },
    { capture: true, once: true },
  );
}

/** In the page: turns the wheel once per frame; {slices, frames, longest frame in ms} per second. */
async function scroll(seconds) {
  const canvas = document.getElementById('canvas');
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const number = () => document.querySelector('.slice-number').textContent;
  let [slices, longest, turn, before] = [0, 0, 1, number()];
  const start = await frame();
  let last = start;
  while (last - start < 1000 * seconds) {
    const at = { deltaY: 100 * turn, bubbles: true, cancelable: true };
    canvas.dispatchEvent(new WheelEvent('wheel', at));
    const now = await frame();
    longest = Math.max(longest, now - last);
    last = now;
    turn = number() === before ? -turn : turn; // at an end: back
    slices += number() === before ? 0 : 1;
    before = number();
  }
  return { rate: (1000 * slices) / (last - start), longest };
}

/** A mock that answers the volume slice by slice, out of a few slices. */
async function startMock() {
  const [width, height, depth] = LARGE;
  const [accepted, volume, ...rest] = eventsOf([width, height, 12]);
  const slices = rest.filter(({ event }) => event === 'slice');
  const mock = await new Mock().start();
  mock.info.limits.max_body_bytes = 2 ** 30;
  mock.reply = async (request, response) => {
    const send = beginStream(response);
    const selected = { first: 0, step: 1, count: depth };
    const whole = { shape: LARGE, slices: depth, slices_selected: selected };
    send(accepted, { ...volume, volume: { ...volume.volume, ...whole } });
    for (let k = 0; k < depth && !response.destroyed; k++) {
      await new Promise((resolve) => {
        setTimeout(resolve, 100);
      });
      const progress = { done: k + 1, total: depth, eta_ms: 100 * (depth - k - 1) };
      send({ ...slices[k % slices.length], slice: k, progress });
    }
    response.end();
  };
  return { url: mock.url, stop: () => mock.stop() };
}

async function measure(name, url) {
  const page = await openPage(url);
  await page.waitForSelector('#service[data-state=ready]');
  await page.evaluate(watchDrop);
  await dropPath(page, file.path);
  await page.waitForFunction(() => 'seen' in window);
  const first = await page.evaluate(() => window.seen);
  const whole = await page.evaluate(() => window.whole);
  await page.waitForSelector('#results:visible, #no-answer:visible');
  const { rate, longest } = await page.evaluate(scroll, SECONDS);
  const busy = await page.evaluate(() => document.body.dataset.phase === 'busy');
  console.log(
    `${name}: first ${Math.round(first)} ms, all ${Math.round(whole)} ms; ` +
      `${rate.toFixed(0)} slices/s, longest frame ${Math.round(longest)} ms` +
      `${busy ? ' while results stream' : ' (the answer was complete)'}`,
  );
  await page.context().close();
}

const file = await largeVolume('large.nii.gz');
try {
  console.log(`${LARGE.join(' × ')}, .nii.gz; first slice and all of them after the drop, scrolling`);
  const [[name, program, there]] = programs();
  for (const [what, start] of [
    ['mock', startMock],
    [name, there ? () => startService(program) : null],
  ]) {
    if (start === null) {
      console.log(`${what}: not built`);
      continue;
    }
    const service = await start();
    for (let run = 0; run < RUNS; run++) {
      await measure(what, service.url);
    }
    await service.stop();
  }
} finally {
  file.remove();
  await close();
}
