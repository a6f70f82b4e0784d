/** D-Bus types: values, alignment and signatures (dbus.freedesktop.org/doc/dbus-specification.html). Pure. */
import { BerthError } from "@berth/base";

/** A D-Bus value: a number for integers up to 32 bits and doubles, a bigint for 64-bit integers. */
export type DBusValue = number | bigint | string | boolean | readonly DBusValue[] | Variant;

/** A value with its type. */
export interface Variant {
  readonly signature: string;
  readonly value: DBusValue;
}

/** Alignment by the first letter of a type. */
export const ALIGNMENT: Readonly<Record<string, number>> = {
  y: 1,
  b: 4,
  n: 2,
  q: 2,
  i: 4,
  u: 4,
  h: 4,
  x: 8,
  t: 8,
  d: 8,
  s: 4,
  o: 4,
  g: 1,
  a: 4,
  "(": 8,
  "{": 8,
  v: 1,
};

/** The error for a message that violates the specification. */
export function malformed(what: string): BerthError {
  return new BerthError("data_loss", `a malformed D-Bus message: ${what}`, { stage: "systemd" });
}

/** Splits a signature into its single complete types: "a{sv}u" -> ["a{sv}", "u"]. */
export function splitSignature(signature: string): string[] {
  const out: string[] = [];
  const end = (at: number): number => {
    const letter = signature[at];
    if (letter === undefined) throw malformed(`signature ${signature}`);
    if (letter === "a") return end(at + 1);
    if (letter !== "(" && letter !== "{") {
      if (!(letter in ALIGNMENT)) throw malformed(`signature ${signature}`);
      return at + 1;
    }
    const close = letter === "(" ? ")" : "}";
    let next = at + 1;
    while (signature[next] !== close) next = end(next);
    return next + 1;
  };
  for (let at = 0; at < signature.length; ) {
    const next = end(at);
    out.push(signature.slice(at, next));
    at = next;
  }
  return out;
}
