/** Progress of transfers: a bar per blob on a terminal, otherwise a line per finished blob. */
import type { Progress } from "@berth/client";
import { formatSize } from "../units.ts";

/** Where bars are drawn, for instance process.stderr. */
export interface ProgressTerminal {
  isTTY?: boolean;
  columns?: number;
  rows?: number;
}

const REDRAW_MS = 80;
const BAR = 30;

/** Shows the progress of one transfer. */
export class ProgressView {
  readonly #write: (text: string) => void;
  readonly #terminal: ProgressTerminal;
  readonly #steps = new Map<string, Progress>();
  readonly #printed = new Set<string>();
  #drawn = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(write: (text: string) => void, terminal: ProgressTerminal) {
    this.#write = write;
    this.#terminal = terminal;
  }

  /** Records one step. */
  step(step: Progress): void {
    const key = step.digest ?? step.name;
    // Steps of the stream itself do not interest users.
    if (key === "" || /^(import|export)-\d/.test(key)) return;
    const known = this.#steps.get(key);
    // A blob's last step has no numbers: keep the previous ones.
    const total = step.total || known?.total || 0;
    this.#steps.set(key, { ...step, total, progress: step.progress || (isDone(step.event) ? total : 0) });
    if (!this.#terminal.isTTY) this.#line(key, step);
    else this.#timer ??= setTimeout(() => this.#draw(), REDRAW_MS);
  }

  /** Draws the final state and leaves it on the screen. */
  close(): void {
    clearTimeout(this.#timer);
    if (this.#terminal.isTTY && this.#steps.size > 0) this.#draw();
  }

  #line(key: string, step: Progress): void {
    if (!isDone(step.event)) return;
    const line = `${key} ${step.event}`;
    if (this.#printed.has(line)) return;
    this.#printed.add(line);
    this.#write(`${shortKey(key)}: ${step.event}\n`);
  }

  #draw(): void {
    this.#timer = undefined;
    const width = (this.#terminal.columns ?? 80) - 1;
    // Lines beyond the window's height could not be overwritten: show the latest.
    const lines = [...this.#steps].slice(-Math.max(1, (this.#terminal.rows ?? 24) - 2));
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A` : "";
    const text = lines.map(([key, step]) => `\x1b[2K${describe(key, step).slice(0, width)}\n`).join("");
    this.#drawn = lines.length;
    this.#write(up + text);
  }
}

function isDone(event: string): boolean {
  return /^(complete|done|exists|already exists|saved|extracted|unpacked|stored|pushed|resolved)$/i.test(
    event,
  );
}

function shortKey(key: string): string {
  return /^(?:[\w-]+-)?sha256:/.test(key) ? key.replace(/^.*sha256:/, "").slice(0, 12) : key;
}

function describe(key: string, step: Progress): string {
  const head = `${shortKey(key)}: ${step.event}`;
  if (step.total <= 0 || isDone(step.event)) return head;
  const part = Math.min(1, step.progress / step.total);
  const filled = Math.round(part * BAR);
  const bar = `${"=".repeat(Math.max(0, filled - 1))}${filled > 0 ? ">" : ""}`.padEnd(BAR);
  return `${head.padEnd(26)} [${bar}] ${formatSize(step.progress)}/${formatSize(step.total)}`;
}
