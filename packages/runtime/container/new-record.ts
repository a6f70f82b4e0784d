/** The first record of a container. */
import type { Spec } from "@berth/oci";
import { cgroupPaths, pathsBelow } from "../cgroups/paths.ts";
import { reachableCgroups } from "../cgroups/reach.ts";
import type { Owner } from "../plan/namespaces.ts";
import type { ContainerRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { likelyPath, unitName } from "../systemd/unit.ts";
import { ownerOf } from "./owner.ts";

/** The record of a container that is about to be made. */
export function newRecord(
  runtime: Runtime,
  of: { id: string; bundle: string; spec: Spec; rootfs: string },
  owner: Owner = ownerOf(runtime.sys),
): ContainerRecord {
  const { id, bundle, spec, rootfs } = of;
  const layout = runtime.layout();
  const unit = runtime.systemd ? unitName(spec.linux?.cgroupsPath, id, owner.uid !== 0) : undefined;
  const cgroup = runtime.cgroupless
    ? { path: "", v1: {} }
    : unit
      ? pathsBelow(layout, likelyPath(unit))
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
    ...(spec.annotations === undefined ? {} : { annotations: spec.annotations }),
    ...(unit === undefined ? {} : { unit }),
    cgroup: owner.confined ? reachableCgroups(runtime.sys, cgroup) : cgroup,
    namespaces: (spec.linux?.namespaces ?? []).map(({ type }) => type),
  };
}
