/** Disk space that is kept back, to be given up when nothing else is left. */
import * as fs from "node:fs";

/** Enough for the transactions that free the rest. */
const BYTES = 2 << 20;
/** How long after it was given up it is taken again, in milliseconds. */
const REFILL_MS = 1000;

/** A file of zeros that is removed in need and made again later. */
export class Reserve {
  readonly #path: string;
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#fill();
  }

  #fill(): void {
    try {
      if (fs.statSync(this.#path, { throwIfNoEntry: false })?.size === BYTES) return;
      fs.writeFileSync(this.#path, Buffer.alloc(BYTES), { mode: 0o600 });
    } catch {
      // No room for it now: what is there of it would only be in the way.
      fs.rmSync(this.#path, { force: true });
      this.#later();
    }
  }

  #later(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fill(), REFILL_MS);
    this.#timer.unref();
  }

  /** Gives the space up; false when there was none. */
  release(): boolean {
    if (!fs.existsSync(this.#path)) return false;
    fs.rmSync(this.#path, { force: true });
    this.#later();
    return true;
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}
