/** JSON whose integers may need 64 bits: values that a double cannot hold are read as bigint and written exactly. */
import { BerthError } from "@berth/base";

// A reviver costs a call per value: it is used only when the text holds a number that could need it.
const LONG_DIGITS = /[0-9]{16,}/;

type Reviver = (this: unknown, key: string, value: unknown, context: { source?: string }) => unknown;

const keepDigits: Reviver = (_key, value, context) =>
  typeof value === "number" && !Number.isSafeInteger(value) && /^-?[0-9]+$/.test(context?.source ?? "")
    ? BigInt(context.source!)
    : value;

/**
 * Parses JSON; integers that a number cannot hold exactly become bigints. Throws "invalid_argument" naming `what` (a
 * file, for instance) if the text is not JSON.
 */
export function parseJson(text: string, what: string): unknown {
  try {
    return LONG_DIGITS.test(text)
      ? JSON.parse(text, keepDigits as Parameters<typeof JSON.parse>[1])
      : JSON.parse(text);
  } catch (cause) {
    const found = text.trim() === "" ? "it is empty" : (cause as Error).message;
    throw new BerthError("invalid_argument", `${what} is not valid JSON: ${found}`, {
      stage: "config",
      cause,
      hint: "Check the file with `python3 -m json.tool`, which prints line and column.",
    });
  }
}

// JSON.rawJSON is newer than the type library.
const rawJson = (JSON as unknown as { rawJSON: (text: string) => unknown }).rawJSON;

/** Formats JSON, bigints as plain numbers; `indent` as in JSON.stringify. */
export function stringifyJson(value: unknown, indent?: string): string {
  return JSON.stringify(value, (_key, v) => (typeof v === "bigint" ? rawJson(v.toString()) : v), indent);
}
