// The answer for one slice, checked and put into the shape the rest of the viewer works with.

import { decodeMask } from './rle.js';
import { traceOutline } from './outline.js';
import { imageClass } from './palette.js';

/** Reads the JSON of a slice. Throws TypeError when it is not one. */
export function readSlice(json) {
  const input = object(json.input, 'input');
  const width = size(input.width, 'input.width');
  const height = size(input.height, 'input.height');
  const regions = readRegions(json.explanation);
  return {
    requestId: text(json.request_id),
    model: json.model ?? {},
    input,
    width,
    height,
    classification: readClassification(json.classification),
    detections: list(json.detections, 'detections').map((item, index) =>
      readDetection(item, index, width, height),
    ),
    regions,
    uniqueRegions: json.explanation?.unique_rois ?? new Set(regions.map((r) => r.place)).size,
    explained: json.explanation !== null && json.explanation !== undefined,
    burden: json.burden ?? null,
    warnings: Array.isArray(json.warnings) ? json.warnings.map(readWarning) : [],
    timing: json.timing_ms ?? null,
    disclaimer: text(json.disclaimer),
  };
}

function readClassification(value) {
  if (
    value === null ||
    value === undefined ||
    !Array.isArray(value.classes) ||
    value.classes.length === 0
  ) {
    return null;
  }
  const classes = value.classes.map((item) => ({
    id: item.id,
    name: item.name,
    ...imageClass(item.name),
    logit: item.logit,
    probability: item.probability,
  }));
  const predicted =
    classes.find((c) => c.name === value.predicted || c.id === value.predicted) ??
    classes.reduce((best, c) => (c.logit > best.logit ? c : best));
  return { classes, predicted };
}

function readDetection(item, index, width, height) {
  object(item, `detections[${index}]`);
  let mask = null;
  const rle = item.segmentation;
  if (
    rle !== null &&
    typeof rle === 'object' &&
    !Array.isArray(rle) &&
    rle.counts !== undefined
  ) {
    mask = decodeMask(rle);
    if (mask.width !== width || mask.height !== height) {
      throw new TypeError(`detections[${index}]: the mask is not the size of the slice`);
    }
  }
  return {
    index,
    id: item.id ?? index + 1,
    className: text(item.class),
    score: number(item.score, `detections[${index}].score`),
    box: box(item.bbox_xywh, `detections[${index}].bbox_xywh`),
    area: item.area_px ?? mask?.area ?? null,
    mask,
    outline: mask === null ? [] : traceOutline(mask),
  };
}

function readRegions(explanation) {
  const rois = explanation?.rois;
  if (!Array.isArray(rois)) {
    return [];
  }
  const places = new Map();
  return rois.map((item, index) => {
    const where = box(item.bbox_xywh, `explanation.rois[${index}].bbox_xywh`);
    // Repeats of one region share a place; what was attended to there adds up.
    const key = `${where.x} ${where.y} ${where.w} ${where.h} ${item.class}`;
    if (!places.has(key)) {
      places.set(key, places.size);
    }
    const attention = {
      for: number(item.attention_for, `explanation.rois[${index}].attention_for`),
      against: number(item.attention_against, `explanation.rois[${index}].attention_against`),
    };
    return {
      index,
      rank: item.rank ?? index + 1,
      box: where,
      className: text(item.class),
      score: item.score,
      weights: { ...attention, difference: attention.for - attention.against },
      padded: item.padded === true,
      place: places.get(key),
    };
  });
}

/** Regions that lie on the same box as one, with their weights added up; one entry per box. */
export function placesOf(regions) {
  const places = [];
  for (const region of regions) {
    const place = places[region.place];
    if (place === undefined) {
      places[region.place] = {
        box: region.box,
        className: region.className,
        regions: [region],
        weights: { ...region.weights },
      };
    } else {
      place.regions.push(region);
      for (const branch of Object.keys(place.weights)) {
        place.weights[branch] += region.weights[branch];
      }
    }
  }
  return places;
}

function readWarning(item) {
  return typeof item === 'string'
    ? { code: item, detail: '' }
    : { code: text(item?.code), detail: text(item?.detail) };
}

function object(value, where) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new TypeError(`${where} is missing`);
  }
  return value;
}

function list(value, where) {
  if (!Array.isArray(value)) {
    throw new TypeError(`${where} is missing`);
  }
  return value;
}

function number(value, where) {
  if (!Number.isFinite(value)) {
    throw new TypeError(`${where} is not a number`);
  }
  return value;
}

function size(value, where) {
  if (!Number.isInteger(value) || value < 1) {
    throw new TypeError(`${where} is not a size`);
  }
  return value;
}

function box(value, where) {
  if (!Array.isArray(value) || value.length !== 4 || !value.every(Number.isFinite)) {
    throw new TypeError(`${where} is not x, y, w, h`);
  }
  const [x, y, w, h] = value;
  return { x, y, w, h };
}

function text(value) {
  return typeof value === 'string' ? value : '';
}
