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
  };
}

function readClassification(value) {
  if (!Array.isArray(value?.classes) || value.classes.length === 0) {
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
  const at = `detections[${index}]`;
  object(item, at);
  let mask = null;
  const rle = item.segmentation;
  if (isObject(rle) && rle.counts !== undefined) {
    mask = decodeMask(rle);
    if (mask.width !== width || mask.height !== height) {
      throw new TypeError(`${at}: the mask is not the size of the slice`);
    }
  }
  return {
    index,
    id: item.id ?? index + 1,
    className: text(item.class),
    score: number(item.score, `${at}.score`),
    box: box(item.bbox_xywh, `${at}.bbox_xywh`),
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
    const at = `explanation.rois[${index}]`;
    const where = box(item.bbox_xywh, `${at}.bbox_xywh`);
    // Repeats of one region share a place; what was attended to there adds up.
    const key = `${where.x} ${where.y} ${where.w} ${where.h} ${item.class}`;
    if (!places.has(key)) {
      places.set(key, places.size);
    }
    const attention = {
      for: number(item.attention_for, `${at}.attention_for`),
      against: number(item.attention_against, `${at}.attention_against`),
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

/* ---- what has to be there ---- */

function need(value, fine, what) {
  if (!fine) {
    throw new TypeError(what);
  }
  return value;
}

const isObject = (value) =>
  value !== null && typeof value === 'object' && !Array.isArray(value);
const object = (value, where) => need(value, isObject(value), `${where} is missing`);
const list = (value, where) => need(value, Array.isArray(value), `${where} is missing`);
const number = (value, where) => need(value, Number.isFinite(value), `${where} is not a number`);
const size = (value, where) =>
  need(value, Number.isInteger(value) && value > 0, `${where} is not a size`);

function box(value, where) {
  const fine = Array.isArray(value) && value.length === 4 && value.every(Number.isFinite);
  const [x, y, w, h] = need(value, fine, `${where} is not x, y, w, h`);
  return { x, y, w, h };
}

function text(value) {
  return typeof value === 'string' ? value : '';
}
