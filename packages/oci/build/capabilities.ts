/** Which capabilities a container gets from docker's --cap-add, --cap-drop and --privileged. */
import { BerthError } from "@berth/base";
import { CAPABILITIES } from "../runtime/names.ts";
import { DEFAULT_CAPABILITIES } from "./defaults.ts";

/** What may be asked for; names with or without "CAP_", in any case, or "ALL". */
export interface CapabilityWishes {
  privileged?: boolean;
  add?: readonly string[];
  drop?: readonly string[];
  /** What "ALL" and privileged mean: those the runtime itself may hold. All there are when absent. */
  available?: readonly string[];
}

/** The set of capabilities, in the kernel's order. Throws "invalid_argument" for a name nobody knows. */
export function chooseCapabilities(wishes: CapabilityWishes): string[] {
  const all = CAPABILITIES.filter((name) => wishes.available?.includes(name) ?? true);
  if (wishes.privileged) return all;
  const add = (wishes.add ?? []).map((name) => canonical(name, "--cap-add"));
  const drop = (wishes.drop ?? []).map((name) => canonical(name, "--cap-drop"));
  const base = add.includes("ALL") ? all : drop.includes("ALL") ? [] : DEFAULT_CAPABILITIES;
  const chosen = new Set([...base, ...add]);
  for (const name of drop) chosen.delete(name);
  return CAPABILITIES.filter((name) => chosen.has(name));
}

function canonical(name: string, flag: string): string {
  const upper = name.toUpperCase();
  if (upper === "ALL") return upper;
  const full = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (CAPABILITIES.includes(full)) return full;
  throw new BerthError(
    "invalid_argument",
    `${flag}: found ${JSON.stringify(name)}, expected a capability or ALL`,
    {
      hint: "See capabilities(7) for the names, for instance NET_ADMIN.",
    },
  );
}
