// Icons as paths in a square of 24, drawn as lines; what comes second is filled.

const SVG = 'http://www.w3.org/2000/svg';

const round = (cx, cy, rx, ry = rx) =>
  `M${cx - rx} ${cy}a${rx} ${ry} 0 1 0 ${2 * rx} 0a${rx} ${ry} 0 1 0 ${-2 * rx} 0z`;

const PATHS = {
  upload: ['M12 15.5V4m0 0L7.5 8.5M12 4l4.5 4.5M4 15v3.5A1.5 1.5 0 0 0 5.5 20h13a1.5 1.5 0 0 0 1.5-1.5V15'],
  download: ['M12 4v11.5m0 0L7.5 11m4.5 4.5 4.5-4.5M4 16v2.5A1.5 1.5 0 0 0 5.5 20h13a1.5 1.5 0 0 0 1.5-1.5V16'],
  folder: ['M3.5 18V6.5A1.5 1.5 0 0 1 5 5h4l2 2.5h8A1.5 1.5 0 0 1 20.5 9v9a1.5 1.5 0 0 1-1.5 1.5H5A1.5 1.5 0 0 1 3.5 18z'],
  plus: ['M12 5.5v13M5.5 12h13'],
  minus: ['M5.5 12h13'],
  fit: ['M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5'],
  contrast: [round(12, 12, 8.5), 'M12 3.5a8.5 8.5 0 0 1 0 17z'],
  filled: ['', round(12, 12, 8)],
  outlined: [round(12, 12, 8)],
  hatched: [`${round(12, 12, 8)}M6.5 14 14 6.5M8 18 18 8M13 18.5l5.5-5.5`],
  target: [`${round(12, 12, 6)}M12 2.5V8m0 8v5.5M2.5 12H8m8 0h5.5`],
  eye: [`M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z${round(12, 12, 2.8)}`],
  copy: ['M10 8.5h8.5A1.5 1.5 0 0 1 20 10v8.5a1.5 1.5 0 0 1-1.5 1.5H10a1.5 1.5 0 0 1-1.5-1.5V10A1.5 1.5 0 0 1 10 8.5zM15.5 8.5v-3A1.5 1.5 0 0 0 14 4H5.5A1.5 1.5 0 0 0 4 5.5V14a1.5 1.5 0 0 0 1.5 1.5h3'],
  check: ['m4.5 12.5 5 5 10-11'],
  close: ['m6 6 12 12M18 6 6 18'],
  alert: ['M12 3.5 22 20.5H2zM12 10v5m0 2.4v.2'],
  refresh: ['M19.5 12a7.5 7.5 0 1 1-2.3-5.4M19.5 3.5v4.2h-4.2'],
  play: ['', 'M7.5 5v14l11.5-7z'],
  pause: ['M8 5.5v13M16 5.5v13'],
  hand: ['M12 3v18M3 12h18M9.5 5.5 12 3l2.5 2.5m-5 13L12 21l2.5-2.5m-9-9L3 12l2.5 2.5m13-5L21 12l-2.5 2.5'],
  ruler: ['m3.5 16.5 13-13 4 4-13 13zM7 13l2 2m1-5 2.5 2.5M13 7l2 2'],
  area: [`${round(12, 12, 9, 6.5)}M12 9.5v5M9.5 12h5`],
  print: ['M7 9V4h10v5M7 17H4.5v-6A1.5 1.5 0 0 1 6 9.5h12a1.5 1.5 0 0 1 1.5 1.5v6H17M7 14.5h10V20H7z'],
  keyboard: ['M4 6h16a1.5 1.5 0 0 1 1.5 1.5V17a1.5 1.5 0 0 1-1.5 1.5H4A1.5 1.5 0 0 1 2.5 17V7.5A1.5 1.5 0 0 1 4 6zM6 9.8h.2m3.7 0h.2m3.7 0h.2m3.7 0h.2M6 13.2h.2m11.6 0h.2M9.5 15h5'],
};

/** An icon; decorative, so hidden from assistive technology. */
export function icon(name) {
  const make = (tag, attributes) => {
    const node = document.createElementNS(SVG, tag);
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    return node;
  };
  const svg = make('svg', { class: 'icon', 'aria-hidden': 'true', viewBox: '0 0 24 24' });
  const [lines, solid] = PATHS[name];
  svg.append(make('path', { d: lines }));
  if (solid) {
    svg.append(make('path', { d: solid, class: 'solid' }));
  }
  return svg;
}

/** Puts an icon in front of what each element with data-icon says. */
export function drawIcons(root) {
  for (const node of root.querySelectorAll('[data-icon]')) {
    node.prepend(icon(node.dataset.icon));
  }
}
