// Names, words and colours of the classes. The colours keep apart under the three common forms of
// colour blindness, and every class also has a line style of its own.

export const OBJECT_CLASSES = [
  {
    name: 'lungs',
    label: 'Lungs',
    short: 'Lungs',
    colour: '#56b4e9',
    dash: [],
    opacity: 0.12,
    hint: 'The lung field, as the model outlines it.',
  },
  {
    name: 'ggo',
    label: 'Ground-glass opacity',
    short: 'GGO',
    colour: '#f6d743',
    dash: [5, 3],
    opacity: 0.32,
    hint: 'Hazy areas through which vessels can still be seen.',
  },
  {
    name: 'consolidation',
    label: 'Consolidation',
    short: 'Consol.',
    colour: '#e8672c',
    dash: [],
    opacity: 0.38,
    hint: 'Dense areas that hide the vessels.',
  },
];

const UNKNOWN = { colour: '#c3cad2', dash: [2, 3], opacity: 0.3, hint: '' };

const IMAGE_CLASSES = {
  control: { label: 'Control', hint: 'No pneumonia seen' },
  common_pneumonia: { label: 'Common pneumonia', hint: 'Pneumonia of another cause' },
  covid_19: { label: 'COVID-19', hint: 'Pattern of COVID-19 pneumonia' },
};

/** Colours of the two attention branches. */
export const ATTENTION = {
  for: { label: 'For', colour: '#35d6a4', dash: [] },
  against: { label: 'Against', colour: '#e879f9', dash: [6, 4] },
};

/** Words and colour of an object class; a class this viewer does not know keeps its own name. */
export function objectClass(name) {
  const words = name || 'Other';
  return (
    OBJECT_CLASSES.find((c) => c.name === name) ?? { ...UNKNOWN, name, label: words, short: words }
  );
}

/** Words of an image class. */
export function imageClass(name) {
  return IMAGE_CLASSES[name] ?? { label: String(name), hint: '' };
}

/** '#rrggbb' → 'rgba(r, g, b, alpha)'. */
export function withAlpha(colour, alpha) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}
