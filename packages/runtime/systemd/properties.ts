/** All properties of a container's unit: its place, what it is accounted for, limits, and what annotations ask for. Pure. */
import { BerthError } from "@berth/base";
import type { Spec } from "@berth/oci";
import type { UnitName } from "../state/record.ts";
import { deviceProperties } from "./devices.ts";
import { parseGVariant } from "./gvariant.ts";
import type { Property } from "./manager.ts";
import { type ResourceContext, resourceProperties } from "./resources.ts";
import type { Variant } from "./wire.ts";

const PREFIX = "org.systemd.property.";
const MICROSECONDS = 1_000_000;

const flag = (name: string): Property => [name, { signature: "b", value: true }];

/** Times are given in seconds under the names of unit files; over D-Bus they are microseconds, under others. */
function inMicroseconds(name: string, value: Variant): Property {
  if (!name.endsWith("Sec") || name.endsWith("USec")) return [name, value];
  if (!"nqiuxtd".includes(value.signature))
    throw new BerthError(
      "invalid_argument",
      `${PREFIX}${name}: found type ${value.signature}, expected a number of seconds`,
      {
        stage: "systemd",
      },
    );
  return [
    `${name.slice(0, -3)}USec`,
    { signature: "t", value: BigInt(Math.round(Number(value.value) * MICROSECONDS)) },
  ];
}

/** Properties that annotations "org.systemd.property.NAME" ask for. */
export function annotatedProperties(annotations: Readonly<Record<string, string>> | undefined): Property[] {
  return Object.entries(annotations ?? {})
    .filter(([key]) => key.startsWith(PREFIX))
    .map(([key, text]) => {
      const name = key.slice(PREFIX.length);
      if (!/^[A-Z][A-Za-z]{2,}$/.test(name))
        throw new BerthError(
          "invalid_argument",
          `annotation ${key}: found the name ${JSON.stringify(name)}, expected a unit's property`,
          {
            stage: "systemd",
          },
        );
      try {
        return inMicroseconds(name, parseGVariant(text));
      } catch (error) {
        throw new BerthError("invalid_argument", `annotation ${key}: ${BerthError.from(error).message}`, {
          stage: "systemd",
          cause: error,
        });
      }
    });
}

/** What the properties depend on. */
export interface UnitContext extends ResourceContext {
  id: string;
  name: UnitName;
  /** The process that a scope begins with. */
  pid: number;
  /** Text of /proc/devices. */
  deviceGroups: ReadonlyMap<string, string>;
}

/** The unit's properties. */
export function unitProperties(spec: Spec, at: UnitContext): Property[] {
  const resources = spec.linux?.resources ?? {};
  const isSlice = at.name.unit.endsWith(".slice");
  const out: Property[] = [
    ["Description", { signature: "s", value: `berth container ${at.id}` }],
    isSlice
      ? ["Wants", { signature: "as", value: [at.name.slice] }]
      : ["Slice", { signature: "s", value: at.name.slice }],
  ];
  if (!isSlice) {
    out.push(["PIDs", { signature: "au", value: [at.pid] }]);
    // Its cgroups below are the container's own affair.
    out.push(flag("Delegate"));
  }
  out.push(
    flag("MemoryAccounting"),
    flag("CPUAccounting"),
    flag(at.unified ? "IOAccounting" : "BlockIOAccounting"),
  );
  out.push(flag("TasksAccounting"));
  // Without this, a shutdown would stop the container with the first services.
  out.push(["DefaultDependencies", { signature: "b", value: false }]);
  out.push(...deviceProperties(resources.devices, at.deviceGroups));
  out.push(...resourceProperties(resources, at));
  // Last, as an annotation has the last word.
  out.push(...annotatedProperties(spec.annotations));
  return out;
}
