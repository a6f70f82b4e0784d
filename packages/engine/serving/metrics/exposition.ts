/** Counters and histograms, and their Prometheus text format (version 0.0.4). */

/** Labels of a series. */
export type Labels = Readonly<Record<string, string>>;

/** Upper bounds in seconds: a fast stage takes a millisecond, a pull minutes. */
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
/** Limit on the series of a metric: labels from outside must not fill the memory. */
const MAX_SERIES = 500;

/** A value of a metric that is read on demand rather than counted. */
export interface Sample {
  labels: Labels;
  value: number;
}

/** Content type of the exposition. */
export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escaped(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function header(name: string, help: string, type: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

/** The text of a metric whose values are read on demand. */
export function samplesText(
  name: string,
  help: string,
  type: "gauge" | "counter",
  samples: readonly Sample[],
): string {
  return header(name, help, type) + samples.map((s) => `${name}${labelText(s.labels)} ${s.value}\n`).join("");
}

/** A monotonically increasing counter, by labels. */
export class Counter {
  readonly #name: string;
  readonly #help: string;
  readonly #series = new Map<string, number>();

  constructor(name: string, help: string) {
    this.#name = name;
    this.#help = help;
  }

  add(labels: Labels): void {
    const key = labelText(labels);
    const before = this.#series.get(key);
    if (before !== undefined || this.#series.size < MAX_SERIES) this.#series.set(key, (before ?? 0) + 1);
  }

  text(): string {
    const lines = [...this.#series].map(([key, value]) => `${this.#name}${key} ${value}\n`);
    return header(this.#name, this.#help, "counter") + lines.join("");
  }
}

interface Timings {
  labels: Labels;
  /** Observations per bucket, not cumulative. */
  counts: Float64Array;
  sum: number;
}

/** Durations in seconds, by labels. */
export class Histogram {
  readonly #name: string;
  readonly #help: string;
  readonly #series = new Map<string, Timings>();

  constructor(name: string, help: string) {
    this.#name = name;
    this.#help = help;
  }

  /** `key` identifies the series; `labels` is called for its first value. */
  add(key: string, labels: () => Labels, seconds: number): void {
    let found = this.#series.get(key);
    if (found === undefined) {
      if (this.#series.size >= MAX_SERIES) return;
      found = { labels: labels(), counts: new Float64Array(BOUNDS.length + 1), sum: 0 };
      this.#series.set(key, found);
    }
    let place = 0;
    while (place < BOUNDS.length && seconds > BOUNDS[place]!) place++;
    found.counts[place]!++;
    found.sum += seconds;
  }

  text(): string {
    const lines: string[] = [];
    for (const { labels, counts, sum } of this.#series.values()) {
      let total = 0;
      counts.forEach((count, place) => {
        total += count;
        const le = place < BOUNDS.length ? String(BOUNDS[place]) : "+Inf";
        lines.push(`${this.#name}_bucket${labelText({ ...labels, le })} ${total}\n`);
      });
      lines.push(`${this.#name}_sum${labelText(labels)} ${sum}\n`);
      lines.push(`${this.#name}_count${labelText(labels)} ${total}\n`);
    }
    return header(this.#name, this.#help, "histogram") + lines.join("");
  }
}
