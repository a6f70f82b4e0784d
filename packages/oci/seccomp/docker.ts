/** Docker's default seccomp profile for one container; separate from the other builders, as its table is long. */
import { present } from "@berth/base";
import type { Seccomp, SeccompRule } from "../runtime/seccomp.ts";
import { DOCKER_RULES, MACHINE_ARCHITECTURES, type MachineName } from "./docker-rules.ts";

/** The facts that the profile's conditions depend on. */
export interface DockerSeccompFacts {
  machine: MachineName;
  /** The container's bounding set. */
  capabilities: readonly string[];
  /** Kernel version; a recent one when absent. */
  kernel?: readonly [major: number, minor: number];
}

/** Docker's default profile as plain runtime-spec rules, with the conditions resolved by `facts`. */
export function dockerSeccomp(facts: DockerSeccompFacts): Seccomp {
  const [major, minor] = facts.kernel ?? [99, 0];
  const has = (capability: string) => facts.capabilities.includes(capability);
  const syscalls: SeccompRule[] = [];
  for (const rule of DOCKER_RULES) {
    if (rule.machines && !rule.machines.includes(facts.machine)) continue;
    if (rule.notMachines?.includes(facts.machine)) continue;
    if (rule.caps && !rule.caps.every(has)) continue;
    if (rule.withoutCaps?.some(has)) continue;
    if (rule.kernel && (major < rule.kernel[0] || (major === rule.kernel[0] && minor < rule.kernel[1])))
      continue;
    syscalls.push({
      names: rule.calls.trim().split(/\s+/),
      action: rule.action ?? "SCMP_ACT_ALLOW",
      ...present({ errnoRet: rule.errnoRet }),
      ...(rule.args === undefined ? {} : { args: rule.args.map((arg) => ({ ...arg })) }),
    });
  }
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    architectures: [...MACHINE_ARCHITECTURES[facts.machine]],
    syscalls,
  };
}

/** The profile's machine name for Node's `process.arch`; undefined if there is no profile. */
export function machineOfNodeArch(arch: string): MachineName | undefined {
  const names: Record<string, MachineName> = {
    x64: "amd64",
    ia32: "x86",
    arm64: "arm64",
    arm: "arm",
    riscv64: "riscv64",
    ppc64: "ppc64le",
    s390x: "s390x",
    loong64: "loong64",
  };
  return names[arch];
}
