// Numbers as people read them.

export function count(value) {
  return Number.isFinite(value) ? Math.round(value).toLocaleString('en') : '–';
}

export function fixed(value, digits) {
  return Number.isFinite(value) ? value.toFixed(digits) : '–';
}

/** 0.834 → '83.4 %'. */
export function percent(fraction, digits = 1) {
  return Number.isFinite(fraction) ? `${(fraction * 100).toFixed(digits)}\u00a0%` : '–';
}

export function signedPercent(fraction, digits = 1) {
  return `${fraction > 0 ? '+' : fraction < 0 ? '−' : ''}${percent(Math.abs(fraction), digits)}`;
}

export function milliseconds(value) {
  if (!Number.isFinite(value)) {
    return '–';
  }
  if (value >= 1000) {
    return `${(value / 1000).toFixed(2)}\u00a0s`;
  }
  return `${value >= 10 ? value.toFixed(0) : value.toFixed(1)}\u00a0ms`;
}

export function bytes(value) {
  if (!Number.isFinite(value)) {
    return '–';
  }
  const units = ['bytes', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)}\u00a0${units[unit]}`;
}

export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** 95000 (ms) → '1 min 35 s'. */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  return seconds < 60
    ? `${seconds}\u00a0s`
    : `${Math.floor(seconds / 60)}\u00a0min ${seconds % 60}\u00a0s`;
}

/** Millilitres, with as many digits as they can carry. */
export function millilitres(value) {
  return Number.isFinite(value) ? `${value.toFixed(value >= 100 ? 0 : 1)}\u00a0ml` : '–';
}
