// Ways a file gets in: the file dialog, dropping anywhere on the page, pasting.

import { byId, show } from './dom.js';

/** onFiles(list of File) runs for each; `picker` is the file input. */
export function wireIntake(picker, onFiles) {
  picker.addEventListener('change', () => {
    const files = [...picker.files];
    picker.value = ''; // so that choosing the same file again is noticed
    if (files.length > 0) {
      onFiles(files);
    }
  });
  for (const opener of document.querySelectorAll('[data-open]')) {
    opener.addEventListener('click', () => picker.click());
  }
  document.addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length > 0) {
      event.preventDefault();
      onFiles(files);
    }
  });
  wireDrop(onFiles);
}

function wireDrop(onFiles) {
  const veil = byId('drop-veil');
  let inside = 0;
  const carriesFiles = (event) => event.dataTransfer?.types.includes('Files');
  const leave = () => {
    inside = 0;
    show(veil, false);
  };
  window.addEventListener('dragenter', (event) => {
    if (carriesFiles(event)) {
      inside++;
      show(veil, true);
    }
  });
  window.addEventListener('dragleave', (event) => {
    if (carriesFiles(event) && --inside <= 0) {
      leave();
    }
  });
  window.addEventListener('dragover', (event) => {
    if (carriesFiles(event)) {
      event.preventDefault();
      event.dataTransfer.dropEffect = 'copy';
    }
  });
  window.addEventListener('drop', (event) => {
    if (carriesFiles(event)) {
      event.preventDefault();
      leave();
      if (event.dataTransfer.files.length > 0) {
        onFiles([...event.dataTransfer.files]);
      }
    }
  });
}
