/** Converts device rules to systemd's DevicePolicy= and DeviceAllow=, which can only allow. Pure. */
import type { DeviceRule } from "@berth/oci";
import { DEFAULT_DEVICE_RULES } from "../cgroups/devices.ts";
import type { Property } from "./manager.ts";

/** Parses /proc/devices to group names by type and major number: "c:136" is "pts". */
export function parseDeviceGroups(text: string): Map<string, string> {
  const groups = new Map<string, string>();
  let kind = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("Character")) kind = "c";
    else if (line.startsWith("Block")) kind = "b";
    const match = /^\s*(\d+) (\S+)$/.exec(line);
    const key = `${kind}:${match?.[1]}`;
    if (match !== null && !groups.has(key)) groups.set(key, match[2]!);
  }
  return groups;
}

const isAny = (n: DeviceRule["major"]) => n === undefined || BigInt(n) < 0n;

/** systemd's specifier for the devices of a rule; undefined if there is none. */
function deviceSpecifier(
  type: "c" | "b",
  rule: DeviceRule,
  groups: ReadonlyMap<string, string>,
): string | undefined {
  const kind = type === "c" ? "char" : "block";
  if (isAny(rule.major)) return isAny(rule.minor) ? `${kind}-*` : undefined;
  if (!isAny(rule.minor)) return `/dev/${kind}/${rule.major}:${rule.minor}`;
  const group = groups.get(`${type}:${rule.major}`);
  return group === undefined ? undefined : `${kind}-${group}`;
}

/**
 * Properties that allow at least what the rules allow. The rules are enforced by the runtime, but without these properties
 * systemd would replace them at a reload. Devices without a specifier are covered by allowing all devices of their type.
 */
export function deviceProperties(
  rules: readonly DeviceRule[] | undefined,
  groups: ReadonlyMap<string, string>,
): Property[] {
  if (rules === undefined) return [];
  let allowAll = true;
  const allowed = new Map<string, Set<string>>();
  for (const rule of [...rules, ...DEFAULT_DEVICE_RULES]) {
    const types =
      rule.type === "c" || rule.type === "u"
        ? ["c" as const]
        : rule.type === "b"
          ? ["b" as const]
          : ["c" as const, "b" as const];
    const access = rule.access || "rwm";
    const all = types.length === 2 && isAny(rule.major) && isAny(rule.minor) && access.length === 3;
    if (all) {
      allowAll = rule.allow;
      allowed.clear();
      continue;
    }
    for (const type of types) {
      const name = deviceSpecifier(type, rule, groups);
      if (rule.allow) {
        // For an unregistered group, "block-*" allows too much, which is better than losing access at a reload.
        const key = name ?? (type === "c" ? "char-*" : "block-*");
        const letters = allowed.get(key) ?? new Set<string>();
        for (const letter of access) letters.add(letter);
        allowed.set(key, letters);
      } else if (name !== undefined) {
        for (const letter of access) allowed.get(name)?.delete(letter);
      }
    }
  }
  const list = allowAll ? [] : [...allowed].filter(([, letters]) => letters.size > 0);
  return [
    ["DevicePolicy", { signature: "s", value: allowAll ? "auto" : "strict" }],
    [
      "DeviceAllow",
      {
        signature: "a(ss)",
        value: list.map(([name, letters]) => [name, ["r", "w", "m"].filter((l) => letters.has(l)).join("")]),
      },
    ],
  ];
}
