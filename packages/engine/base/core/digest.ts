/** Digest of bytes. */
import { createHash } from "node:crypto";

/** The sha256 digest of the content, "sha256:" included. */
export function digestOf(content: string | Uint8Array): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}
