/** berth ops: the daemon's operations in flight, their age, and what they wait for. */
import type { Operation, OperationStage } from "@berth/client";
import { command } from "../command.ts";
import { bool } from "../flags.ts";
import { tableOf } from "../format/rows.ts";

/** Facts with a column of their own. */
const SHOWN = new Set(["namespace", "container", "id"]);

export default command({
  usage: "",
  summary: "List what the daemon is working on",
  flags: { json: bool("As JSON") },
  args: [0, 0],
  async run(context, flags) {
    const client = await context.client();
    const { Operations } = await import("@berth/client");
    const operations = (await new Operations(client.connection).list()).map(summarise);
    if (flags.json) {
      context.out(`${JSON.stringify(operations, undefined, 2)}\n`);
      return 0;
    }
    const rows = operations.map(({ namespace, root, container, elapsedMs, stage, stageMs, waitsFor }) => [
      namespace,
      root.name,
      container.slice(0, 12),
      age(elapsedMs),
      stage === root.name ? "" : `${stage} (${age(stageMs)})`,
      waitsFor,
    ]);
    context.out(tableOf([["NAMESPACE", "OPERATION", "CONTAINER", "AGE", "STAGE", "WAITS FOR"], ...rows]));
    return 0;
  },
});

interface Summary extends Operation {
  /** Id; "" for an operation without a container. */
  container: string;
  /** The innermost stage in flight. */
  stage: string;
  stageMs: number;
  /** Facts of that stage: path, digest, signal, ... */
  waitsFor: string;
}

function summarise(operation: Operation): Summary {
  const { root } = operation;
  const inner = innermost(root);
  const facts = Object.entries(inner.facts).filter(([key]) => !SHOWN.has(key));
  return {
    ...operation,
    container: String(root.facts.container ?? inner.facts.container ?? ""),
    stage: inner.name,
    stageMs: inner.elapsedMs,
    waitsFor: facts.map(([key, value]) => `${key}=${value}`).join(" "),
  };
}

function innermost(stage: OperationStage): OperationStage {
  const inner = stage.stages.findLast((each) => each.inFlight);
  return inner === undefined ? stage : innermost(inner);
}

function age(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
