// Cases to try, made by `oneshot phantom`: no patient is in them.

import { el } from './dom.js';

const SAMPLES = [
  { file: 'sample.png', type: 'image/png', label: 'Sample slice' },
  { file: 'sample.nii.gz', type: 'application/gzip', label: 'Sample volume' },
];

/** Puts a button for each sample into `root`. open(files) takes one; say(text) tells of failures. */
export function offerSamples(root, open, say) {
  root.append(
    ...SAMPLES.map(({ file, type, label }) =>
      el(
        'button.button.large',
        {
          'data-sample': file,
          click: async () => {
            try {
              const response = await fetch(new URL(file, document.baseURI));
              if (!response.ok) {
                throw new Error(String(response.status));
              }
              open([new File([await response.blob()], file, { type })]);
            } catch {
              say('The sample could not be fetched.');
            }
          },
        },
        label,
      ),
    ),
  );
}
