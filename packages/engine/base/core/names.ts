/** Validation of names and labels: containerd's rules, with containerd's messages. */
import { BerthError } from "@berth/base";

const IDENTIFIER = /^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$/;
const MAX_IDENTIFIER = 76;
/** Limit of a label's key and value together, in bytes. */
const MAX_LABEL = 4096;

/** Labels as stored and sent. */
export type Labels = { [key: string]: string };

/** Throws "invalid_argument" unless `text` can name a container, namespace or exec; `field` is named in the error. */
export function checkIdentifier(text: string, field?: string): void {
  const refuse = (why: string) =>
    new BerthError(
      "invalid_argument",
      `${field === undefined ? "" : `${field}: `}identifier ${why}: invalid argument`,
    );
  if (text === "") throw refuse("must not be empty");
  if (text.length > MAX_IDENTIFIER)
    throw refuse(`${JSON.stringify(text)} greater than maximum length (${MAX_IDENTIFIER} characters)`);
  if (!IDENTIFIER.test(text)) throw refuse(`${JSON.stringify(text)} must match ${IDENTIFIER.source}`);
}

/**
 * Throws "invalid_argument" if a label is too long, and drops those without a value: as in containerd, for an object they
 * are none.
 */
export function checkLabels(labels: Labels): void {
  checkLabelSizes(labels);
  for (const [key, value] of Object.entries(labels)) if (value === "") delete labels[key];
}

/** Throws "invalid_argument" if a label is too long. */
export function checkLabelSizes(labels: Labels): void {
  for (const [key, value] of Object.entries(labels)) {
    const size = Buffer.byteLength(key) + Buffer.byteLength(value);
    if (size <= MAX_LABEL) continue;
    const shown = key.length > 64 ? `${key.slice(0, 64)}...` : key;
    throw new BerthError(
      "invalid_argument",
      `label key and value greater than maximum size (${MAX_LABEL} bytes), key: ${shown}: invalid argument`,
    );
  }
}
