/** Standard input of a shim's call. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";

const MAX_INPUT = 10 << 20;

/** Reads standard input to its end. */
export function readInput(sys: Sys): Uint8Array {
  const parts: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const chunk = sys.readSync(0, 65536);
    if (chunk.length === 0) return Buffer.concat(parts);
    parts.push(chunk);
    size += chunk.length;
    if (size > MAX_INPUT)
      throw new BerthError(
        "invalid_argument",
        `standard input: found more than ${MAX_INPUT} bytes, expected runtime options or bootstrap parameters`,
      );
  }
}
