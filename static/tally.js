// What a volume adds up to, from the slices that have been answered so far.

const AFFECTED = ['ggo', 'consolidation'];

export class Tally {
  constructor() {
    this.rows = new Map(); // slice → {k, lung, ggo, consolidation, share}
  }

  add(k, json) {
    const b = json.burden ?? {};
    const number = (value) => (Number.isFinite(value) ? value : 0);
    this.rows.set(k, {
      k,
      lung: number(b.lung_px),
      ggo: number(b.ggo_px),
      consolidation: number(b.consolidation_px),
      share: number(b.affected_pct) / 100,
    });
  }

  /** Share of the lung under GGO and under consolidation, of slice k; null without an answer. */
  shares(k) {
    const row = this.rows.get(k);
    if (row === undefined) {
      return null;
    }
    const sum = row.ggo + row.consolidation;
    const part = (px) => (sum > 0 ? (row.share * px) / sum : 0);
    return { ggo: part(row.ggo), consolidation: part(row.consolidation), lung: row.lung };
  }

  /** Pixels of all slices so far. */
  get totals() {
    const totals = { lung: 0, ggo: 0, consolidation: 0 };
    for (const row of this.rows.values()) {
      for (const name of Object.keys(totals)) {
        totals[name] += row[name];
      }
    }
    const affected = AFFECTED.reduce((sum, name) => sum + totals[name], 0);
    return { ...totals, share: totals.lung > 0 ? affected / totals.lung : null };
  }

  /** Up to n slices, most affected first; those without lesions are not among them. */
  worst(n) {
    return [...this.rows.values()]
      .filter((row) => row.share > 0)
      .sort((a, b) => b.share - a.share || a.k - b.k)
      .slice(0, n);
  }
}
