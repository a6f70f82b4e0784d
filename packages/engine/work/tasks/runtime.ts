/** Selects a container's runtime: berth's own, or another's through its shim. */
import { LABEL } from "@berth/api";
import type { RuntimeInfo } from "@berth/api/runtimeTypes";
import { foreignProgram, foreignRuntimeInfo, ownRuntimeInfo } from "@berth/shim";
import { realSys } from "@berth/sys";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { ContainerRecord } from "../../objects/containers/container-store.ts";

/** Names by which clients know runc's family; unless configured otherwise, all mean berth's own runtime. */
export const BUILT_IN: readonly string[] = [
  "io.containerd.berth.v1",
  "io.containerd.runc.v2",
  "io.containerd.runc.v1",
  "io.containerd.runtime.v1.linux",
];

/** The description of the runtime that a name and options select. */
export async function describeRuntime(
  runtime: string,
  options: Any | undefined,
  builtIn: readonly string[],
): Promise<RuntimeInfo> {
  const foreign = foreignRuntime({ runtime: { name: runtime }, labels: {} }, options, builtIn);
  if (foreign !== undefined) return foreignRuntimeInfo(realSys, foreign, options);
  return ownRuntimeInfo(options);
}

/** The runtime whose shim runs the program in the option binary_name. */
const PROGRAM_RUNTIME = "io.containerd.runc.v2";

/** The name of a task's foreign runtime; undefined for berth's own. `options` are the task's, or else the record's. */
export function foreignRuntime(
  record: { runtime?: { name: string } | undefined; labels: ContainerRecord["labels"] },
  options: Any | undefined,
  builtIn: readonly string[],
): string | undefined {
  const { name } = record.runtime!;
  if (record.labels[LABEL.shim] === "external" || !builtIn.includes(name)) return name;
  return foreignProgram(options) === undefined ? undefined : PROGRAM_RUNTIME;
}
