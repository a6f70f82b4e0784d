import {
  CAPABILITIES,
  type Features,
  HOOK_NAMES,
  NAMESPACE_TYPES,
  SECCOMP_ACTIONS,
  SECCOMP_FLAGS,
  SECCOMP_OPERATORS,
} from "@berth/oci";
import { mountOptionNames } from "./plan/mount-options.ts";
import { memoryPolicyNames } from "./plan/scheduling.ts";
import { ARCHITECTURES } from "./seccomp/architectures.ts";

/** Lists what this runtime supports, from the tables it validates and compiles with. */
export function features(): Features {
  const flags = [...SECCOMP_FLAGS].sort();
  return {
    ociVersionMin: "1.0.0",
    ociVersionMax: "1.3.0",
    hooks: [...HOOK_NAMES],
    mountOptions: mountOptionNames(),
    linux: {
      namespaces: [...NAMESPACE_TYPES].sort(),
      capabilities: [...CAPABILITIES],
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: false, rdma: true },
      seccomp: {
        enabled: true,
        actions: [...SECCOMP_ACTIONS].sort(),
        operators: [...SECCOMP_OPERATORS].sort(),
        archs: Object.keys(ARCHITECTURES).sort(),
        knownFlags: flags,
        supportedFlags: flags,
      },
      apparmor: { enabled: true },
      selinux: { enabled: true },
      intelRdt: { enabled: true },
      memoryPolicy: memoryPolicyNames(),
      mountExtensions: { idmap: { enabled: true } },
      netDevices: { enabled: true },
    },
    // runc's names: engines look for them before they offer checkpoints.
    annotations: { "org.opencontainers.runc.checkpoint.enabled": "true" },
    potentiallyUnsafeConfigAnnotations: ["org.criu.config"],
  };
}
