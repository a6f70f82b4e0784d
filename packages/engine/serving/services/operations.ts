/** berth's own Operations service: operations in flight and finished ones. */

import { performance } from "node:perf_hooks";
import { berth, timestamp } from "@berth/api";
import { type Service, service } from "@berth/rpc";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { scopeOf } from "../../base/core/scope.ts";
import type { Node, Recorder } from "../../base/operations/recorder.ts";

const DEFAULT_LIMIT = 10;

type WireStage = MessageInitShape<typeof berth.StageSchema>;

function show(root: Node): MessageInitShape<typeof berth.OperationSchema> {
  const nowMs = performance.now();
  const stageOf = ({ stage, children }: Node): WireStage => ({
    name: stage.name,
    facts: Object.fromEntries(Object.entries(stage.facts).map(([key, value]) => [key, String(value)])),
    startedAt: timestamp(BigInt(Math.round(stage.startedAt * 1000)) * 1000n),
    offsetMs: stage.begin - root.stage.begin,
    elapsedMs: (stage.end ?? nowMs) - stage.begin,
    inFlight: stage.end === undefined,
    error: stage.error ?? "",
    stages: children.map(stageOf),
  });
  return {
    namespace: String(root.stage.facts.namespace ?? ""),
    root: stageOf(root),
    elapsedMs: (root.stage.end ?? nowMs) - root.stage.begin,
    inFlight: root.stage.end === undefined,
  };
}

/** Serves the operations of `recorder`. */
export function operationsService(recorder: Recorder): Service {
  return service(berth.Operations, {
    list: () => ({ operations: recorder.inFlight().map(show) }),
    trace: ({ containerId, limit }, call) => ({
      operations: recorder.about(scopeOf(call).namespace, containerId, limit || DEFAULT_LIMIT).map(show),
    }),
  });
}
