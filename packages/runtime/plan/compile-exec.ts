/** Compiles the plan of a process that is added to a running container. Pure, as compile.ts. */
import type { Namespace } from "@berth/oci";
import { linux } from "@berth/sys";
import type { RdtGroups } from "../rdt/groups.ts";
import { PlanBuilder } from "./builder.ts";
import { type CgroupPlan, planCgroupJoin } from "./cgroup.ts";
import {
  type LaunchInput,
  planAttachment,
  planConsoleInPlace,
  planOomScore,
  planProcess,
  planSession,
} from "./launch-plan.ts";
import { CLONE_FLAGS, joinOrder, type Plan } from "./operations.ts";
import { planRdtJoin } from "./rdt.ts";
import { planAffinity } from "./scheduling.ts";

/** What an added process joins. */
export interface ExecInput extends LaunchInput {
  /** The container's first process and its start time in clock ticks since boot. */
  init: { pid: number; startTime: number };
  /** Namespace types that differ from the host's. */
  namespaces: readonly Namespace["type"][];
  cgroup: CgroupPlan["paths"];
  id: string;
  rdt: RdtGroups | undefined;
}

const NAMESPACE_FILES: Readonly<Record<string, string>> = { mount: "mnt", network: "net" };

/** Compiles the plan of a process that is added to a running container. */
export function compileExec(input: ExecInput): Plan {
  const b = new PlanBuilder(input.inherited);
  const { pid, startTime } = input.init;
  const proc = b.slot();
  b.stage("namespaces");
  b.add("setup", `open /proc/${pid}`, "open", [proc, `/proc/${pid}`, linux.O_DIRECTORY, 0]);
  b.add("setup", `check that it is still the container's process`, "check_start", [proc, startTime]);
  const ordered = joinOrder(input.owner.uid).filter((type) =>
    (input.namespaces as readonly string[]).includes(type),
  );
  const slots = ordered.map((type) => {
    const slot = b.slot();
    b.add("setup", `open its ${type} namespace`, "open_at", [
      slot,
      proc,
      `ns/${NAMESPACE_FILES[type] ?? type}`,
      0,
    ]);
    return slot;
  });
  ordered.forEach((type, i) => {
    b.add("join", `join its ${type} namespace`, "setns", [
      slots[i]!,
      CLONE_FLAGS[type as keyof typeof CLONE_FLAGS],
    ]);
  });
  planAffinity(b, input.process.execCPUAffinity);
  planCgroupJoin(b, input.cgroup);
  planRdtJoin(b, input.rdt);
  planOomScore(b, input.process);
  const stdio = planAttachment(b, input);
  planSession(b, input, input.id, ordered.includes("user"));
  planConsoleInPlace(b, input.process);
  planProcess(b, input, stdio, () => {});
  return b.build();
}
