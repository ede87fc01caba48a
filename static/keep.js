// What a reader can take along: files, and a page of paper.

import { byId, fill } from './dom.js';
import { percent } from './format.js';
import { writeGrey } from './png.js';
import { problemTitle } from './problem.js';
import { buildReport } from './report.js';
import { drawPicture, findingsCsv, labelsOf, pngOf, saveBlob, stem } from './save.js';

const saveText = (text, type, name) => saveBlob(new Blob([text], { type }), name);

export class Keep {
  /** parts: {cases, service, facts, store, say(text)}. */
  constructor(parts) {
    Object.assign(this, parts);
    this.source = () => ({ item: null, slice: null, noise: false }); // of the page now
    this.actions = {
      saveJson: () => this.#json(),
      saveCsv: () => this.#csv(),
      savePng: () => this.#png(),
      saveLabels: () => this.#labels(),
      print: () => window.print(),
    };
    window.addEventListener('beforeprint', () => this.#report());
    window.addEventListener('afterprint', () => fill(byId('report')));
    window.addEventListener('pagehide', () => this.stop?.abort());
  }

  #json() {
    const { item } = this.source();
    saveText(item.document(), 'application/json', `${stem(item.name)}.oneshot.json`);
  }

  #csv() {
    const { item } = this.source();
    saveText(findingsCsv(item), 'text/csv', `${stem(item.name)}.findings.csv`);
  }

  async #png() {
    const { item } = this.source();
    const where = item.depth > 1 ? `.slice${item.k + 1}` : '';
    saveBlob(await pngOf(this.#picture()), `${stem(item.name)}${where}.oneshot.png`);
  }

  #picture() {
    const { item, slice, noise } = this.source();
    const model = slice?.model.name ?? this.facts.model.name ?? 'unknown model';
    const view = { stack: item.stack, slice, noise, model, file: item.name };
    return drawPicture(view, this.store.state);
  }

  /**
   * The label map of a picture is drawn from its masks. That of a volume, on the file's own grid, the
   * service computes once more.
   */
  async #labels() {
    const { item, slice } = this.source();
    if (item.isPicture) {
      const png = await writeGrey(slice.width, slice.height, labelsOf(slice));
      saveBlob(png, `${stem(item.name)}.labels.png`);
      return;
    }
    const button = byId('save-labels');
    const words = button.lastChild;
    const tell = (text) => {
      words.textContent = text;
    };
    button.disabled = true;
    this.stop = new AbortController();
    tell('Sending…');
    this.say('Asking the service for the label map.');
    try {
      const blob = await this.service.labelMap(await this.cases.body(item), {
        options: item.options,
        signal: this.stop.signal,
        onUpload: (share) => tell(share < 1 ? `Sending ${percent(share, 0)}` : 'Computing…'),
      });
      saveBlob(blob, `${stem(item.name)}.labels.nii.gz`);
      this.say('The label map was saved.');
    } catch (error) {
      this.say(`${problemTitle(error)}. ${error.detail ?? error.message}`);
      byId('keep-problem').textContent = `${problemTitle(error)}: ${error.detail}`;
    } finally {
      button.disabled = false;
      tell('Label map (NIfTI)');
    }
  }

  #report() {
    const { item, slice, noise } = this.source();
    if (slice !== null) {
      const model = { ...this.facts.model, ...slice.model };
      const { k } = this.store.state;
      buildReport({ item, slice, noise, model, k, picture: this.#picture() });
    }
  }
}
