/** Logs operations that take long, with their current stage and what that waits for. */
import { log } from "@berth/base";
import type { Node, Recorder } from "./recorder.ts";

/** Age at which an operation is logged first; again each time it has doubled. */
const LONG_MS = 30_000;
const CHECK_MS = 5_000;
/** Stages that wait on purpose. */
const WAITS_ON_PURPOSE = new Set(["grace period"]);

/** The stages of an operation in flight, outermost first. */
function stagesInFlight(root: Node): Node[] {
  const inner = root.children.findLast(({ stage }) => stage.end === undefined);
  return inner === undefined ? [root] : [root, ...stagesInFlight(inner)];
}

/** Watches the operations of `recorder` in flight. */
export class Watchdog {
  readonly #recorder: Recorder;
  /** Age at which an operation is logged next, by its stage's number. */
  readonly #nextAge = new Map<number, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  start(): void {
    this.#timer ??= setInterval(() => this.check(performance.now()), CHECK_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Checks everything in flight; `now` in performance.now() milliseconds. */
  check(now: number): void {
    const operations = this.#recorder.inFlight();
    const alive = new Set(operations.map(({ stage }) => stage.id));
    for (const id of this.#nextAge.keys()) if (!alive.has(id)) this.#nextAge.delete(id);
    for (const root of operations) {
      const age = now - root.stage.begin;
      if (age < (this.#nextAge.get(root.stage.id) ?? LONG_MS)) continue;
      const stages = stagesInFlight(root);
      const last = stages.at(-1)!.stage;
      if (WAITS_ON_PURPOSE.has(last.name)) continue;
      this.#nextAge.set(root.stage.id, age * 2);
      log.warn("an operation takes long", {
        ...root.stage.facts,
        ...last.facts,
        operation: root.stage.name,
        seconds: Math.round(age / 1000),
        stage: stages.map(({ stage }) => stage.name).join(" > "),
        stageSeconds: Math.round((now - last.begin) / 1000),
      });
    }
  }
}
