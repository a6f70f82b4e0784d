/** The cgroup that exec joins: a sub-cgroup by request, or the one that the init process has moved to. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import { type CgroupPaths, cgroupFolders } from "./paths.ts";

function invalid(text: string): BerthError {
  return new BerthError("invalid_argument", text, { stage: "flags" });
}

/** Parses values of `--cgroup [CONTROLLER[,CONTROLLER...]:]PATH` to paths by controller; "" means all controllers. */
export function parseSubCgroups(values: readonly string[]): Map<string, string> {
  const out = new Map<string, string>();
  for (const value of values) {
    const at = value.indexOf(":");
    if (at < 0) {
      if (values.length !== 1)
        throw invalid(`invalid --cgroup argument: ${value} (missing <controller>: prefix)`);
      out.set("", value);
      continue;
    }
    for (const controller of value.slice(0, at).split(",")) {
      if (controller === "") throw invalid(`invalid --cgroup argument: ${value} (empty <controller> prefix)`);
      if (out.has(controller))
        throw invalid(`invalid --cgroup argument(s): controller ${controller} specified multiple times`);
      out.set(controller, value.slice(at + 1));
    }
  }
  return out;
}

function below(folder: string, sub: string): string {
  const parts = sub.split("/").filter((p) => p !== "" && p !== ".");
  if (parts.includes("..")) throw invalid(`bad sub cgroup path: ${sub}`);
  return [folder, ...parts].join("/");
}

/** Resolves sub-cgroups of the container's cgroup; "not_found" if one does not exist. */
export function subCgroups(sys: Sys, paths: CgroupPaths, subs: ReadonlyMap<string, string>): CgroupPaths {
  for (const controller of subs.keys()) {
    if (controller !== "" && !(controller in paths.v1)) throw invalid(`unknown controller ${controller}`);
  }
  const all = subs.get("");
  if (cgroupFolders(paths).length === 0)
    throw invalid(
      "--cgroup: found a container without a cgroup, expected one that has cgroups below its own",
    );
  const v1 = Object.fromEntries(
    Object.entries(paths.v1).map(([controller, folder]) => {
      const sub = subs.get(controller) ?? all;
      return [controller, sub === undefined ? folder : below(folder, sub)];
    }),
  );
  const unified =
    paths.unified === undefined || all === undefined ? paths.unified : below(paths.unified, all);
  const out = unified === undefined ? { path: paths.path, v1 } : { path: paths.path, v1, unified };
  for (const folder of cgroupFolders(out)) {
    if (sys.stat(folder) !== undefined) continue;
    throw new BerthError("not_found", `error adding pid to cgroup ${folder}: no such file or directory`, {
      stage: "exec-state",
      path: folder,
      hint: "make the cgroup first: exec joins existing ones only",
    });
  }
  return out;
}

/**
 * The cgroup that a new process can join. On version 2, a container's cgroup may have been removed, or take no processes
 * because it has controllers enabled for its children. The init process's current cgroup is used then.
 */
export function reachableCgroup(sys: Sys, paths: CgroupPaths, mountpoint: string, pid: number): CgroupPaths {
  const { unified } = paths;
  if (unified === undefined || Object.keys(paths.v1).length > 0) return paths;
  const enabled = sys.readTextIfAny(`${unified}/cgroup.subtree_control`)?.trim();
  if (enabled === "") return paths;
  const current = /^0::(\/.*)$/m.exec(sys.readTextIfAny(`/proc/${pid}/cgroup`) ?? "")?.[1];
  return current === undefined ? paths : { ...paths, unified: mountpoint + current.replace(/\/$/, "") };
}
