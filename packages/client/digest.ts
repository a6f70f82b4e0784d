/** Digest of a text. */
import { createHash } from "node:crypto";

/** The sha256 digest of a text, "sha256:" included. */
export function digestOf(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}
