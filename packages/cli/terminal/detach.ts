/** Detects the detach key sequence in typed input. */
import { usageError } from "../flags.ts";

/** docker's default: ctrl-p, ctrl-q. */
export const DETACH_KEYS = "ctrl-p,ctrl-q";

/** "ctrl-p,ctrl-q" or "ctrl-x,a" -> bytes. */
export function parseDetachKeys(text: string): number[] {
  return text.split(",").map((word) => {
    const control = /^ctrl-([a-z@[\\\]^_])$/i.exec(word);
    if (control) return control[1]!.toUpperCase().charCodeAt(0) & 0x1f;
    if (word.length === 1) return word.charCodeAt(0);
    throw usageError(`--detach-keys: found "${word}", expected a letter or ctrl-LETTER`);
  });
}

/** Holds back input that may begin the sequence; see {@link feed}. */
export class DetachScanner {
  readonly #keys: readonly number[];
  #matched = 0;

  constructor(keys: readonly number[]) {
    this.#keys = keys;
  }

  /** Takes typed input; returns what goes to the container, and whether the sequence is complete. */
  feed(chunk: Uint8Array): { pass: Uint8Array; detach: boolean } {
    const pass: number[] = [];
    for (const byte of chunk) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === this.#keys.length) return { pass: Uint8Array.from(pass), detach: true };
        continue;
      }
      // The held-back bytes were not the sequence after all; this byte may begin it again.
      pass.push(...this.#keys.slice(0, this.#matched));
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) pass.push(byte);
      else if (this.#keys.length === 1) return { pass: Uint8Array.from(pass), detach: true };
    }
    return { pass: Uint8Array.from(pass), detach: false };
  }
}
