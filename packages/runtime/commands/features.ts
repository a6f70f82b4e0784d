import { CAPABILITIES, type Features } from "@berth/oci";
import { defineCommand } from "./command.ts";

/** What this runtime can do; what it refuses is not listed. */
export function features(): Features {
  return {
    ociVersionMin: "1.0.0",
    ociVersionMax: "1.3.0",
    hooks: ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
    mountOptions:
      "async atime bind defaults dev diratime dirsync exec lazytime mand noatime nodev nodiratime noexec nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync unbindable".split(
        " ",
      ),
    linux: {
      namespaces: ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"],
      capabilities: [...CAPABILITIES],
      cgroup: { v1: true, v2: true, systemd: false, systemdUser: false, rdma: false },
      seccomp: {
        enabled: true,
        actions: "ALLOW ERRNO KILL KILL_PROCESS KILL_THREAD LOG TRACE TRAP"
          .split(" ")
          .map((a) => `SCMP_ACT_${a}`),
        operators: "EQ GE GT LE LT MASKED_EQ NE".split(" ").map((o) => `SCMP_CMP_${o}`),
        archs: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"],
        knownFlags: ["LOG", "SPEC_ALLOW", "TSYNC", "WAIT_KILLABLE_RECV"].map(
          (f) => `SECCOMP_FILTER_FLAG_${f}`,
        ),
        supportedFlags: ["LOG", "SPEC_ALLOW", "TSYNC"].map((f) => `SECCOMP_FILTER_FLAG_${f}`),
      },
      apparmor: { enabled: true },
      selinux: { enabled: true },
      intelRdt: { enabled: false },
      mountExtensions: { idmap: { enabled: false } },
      netDevices: { enabled: false },
    },
  };
}

export const command = defineCommand({
  usage: "features",
  help: "print what this runtime can do, as JSON",
  flags: {},
  args: [0, 0],
  async run({ out }) {
    out(`${JSON.stringify(features(), null, 2)}\n`);
    return 0;
  },
});
