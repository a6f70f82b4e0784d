/** Converts lists of CPUs and NUMA nodes ("0-3,7") to bit masks for system calls. Pure. */
import { BerthError } from "@berth/base";

const WORD = 8;
/** Above the kernel's limits; keeps a typo from allocating gigabytes. */
const LARGEST = 8191;

/** Parses a list to a mask of whole 64-bit words; an empty list gives an empty mask. `field` and `what` name it in errors. */
export function parseMask(text: string, field: string, what: string): Uint8Array {
  const numbers: number[] = [];
  for (const part of text.split(",")) {
    const word = part.trim();
    if (word === "") continue;
    const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(word);
    const first = Number(match?.[1]);
    const last = match?.[2] === undefined ? first : Number(match[2]);
    if (!match || last < first || last > LARGEST)
      throw new BerthError(
        "invalid_argument",
        `${field}: invalid ${what}: found ${JSON.stringify(word)}, expected numbers and ranges from 0 to ${LARGEST}, as "0-3,7"`,
        { stage: "config" },
      );
    for (let n = first; n <= last; n++) numbers.push(n);
  }
  const max = Math.max(-1, ...numbers);
  const mask = new Uint8Array(Math.ceil((max + 1) / (8 * WORD)) * WORD);
  for (const n of numbers) mask[n >> 3] = mask[n >> 3]! | (1 << (n & 7));
  return mask;
}
