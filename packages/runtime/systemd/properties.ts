/** The properties of a container's unit: slice, accounting, limits, and those of annotations. Pure. */
import { BerthError } from "@berth/base";
import type { Spec } from "@berth/oci";
import type { UnitName } from "../state/record.ts";
import { deviceProperties } from "./devices.ts";
import { parseGVariant } from "./gvariant.ts";
import type { Property } from "./manager.ts";
import { type ResourceContext, resourceProperties } from "./resources.ts";
import type { Variant } from "./types.ts";

const PREFIX = "org.systemd.property.";
const MICROSECONDS = 1_000_000;

const flag = (name: string): Property => [name, { signature: "b", value: true }];

/** Converts times: unit files have them in seconds ("TimeoutStopSec"), D-Bus in microseconds ("TimeoutStopUSec"). */
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

/** Parses properties from annotations "org.systemd.property.NAME"; "invalid_argument" names the annotation. */
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
  /** Pid of a scope's initial process. */
  pid: number;
  /** Group names of devices (see parseDeviceGroups). */
  deviceGroups: ReadonlyMap<string, string>;
}

/** Returns all properties of a container's unit. */
export function unitProperties(spec: Spec, context: UnitContext): Property[] {
  const resources = spec.linux?.resources ?? {};
  const isSlice = context.name.unit.endsWith(".slice");
  const out: Property[] = [
    ["Description", { signature: "s", value: `berth container ${context.id}` }],
    isSlice
      ? ["Wants", { signature: "as", value: [context.name.slice] }]
      : ["Slice", { signature: "s", value: context.name.slice }],
  ];
  if (!isSlice) {
    out.push(["PIDs", { signature: "au", value: [context.pid] }]);
    // The container manages its own sub-cgroups.
    out.push(flag("Delegate"));
  }
  out.push(
    flag("MemoryAccounting"),
    flag("CPUAccounting"),
    flag(context.unified ? "IOAccounting" : "BlockIOAccounting"),
  );
  out.push(flag("TasksAccounting"));
  // Without this, a shutdown would stop the container with the first services.
  out.push(["DefaultDependencies", { signature: "b", value: false }]);
  out.push(...deviceProperties(resources.devices, context.deviceGroups));
  out.push(...resourceProperties(resources, context));
  // Last, so that annotations override.
  out.push(...annotatedProperties(spec.annotations));
  return out;
}
