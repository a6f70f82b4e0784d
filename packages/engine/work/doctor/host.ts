/** berth's requirements on the host, and whether they are met. */
import * as fs from "node:fs";
import { readLayout } from "@berth/runtime";
import type { Check, Instance } from "./finding.ts";

const OLDEST_KERNEL = [5, 12] as const;
const CONTROLLERS = ["memory", "cpu", "cpuset", "pids", "devices", "freezer"];
/** File descriptors that suffice for many containers. */
const DESCRIPTORS = 65_536;
const ROOM = 0.05;

/** Checks the host. */
export function hostChecks(instance: Instance): Check[] {
  return [
    kernel(instance),
    cgroups(instance),
    overlayfs(instance),
    userNamespaces(instance),
    seccomp(instance),
    criu(instance),
    descriptors(instance),
    threads(instance),
    room("root directory", instance.root),
    room("state directory", instance.state),
  ];
}

const check = (name: string, level: Check["level"], found: string, fix = ""): Check => ({
  name,
  level,
  found,
  fix,
});

function kernel({ sys }: Instance): Check {
  const release = sys.kernelRelease();
  const [major = 0, minor = 0] = release.split(".").map((part) => Number.parseInt(part, 10));
  const enough = major > OLDEST_KERNEL[0] || (major === OLDEST_KERNEL[0] && minor >= OLDEST_KERNEL[1]);
  return enough
    ? check("kernel", "ok", release)
    : check("kernel", "problem", release, `use Linux ${OLDEST_KERNEL.join(".")} or later`);
}

function cgroups({ sys }: Instance): Check {
  const layout = readLayout(sys);
  const v1 = layout.v1.flatMap(({ controllers }) => controllers);
  const v2 =
    layout.unified === undefined
      ? []
      : (sys.readTextIfAny(`${layout.unified}/cgroup.controllers`)?.trim().split(/\s+/) ?? []).filter(
          Boolean,
        );
  // Version 2 has these without a controller.
  const have = new Set([...v1, ...v2, ...(v2.length > 0 ? ["devices", "freezer"] : [])]);
  const version =
    v1.length === 0 ? "version 2" : layout.unified === undefined ? "version 1" : "version 1 and 2";
  if (v1.length === 0 && layout.unified === undefined)
    return check("cgroups", "problem", "none are mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup");
  const missing = CONTROLLERS.filter((name) => !have.has(name));
  return missing.length === 0
    ? check("cgroups", "ok", version)
    : check(
        "cgroups",
        "note",
        `${version}, without ${missing.join(", ")}`,
        "limits of these are refused; enable them at boot",
      );
}

function overlayfs({ sys }: Instance): Check {
  const known = (sys.readTextIfAny("/proc/filesystems") ?? "").split(/\s+/).includes("overlay");
  return known || sys.stat("/sys/module/overlay") !== undefined
    ? check("overlayfs", "ok", "in the kernel")
    : check(
        "overlayfs",
        "problem",
        "not in the kernel",
        "modprobe overlay, or use the native snapshotter, which copies",
      );
}

function userNamespaces({ sys }: Instance): Check {
  const most = Number(sys.readTextIfAny("/proc/sys/user/max_user_namespaces") ?? 0);
  if (most === 0)
    return check(
      "user namespaces",
      "note",
      "none may be made",
      "sysctl user.max_user_namespaces=28633, for containers with users of their own",
    );
  return sys.readTextIfAny("/proc/sys/kernel/unprivileged_userns_clone")?.trim() === "0"
    ? check(
        "user namespaces",
        "note",
        "for root alone",
        "sysctl kernel.unprivileged_userns_clone=1, for rootless containers",
      )
    : check("user namespaces", "ok", `up to ${most}`);
}

function seccomp({ sys }: Instance): Check {
  return sys.stat("/proc/sys/kernel/seccomp") !== undefined
    ? check("seccomp", "ok", "in the kernel")
    : check(
        "seccomp",
        "problem",
        "not in the kernel",
        "use a kernel with CONFIG_SECCOMP_FILTER, or --security-opt seccomp=unconfined",
      );
}

function criu({ sys }: Instance): Check {
  const found = (sys.env("PATH") ?? "/usr/sbin:/usr/bin:/sbin:/bin")
    .split(":")
    .map((folder) => `${folder}/criu`)
    .find((path) => sys.stat(path) !== undefined);
  return found === undefined
    ? check("CRIU", "note", "not installed", "install criu, for checkpoint and restore")
    : check("CRIU", "ok", found);
}

function limitOf({ sys }: Instance, name: string): number {
  const line = (sys.readTextIfAny("/proc/self/limits") ?? "")
    .split("\n")
    .find((text) => text.startsWith(name));
  const soft = line?.slice(name.length).trim().split(/\s+/)[0];
  return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft ?? 0);
}

function descriptors(instance: Instance): Check {
  const limit = limitOf(instance, "Max open files");
  return limit >= DESCRIPTORS
    ? check("open files", "ok", `up to ${limit}`)
    : check(
        "open files",
        "note",
        `up to ${limit}`,
        `LimitNOFILE=${DESCRIPTORS} in berthd's unit, for many containers`,
      );
}

function threads({ sys }: Instance): Check {
  const most = Number(sys.readTextIfAny("/proc/sys/kernel/pid_max") ?? 0);
  return most >= DESCRIPTORS
    ? check("processes", "ok", `up to ${most}`)
    : check("processes", "note", `up to ${most}`, "sysctl kernel.pid_max=4194304, for many containers");
}

function room(name: string, path: string): Check {
  const { bavail, blocks, bsize, ffree, files } = fs.statfsSync(path);
  const free = `${Math.round((bavail * bsize) / 2 ** 20)} MiB free at ${path}`;
  if (blocks > 0 && bavail / blocks < ROOM / 5)
    return check(name, "problem", free, "make room: berth rmi what is not needed");
  if (files > 0 && ffree / files < ROOM / 5)
    return check(
      name,
      "problem",
      `${ffree} inodes free at ${path}`,
      "make room: berth rmi what is not needed",
    );
  return blocks > 0 && bavail / blocks < ROOM
    ? check(name, "note", free, "make room: berth rmi what is not needed")
    : check(name, "ok", free);
}
