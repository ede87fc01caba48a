// Small helpers around the DOM. Text only ever enters the page as text nodes.

import { icon } from './icons.js';

/**
 * An element: el('p.note', {id: 'x'}, …children). The name may carry classes. Properties may be left
 * out: `css` ({custom property: value}); a function handles the event of its name; anything else is
 * an attribute (true = empty, false/null = absent). Children: nodes, text, lists of them; null is
 * skipped. A button is no submit button unless it says so.
 */
export function el(name, ...rest) {
  const [tag, ...classes] = name.split('.');
  const node = document.createElement(tag);
  node.classList.add(...classes);
  const props = rest[0]?.constructor === Object ? rest.shift() : {};
  if (tag === 'button') {
    node.type = tag;
  }
  for (const [key, value] of Object.entries(props)) {
    if (typeof value === 'function') {
      node.addEventListener(key, value);
    } else if (key === 'css') {
      for (const [property, setting] of Object.entries(value)) {
        node.style.setProperty(property, setting);
      }
    } else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(key, value === true ? '' : String(value));
    }
  }
  fill(node, ...rest);
  return node;
}

/** Replaces what a node holds; null is skipped. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
}

export function byId(id) {
  return document.getElementById(id);
}

export function onClick(id, run) {
  byId(id).addEventListener('click', () => run());
}

/** Shows or hides by the `hidden` attribute. */
export function show(node, visible) {
  node.hidden = !visible;
}

/** A panel under a heading; `tools` stand beside it. */
export function panel(id, title, tools, ...content) {
  const heading = el('h2', { id: `h-${id}` }, title);
  return el(
    'section.panel',
    { 'aria-labelledby': `h-${id}` },
    el('header.panel-head', heading, tools),
    content.flat(),
  );
}

/** What the line of a class looks like. */
export function swatch(name) {
  return el('span', { class: `swatch line-${name}`, 'aria-hidden': 'true' });
}

/** The short name of a class behind what its line looks like. */
export function classMark({ name, short, colour }, ...more) {
  return el('span.class-name', { css: { '--swatch': colour } }, swatch(name), short, ...more);
}

/** The head of a table; kinds: classes of its columns. */
export function tableHead(labels, kinds = []) {
  const cells = labels.map((label, i) => el('th', { scope: 'col', class: kinds[i] }, label));
  return el('thead', el('tr', cells));
}

/** Zooms to what is chosen in a list. */
export function zoomButton(zoom) {
  return el('button.text-button', { click: zoom }, icon('target'), 'Zoom to selected');
}

/**
 * A radio group drawn as one segmented control. `choices`: [{value, label, title, icon}]; with an
 * icon the label is for assistive technology only.
 */
export function segmented(label, name, choices, value, onChange) {
  return el(
    'fieldset.segmented',
    el('legend.sr-only', label),
    choices.map((choice) => {
      const input = el('input', {
        type: 'radio',
        name,
        value: choice.value,
        checked: choice.value === value,
        change: () => onChange(choice.value),
      });
      const words = choice.icon
        ? [icon(choice.icon), el('b.sr-only', choice.label)]
        : [choice.label];
      return el('label', { title: choice.title }, input, el('span', words));
    }),
  );
}

/** Copies text, also where the clipboard API is withheld (plain http on another machine). */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el('textarea.sr-only', { readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

/** A small button that copies what `text()` returns and says so. */
export function copyButton(label, text) {
  const button = el(
    'button.icon-button.small',
    {
      'aria-label': label,
      title: label,
      click: async () => {
        const done = await copyText(text());
        button.replaceChildren(icon(done ? 'check' : 'alert'));
        button.setAttribute('aria-label', done ? 'Copied' : 'Copying failed');
        setTimeout(() => {
          button.replaceChildren(icon('copy'));
          button.setAttribute('aria-label', label);
        }, 1600);
      },
    },
    icon('copy'),
  );
  return button;
}
