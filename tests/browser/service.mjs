// Starts the real service on a free port.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The programs to test: [name, path]. One that was asked for by name has to exist. */
export function programs() {
  const list = [
    ['oneshot', process.env.ONESHOT_BIN, 'build/oneshot'],
    ['oneshot-fake', process.env.ONESHOT_FAKE_BIN, 'build/oneshot-fake'],
  ];
  return list.map(([name, asked, usual]) => {
    const path = asked ?? `${ROOT}${usual}`;
    return [name, path, asked !== undefined || existsSync(path)];
  });
}

/**
 * A running service: {url, stop()}; url ends in '/'. `unready`: do not wait for the model.
 */
export async function startService(
  program,
  { prefix = '', flags = [], env = {}, unready = false } = {},
) {
  const child = spawn(
    program,
    [
      'serve',
      '--port',
      '0',
      '--threads',
      '2',
      '--workers',
      '1',
      ...(prefix === '' ? [] : ['--api-prefix', prefix]),
      ...flags,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } },
  );
  let said = '';
  const listen = (chunk) => {
    said += chunk;
  };
  child.stdout.on('data', listen);
  child.stderr.on('data', listen);
  const gone = new Promise((resolve) => {
    child.on('close', resolve);
    child.on('error', resolve);
  });
  const stop = async () => {
    child.kill('SIGTERM');
    await gone;
  };
  const deadline = Date.now() + 120_000;
  for (;;) {
    const port = /127\.0\.0\.1:(\d{2,5})|"port":\s*(\d{2,5})|\bport[= ](\d{2,5})/.exec(said);
    if (port !== null) {
      const url = `http://127.0.0.1:${port[1] ?? port[2] ?? port[3]}${prefix}/`;
      const ready =
        unready ||
        (await fetch(new URL('readyz', url)).then(
          (r) => r.ok,
          () => false,
        ));
      if (ready) {
        return { url, stop };
      }
    }
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL');
      await gone;
      throw new Error(`${program} is not ready:\n${said}`);
    }
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });
  }
}
