/** Compiles the plan of exec: a process that is added to a running container. Pure. */
import type { Namespace } from "@berth/oci";
import type { RdtGroups } from "../rdt/groups.ts";
import { PlanBuilder } from "./builder.ts";
import { type CgroupPlan, planCgroupJoin } from "./cgroup.ts";
import { type FirstProcess, planJoinContainer } from "./join-container.ts";
import {
  type LaunchInput,
  planAttachment,
  planConsoleInPlace,
  planOomScore,
  planProcess,
  planSession,
} from "./launch-plan.ts";
import type { Plan } from "./operations.ts";
import { planRdtJoin } from "./rdt.ts";
import { planAffinity } from "./scheduling.ts";

/** Everything that the plan of an added process depends on. */
export interface ExecInput extends LaunchInput {
  init: FirstProcess;
  /** Namespace types that differ from the host's. */
  namespaces: readonly Namespace["type"][];
  cgroup: CgroupPlan["paths"];
  id: string;
  rdt: RdtGroups | undefined;
}

/** Compiles the plan of exec. */
export function compileExec(input: ExecInput): Plan {
  const b = new PlanBuilder(input.inherited);
  const joined = planJoinContainer(b, input.init, input.namespaces, input.owner.uid);
  planAffinity(b, input.process.execCPUAffinity);
  planCgroupJoin(b, input.cgroup);
  planRdtJoin(b, input.rdt);
  planOomScore(b, input.process);
  const stdio = planAttachment(b, input);
  planSession(b, input, input.id, joined.has("user"));
  planConsoleInPlace(b, input.process);
  planProcess(b, input, stdio, () => {});
  return b.build();
}
