// Newline-delimited JSON that arrives in pieces.

export class Lines {
  /** onObject(object) runs for each complete line that holds one. */
  constructor(onObject) {
    this.onObject = onObject;
    this.rest = '';
  }

  push(text) {
    const parts = (this.rest + text).split('\n');
    this.rest = parts.pop();
    parts.forEach((line) => this.#line(line));
  }

  /** What follows the last newline, if it is whole. */
  end() {
    const { rest } = this;
    this.rest = '';
    this.#line(rest);
  }

  #line(line) {
    if (line.trim() === '') {
      return; // a ping
    }
    let object;
    try {
      object = JSON.parse(line);
    } catch {
      return; // cut off; the missing last event tells
    }
    if (object !== null && typeof object === 'object') {
      this.onObject(object);
    }
  }
}
