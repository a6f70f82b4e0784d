/** Lists of CPUs and NUMA nodes ("0-3,7") as the bit masks that system calls take. Pure. */
import { BerthError } from "@berth/base";

const WORD = 8;
/** More CPUs or nodes than any kernel knows; a typing error must not make a mask of gigabytes. */
const LARGEST = 8191;

/** A list as a mask of whole 64-bit words; an empty list gives an empty mask. `field` and `what` it is of go into errors. */
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
  const most = Math.max(-1, ...numbers);
  const mask = new Uint8Array(Math.ceil((most + 1) / (8 * WORD)) * WORD);
  for (const n of numbers) mask[n >> 3] = mask[n >> 3]! | (1 << (n & 7));
  return mask;
}
