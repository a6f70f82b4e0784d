/** Digests of bytes. */
import { createHash } from "node:crypto";

/** The sha256 digest of what is given, "sha256:" included. */
export function digestOf(content: string | Uint8Array): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}
