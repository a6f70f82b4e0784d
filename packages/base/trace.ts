/**
 * The trace seam: every operation is a tree of timed stages, published on a diagnostics channel.
 *
 * Code that does work wraps it in {@link stage}; consumers call {@link subscribeStages}. The daemon's recorder
 * (`berth trace`, `berth ops`) subscribes. A short-lived command does not, and then loads neither the channel nor the
 * engine's async context (1.2 ms of its start).
 */
import type { AsyncLocalStorage } from "node:async_hooks";
import type { Channel } from "node:diagnostics_channel";

/** Name of the diagnostics channel that carries {@link StageEvent}s. */
export const STAGE_CHANNEL = "berth:stage";

/** Facts of a stage, for instance the container's id. Never credentials. */
export type StageFacts = Readonly<Record<string, string | number | boolean>>;

/** One stage of an operation; the same object is published when it begins and when it ends. */
export interface Stage {
  /** Number that is unique in this process. */
  readonly id: number;
  /** The stage that this one is part of; undefined for an operation's root. */
  readonly parent: Stage | undefined;
  readonly name: string;
  readonly facts: StageFacts;
  /** Wall clock at the start, in milliseconds since the epoch. */
  readonly startedAt: number;
  /** Monotonic milliseconds at the start; `end` stays undefined while the stage is in flight. */
  readonly begin: number;
  end: number | undefined;
  /** Text of the error the stage ended with. */
  error: string | undefined;
}

/** Message of the channel. */
export interface StageEvent {
  readonly kind: "begin" | "end";
  readonly stage: Stage;
}

/** The tracing machinery, set up by the first subscriber. */
interface Seam {
  stages: Channel;
  current: AsyncLocalStorage<Stage>;
}

let seam: Seam | undefined;
let lastId = 0;

/** Calls `listener` for every stage that begins or ends from now on; returns the unsubscribe function. */
export function subscribeStages(listener: (event: StageEvent) => void): () => void {
  const { channel } = process.getBuiltinModule("node:diagnostics_channel");
  const { AsyncLocalStorage } = process.getBuiltinModule("node:async_hooks");
  seam ??= { stages: channel(STAGE_CHANNEL), current: new AsyncLocalStorage() };
  const { stages } = seam;
  const onMessage = (message: unknown) => listener(message as StageEvent);
  stages.subscribe(onMessage);
  return () => stages.unsubscribe(onMessage);
}

function begin({ stages, current }: Seam, name: string, facts: StageFacts): Stage {
  const stage: Stage = {
    id: ++lastId,
    parent: current.getStore(),
    name,
    facts,
    startedAt: Date.now(),
    begin: performance.now(),
    end: undefined,
    error: undefined,
  };
  stages.publish({ kind: "begin", stage } satisfies StageEvent);
  return stage;
}

function finish({ stages }: Seam, stage: Stage, error?: unknown): void {
  stage.end = performance.now();
  if (error !== undefined) stage.error = error instanceof Error ? error.message : String(error);
  stages.publish({ kind: "end", stage } satisfies StageEvent);
}

/** Runs `work` as a stage of the operation in flight, or as a new operation when there is none. */
export async function stage<T>(name: string, facts: StageFacts, work: () => Promise<T>): Promise<T> {
  if (seam === undefined || !seam.stages.hasSubscribers) return work();
  const traced = seam;
  const made = begin(traced, name, facts);
  try {
    const result = await traced.current.run(made, work);
    finish(traced, made);
    return result;
  } catch (error) {
    finish(traced, made, error);
    throw error;
  }
}

/** Same as {@link stage}, for synchronous work. */
export function stageSync<T>(name: string, facts: StageFacts, work: () => T): T {
  if (seam === undefined || !seam.stages.hasSubscribers) return work();
  const traced = seam;
  const made = begin(traced, name, facts);
  try {
    const result = traced.current.run(made, work);
    finish(traced, made);
    return result;
  } catch (error) {
    finish(traced, made, error);
    throw error;
  }
}

/**
 * Adds an already finished stage below the one in flight, for work that another process timed (berth-init).
 * `begin` and `end` are monotonic milliseconds of this process.
 */
export function recordStage(name: string, facts: StageFacts, beginMs: number, endMs: number): void {
  if (seam === undefined || !seam.stages.hasSubscribers) return;
  const { stages, current } = seam;
  const made: Stage = {
    id: ++lastId,
    parent: current.getStore(),
    name,
    facts,
    startedAt: Date.now() - (performance.now() - beginMs),
    begin: beginMs,
    end: endMs,
    error: undefined,
  };
  stages.publish({ kind: "end", stage: made } satisfies StageEvent);
}
