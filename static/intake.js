// Ways files get in: the dialogs for files and for a folder, dropping anywhere on the page, pasting.

import { byId, show } from './dom.js';
import { pictures, walk } from './folders.js';
import { FOLDER } from './text.js';

/** open(list of File, nameOf(file)) takes them; tell(text) says what became of a folder. */
export function wireIntake(open, tell) {
  const openFiles = (files) => {
    tell('');
    if (files.length > 0) {
      open(files);
    }
  };
  const openFolder = async (gather) => {
    tell(FOLDER.looking);
    try {
      const { found, loose = [], unread = [] } = await gather();
      const chosen = await pictures(found);
      const files = [...loose, ...chosen.keys()];
      if (files.length > 0) {
        await open(files, (file) => chosen.get(file) ?? file.name);
      }
      tell(outcome(found.length, chosen.size, unread));
    } catch (error) {
      tell(error.message);
    }
  };
  const take = (transfer) => {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    if (entries.some((entry) => entry.isDirectory)) {
      openFolder(() => walk(entries));
    } else {
      openFiles([...transfer.files]);
    }
  };
  for (const opener of document.querySelectorAll('[data-open]')) {
    opener.addEventListener('click', () => byId(opener.dataset.open).click());
  }
  for (const picker of [byId('picker'), byId('folder')]) {
    picker.addEventListener('change', () => {
      const files = [...picker.files];
      picker.value = ''; // so that choosing the same again is noticed
      if (picker.webkitdirectory) {
        const found = files.map((file) => ({ path: file.webkitRelativePath, file }));
        openFolder(() => ({ found }));
      } else {
        openFiles(files);
      }
    });
  }
  document.addEventListener('paste', (event) => {
    if (carriesFiles(event.clipboardData)) {
      event.preventDefault();
      take(event.clipboardData);
    }
  });
  wireDrop(take);
}

/** What became of `all` files of a folder, of which `opened` are pictures; '' when that is all. */
function outcome(all, opened, unread) {
  const left = opened > 0 ? FOLDER.left(all - opened, all) : FOLDER.nothing(all);
  const said = [all > opened && left, unread.length > 0 && FOLDER.unread(unread)];
  return all + unread.length === 0 ? FOLDER.empty : said.filter(Boolean).join(' ');
}

const carriesFiles = (transfer) => transfer?.types.includes('Files');

function wireDrop(take) {
  const veil = byId('drop-veil');
  let inside = 0;
  const on = (type, run) =>
    window.addEventListener(type, (event) => {
      if (carriesFiles(event.dataTransfer)) {
        run(event);
        show(veil, inside > 0);
      }
    });
  on('dragenter', () => inside++);
  on('dragleave', () => {
    inside = Math.max(0, inside - 1);
  });
  on('dragover', (event) => {
    event.preventDefault();
    event.dataTransfer.dropEffect = 'copy';
  });
  on('drop', (event) => {
    event.preventDefault();
    inside = 0;
    take(event.dataTransfer);
  });
}
