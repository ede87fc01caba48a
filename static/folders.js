// Folders: the files in them, however deep, and which of those are pictures.

import { FormatError, isNifti, isPacked } from './nifti.js';
import { readHeader } from './png.js';
import { readStart, sourceOf } from './series.js';
import { inflate, isAside, isZip, MOST_ENTRIES, readZip } from './zip.js';

/** No more than a zip may hold: somebody took a whole disk, or a folder leads back into itself. */
function check(count) {
  if (count > MOST_ENTRIES) {
    throw new FormatError('', `There are more than ${MOST_ENTRIES} files. Open a folder in it.`);
  }
}

/**
 * The files below dropped entries (FileSystemEntry), as {found: [{path, file}], loose: [File] (what
 * lay beside the folders), unread: names of what cannot be read}. Throws FormatError.
 */
export async function walk(entries) {
  const [found, loose, unread] = [[], [], []];
  let seen = 0;
  /** What `run` hands to its first argument; null, and noted, when it cannot. */
  const ask = (path, run) =>
    new Promise(run).catch(() => {
      unread.push(path);
      return null;
    });
  const visit = async (entry, inside) => {
    check(++seen);
    const path = entry.fullPath.slice(1);
    if (inside && isAside(entry.name)) {
      found.push({ path, file: null });
      return;
    }
    if (entry.isDirectory) {
      const reader = entry.createReader();
      // Browsers hand them out in portions.
      for (let some; some?.length !== 0; ) {
        some = (await ask(path, (...to) => reader.readEntries(...to))) ?? [];
        for (const one of some) {
          await visit(one, true);
        }
      }
      return;
    }
    const file = await ask(path, (...to) => entry.file(...to));
    if (file !== null && inside) {
      found.push({ path, file });
    } else if (file !== null) {
      loose.push(file);
    }
  };
  for (const entry of entries) {
    await visit(entry, false);
  }
  return { found, loose, unread };
}

/** What of [{path, file}] is a picture: Map(file → its path). Throws FormatError. */
export async function pictures(found) {
  check(found.length);
  const chosen = new Map();
  for (const { path, file } of found) {
    const aside = path.split('/').slice(1).some(isAside); // the folder itself was meant
    if (!aside && (await isPicture(file))) {
      chosen.set(file, path);
    }
  }
  return chosen;
}

/** Also what is damaged: opening it tells why. */
async function isPicture(file) {
  const source = sourceOf(file);
  try {
    const start = await source.read(4096);
    if (readHeader(start) !== null || isNifti(start)) {
      return true;
    }
    if (isPacked(start)) {
      return isNifti(await inflate(file, 4, 'gzip'));
    }
    for (const one of isZip(start) ? await readZip(file, Infinity) : [source]) {
      if ((await readStart(one, false)) !== null) {
        return true;
      }
    }
    return false;
  } catch {
    return true;
  }
}
