/** Selects a container's runtime: berth's own, or another's through its shim. */
import { LABEL } from "@berth/api";
import type { ContainerRecord } from "../../objects/containers/container-store.ts";

/** Names by which clients know runc's family; unless configured otherwise, all mean berth's own runtime. */
export const BUILT_IN: readonly string[] = [
  "io.containerd.berth.v1",
  "io.containerd.runc.v2",
  "io.containerd.runc.v1",
  "io.containerd.runtime.v1.linux",
];

/** The name of the container's foreign runtime; undefined for berth's own. */
export function foreignRuntime(record: ContainerRecord, builtIn: readonly string[]): string | undefined {
  const { name } = record.runtime!;
  return record.labels[LABEL.shim] === "external" || !builtIn.includes(name) ? name : undefined;
}
