/** The initial record of a container. */
import { present } from "@berth/base";
import type { Spec } from "@berth/oci";
import { cgroupPaths, pathsBelow } from "../cgroups/paths.ts";
import { reachableCgroups } from "../cgroups/reach.ts";
import type { Owner } from "../plan/namespaces.ts";
import type { ContainerRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { expectedPath, unitName } from "../systemd/unit.ts";
import { ownerOf } from "./owner.ts";

/** Makes the record of a container that is about to be created. */
export function newRecord(
  runtime: Runtime,
  container: { id: string; bundle: string; spec: Spec; rootfs: string },
  owner: Owner = ownerOf(runtime.sys),
): ContainerRecord {
  const { id, bundle, spec, rootfs } = container;
  const layout = runtime.layout();
  const unit = runtime.systemd ? unitName(spec.linux?.cgroupsPath, id, owner.uid !== 0) : undefined;
  const cgroup = runtime.cgroupless
    ? { path: "", v1: {} }
    : unit
      ? pathsBelow(layout, expectedPath(unit))
      : cgroupPaths(layout, spec.linux?.cgroupsPath, id);
  return {
    version: 1,
    ociVersion: spec.ociVersion,
    id,
    pid: 0,
    startTime: 0,
    bundle,
    rootfs,
    created: new Date().toISOString(),
    owner: owner.uid,
    ...present({ annotations: spec.annotations, unit }),
    cgroup: owner.confined ? reachableCgroups(runtime.sys, cgroup) : cgroup,
    namespaces: (spec.linux?.namespaces ?? []).map(({ type }) => type),
  };
}
