/** Operations of the daemon, current and past: berth's own service, which other daemons do not have. */
import * as api from "@berth/api/berth";
import { dateOf } from "@berth/api/time";
import type { Connection } from "@berth/grpc/client";
import type { CallOptions } from "@berth/rpc";

/** A timed part of an operation. */
export interface OperationStage {
  name: string;
  facts: Record<string, string>;
  startedAt: Date | undefined;
  /** Milliseconds since the operation began. */
  offsetMs: number;
  elapsedMs: number;
  inFlight: boolean;
  /** "" if it succeeded. */
  error: string;
  stages: OperationStage[];
}

/** One request handled by the daemon. */
export interface Operation {
  namespace: string;
  elapsedMs: number;
  inFlight: boolean;
  root: OperationStage;
}

/** The Operations service. */
export class Operations {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Operations in flight, oldest first. */
  async list(options?: CallOptions): Promise<Operation[]> {
    const { operations } = await this.#connection.client(api.Operations).list({}, options);
    return operations.flatMap(operationOf);
  }

  /** Recorded operations that concern a container, newest first. */
  async trace(containerId: string, limit = 0, options?: CallOptions): Promise<Operation[]> {
    const { operations } = await this.#connection
      .client(api.Operations)
      .trace({ containerId, limit }, options);
    return operations.flatMap(operationOf);
  }
}

function operationOf(operation: api.Operation): Operation[] {
  if (!operation.root) return [];
  const { namespace, elapsedMs, inFlight } = operation;
  return [{ namespace, elapsedMs, inFlight, root: stageOf(operation.root) }];
}

function stageOf(stage: api.Stage): OperationStage {
  return {
    name: stage.name,
    facts: stage.facts,
    startedAt: dateOf(stage.startedAt),
    offsetMs: stage.offsetMs,
    elapsedMs: stage.elapsedMs,
    inFlight: stage.inFlight,
    error: stage.error,
    stages: stage.stages.map(stageOf),
  };
}
