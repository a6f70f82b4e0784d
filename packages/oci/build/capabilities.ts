/** Computes a container's capabilities from docker's --cap-add, --cap-drop and --privileged. */
import { BerthError } from "@berth/base";
import { CAPABILITIES } from "../runtime/names.ts";
import { DEFAULT_CAPABILITIES } from "./defaults.ts";

/** Capability options; names with or without "CAP_", in any case, or "ALL". */
export interface CapabilityOptions {
  privileged?: boolean;
  add?: readonly string[];
  drop?: readonly string[];
  /**
   * Capabilities that "ALL" and privileged mode stand for: those the runtime itself may hold. Default: all known
   * ones.
   */
  available?: readonly string[];
}

/** The resulting capabilities, in the kernel's order. Throws "invalid_argument" for an unknown name. */
export function chooseCapabilities(options: CapabilityOptions): string[] {
  const all = CAPABILITIES.filter((name) => options.available?.includes(name) ?? true);
  if (options.privileged) return all;
  const add = (options.add ?? []).map((name) => canonical(name, "--cap-add"));
  const drop = (options.drop ?? []).map((name) => canonical(name, "--cap-drop"));
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
