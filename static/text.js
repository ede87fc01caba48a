// What the page says to its reader, section by section. Titles of errors are in problem.js.

import { count, percent, plural } from './format.js';

export const ASSESSMENT = {
  noise: 'Noise: these weights were never trained.',
  note:
    'Three separate scores, each a probability of its own (a sigmoid per class): they do not ' +
    'sum to 100\u00a0%. The highest one decides.',
  noRegions:
    'The model decides from regions it finds in the lungs. In this slice none survived, so ' +
    'it gives no class rather than inventing one. Is this an axial chest slice in a lung window?',
  absent: 'This answer carries no classification.',
};

const COUNTED =
  'Counted by the service from all masks of the answer; overlapping masks count once. Hiding ' +
  'findings here does not change it.';

export const BURDEN = {
  share: (where) => `of the lung in this ${where} lies under lesions`,
  noLung: (where) => `No lung was outlined in this ${where}, so there is nothing to compare with.`,
  note: COUNTED,
  noSpacing: `The file does not say how large its voxels are: no millilitres. ${COUNTED}`,
};

export const FINDINGS = {
  lead:
    'Areas the model outlined, each with a score between 0 and 1. Point at a row to see it ' +
    'on the slice; choose it to keep it marked.',
  none: 'The model outlined nothing in this slice above its score threshold.',
  hidden: 'The filter and the class switches hide every finding.',
};

export const REGIONS = {
  lead: (n) =>
    `The class was decided from these ${count(n)} regions, not from the findings. Two ` +
    'branches weigh them: one argues for the classes, one against. In each branch the ' +
    'weights add up to 100\u00a0%. They tell where the model looked, not why.',
  none:
    'No region of this slice survived, so there is nothing the class could have been ' +
    'decided from.',
  absent: 'This answer carries no explanation.',
  for: 'How much the branch that argues for the classes looked at each region.',
  against: 'How much the branch that argues against the classes looked at each region.',
  difference:
    'Weight for minus weight against: above zero where the branch in favour looked harder.',
  even: (n) => `The tick marks ${percent(1 / n, 2)}: the weight if all ${n} counted alike.`,
  repeats: (unique, repeats) =>
    `Only ${plural(unique, 'distinct region')} survived; ${plural(repeats, 'place')} of the ` +
    `sequence ${repeats === 1 ? 'repeats' : 'repeat'} an earlier one. On the slice the ` +
    'weights of a region and its repeats are added.',
};

export const FOLDER = {
  looking: 'Looking through the folder…',
  empty: 'The folder is empty.',
  nothing: (all) =>
    `There is nothing to open: none of ${plural(all, 'file')} in the folder is a PNG, NIfTI or ` +
    'DICOM picture.',
  left: (left, all) =>
    `Left out: ${count(left)} of ${plural(all, 'file')} in the folder (hidden files, DICOMDIR, ` +
    'and what is no picture).',
  unread: ([first, ...more]) =>
    `“${first}”${more.length > 0 ? ` and ${count(more.length)} more` : ''} cannot be read.`,
};

/** Notes of this page, beside the warnings of the service. */
export const NOTES = {
  noPicture: {
    code: 'no_picture',
    title: 'The slice itself cannot be shown',
    detail:
      'This browser reads the file differently from the service, so the findings are drawn ' +
      'on black.',
  },
  local: (detail) => ({
    code: 'not_shown',
    title: 'This page cannot show the file itself',
    detail,
  }),
  frames: (n) => ({
    code: 'frames',
    title: 'More than one frame',
    detail: `The file holds ${count(n)} frames; the first one is shown.`,
  }),
};

export const WARNING_TITLES = {
  untrained_model: 'Untrained model',
  no_regions: 'No region found',
  window_assumed: 'Window assumed',
  not_chest_like: 'May not be a chest slice',
  low_resolution: 'Low resolution',
  colour_input: 'Coloured picture',
  hu_offset_suspected: 'Shifted Hounsfield values suspected',
  nan_voxels: 'Undefined voxels',
  rois_padded: 'Few regions found',
  anisotropic: 'Uneven voxels',
  tilted: 'Tilted slices',
  directions_assumed: 'Directions assumed',
};

/** Warnings that are told where they matter; all others stand at the top. */
export const WARNING_PLACES = {
  untrained_model: 'assessment',
  not_chest_like: 'assessment',
  low_resolution: 'assessment',
  no_regions: 'assessment',
  rois_padded: 'regions',
  anisotropic: 'burden',
};
