/** Selects a container's runtime: berth's own, or another's through its shim. */
import { LABEL } from "@berth/api";
import { foreignProgram } from "@berth/shim";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { ContainerRecord } from "../../objects/containers/container-store.ts";

/** Names by which clients know runc's family; unless configured otherwise, all mean berth's own runtime. */
export const BUILT_IN: readonly string[] = [
  "io.containerd.berth.v1",
  "io.containerd.runc.v2",
  "io.containerd.runc.v1",
  "io.containerd.runtime.v1.linux",
];

/** The runtime whose shim runs the program in the option binary_name. */
const PROGRAM_RUNTIME = "io.containerd.runc.v2";

/** The name of a task's foreign runtime; undefined for berth's own. `options` are the task's, or else the record's. */
export function foreignRuntime(
  record: ContainerRecord,
  options: Any | undefined,
  builtIn: readonly string[],
): string | undefined {
  const { name } = record.runtime!;
  if (record.labels[LABEL.shim] === "external" || !builtIn.includes(name)) return name;
  return foreignProgram(options) === undefined ? undefined : PROGRAM_RUNTIME;
}
