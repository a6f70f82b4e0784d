/** The config.json that `spec` prints: a shell in a read-only rootfs, to be edited by hand. */
import type { Capabilities } from "../runtime/process.ts";
import type { Spec } from "../runtime/spec.ts";
import { cgroupMount, MASKED_PATHS, READONLY_PATHS, standardMounts } from "./defaults.ts";

/** Options of {@link defaultSpec}. */
export interface DefaultSpecOptions {
  /** For a user without privileges: a user namespace that maps the given ids to root. */
  rootless?: { uid: number; gid: number };
}

/** The document that `runc spec` (and with `rootless`, `runc spec --rootless`) prints. */
export function defaultSpec(options: DefaultSpecOptions = {}): Spec {
  const caps = () => ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
  const capabilities: Capabilities = {
    bounding: caps(),
    effective: caps(),
    permitted: caps(),
  };
  const spec: Spec = {
    ociVersion: "1.0.2-dev",
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ["sh"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
      cwd: "/",
      capabilities,
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "runc",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      ...standardMounts().slice(1),
      cgroupMount(true),
    ],
    linux: {
      resources: { devices: [{ allow: false, access: "rwm" }] },
      namespaces: [{ type: "pid" }, { type: "network" }, { type: "ipc" }, { type: "uts" }, { type: "mount" }],
      maskedPaths: MASKED_PATHS.filter((path) => path !== "/sys/devices/virtual/powercap"),
      readonlyPaths: [...READONLY_PATHS],
    },
  };
  if (options.rootless) makeRootless(spec, options.rootless);
  return spec;
}

// Rootless: no network namespace to configure, no fresh sysfs, no second group for terminals.
function makeRootless(spec: Spec, ids: { uid: number; gid: number }): void {
  const linux = spec.linux!;
  delete linux.resources;
  const { namespaces, ...rest } = linux;
  spec.linux = {
    uidMappings: [{ containerID: 0, hostID: ids.uid, size: 1 }],
    gidMappings: [{ containerID: 0, hostID: ids.gid, size: 1 }],
    namespaces: [...namespaces!.filter((n) => n.type !== "network"), { type: "user" }],
    ...rest,
  };
  for (const mount of spec.mounts!) {
    if (mount.type === "devpts") mount.options = mount.options!.filter((o) => !o.startsWith("gid="));
    if (mount.type === "sysfs")
      Object.assign(mount, {
        type: "none",
        source: "/sys",
        options: ["rbind", "nosuid", "noexec", "nodev", "ro"],
      });
  }
}
