/** Subscribes to the trace seam and keeps the latest operations as trees of stages. */
import { type Stage, type StageEvent, subscribeStages } from "@berth/base";

/** A stage with its nested stages. */
export interface Node {
  readonly stage: Stage;
  readonly children: Node[];
}

const KEPT = 400;
/** Limit on the stages kept of a single operation. */
const MAX_STAGES = 1000;

/** Records operations from {@link start} to {@link stop}. */
export class Recorder {
  /** Stages in flight, and the root and count of the operation they belong to. */
  readonly #live = new Map<number, { node: Node; operation: { root: Node; stages: number } }>();
  #finished: Node[] = [];
  #unsubscribe: (() => void) | undefined;

  start(): void {
    this.#unsubscribe ??= subscribeStages((event) => this.#on(event));
  }

  stop(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }

  #on({ kind, stage }: StageEvent): void {
    if (kind === "end") {
      const live = this.#live.get(stage.id);
      if (live === undefined) {
        this.#attach(stage);
        this.#live.delete(stage.id);
        return;
      }
      this.#live.delete(stage.id);
      if (live.operation.root === live.node) this.#finish(live.node);
      return;
    }
    this.#attach(stage);
  }

  #attach(stage: Stage): void {
    const parent = stage.parent === undefined ? undefined : this.#live.get(stage.parent.id);
    const node: Node = { stage, children: [] };
    if (parent === undefined) {
      // A stage whose operation has ended is dropped; a root begins an operation.
      if (stage.parent === undefined && stage.end === undefined)
        this.#live.set(stage.id, { node, operation: { root: node, stages: 1 } });
      return;
    }
    if (parent.operation.stages >= MAX_STAGES) return;
    parent.operation.stages++;
    parent.node.children.push(node);
    if (stage.end === undefined) this.#live.set(stage.id, { node, operation: parent.operation });
  }

  #finish(root: Node): void {
    this.#finished.push(root);
    if (this.#finished.length > KEPT * 1.25) this.#finished = this.#finished.slice(-KEPT);
  }

  /** Operations in flight, oldest first. */
  inFlight(): Node[] {
    return [...this.#live.values()]
      .filter(({ node, operation }) => operation.root === node)
      .map(({ node }) => node);
  }

  /** Operations with a stage that concerns the container: those in flight first, then finished ones, newest first. */
  about(namespace: string, container: string, limit: number): Node[] {
    const concerns = (node: Node): boolean =>
      (node.stage.facts.container === container &&
        (node.stage.facts.namespace === undefined || node.stage.facts.namespace === namespace)) ||
      node.children.some(concerns);
    const out = this.inFlight().filter(concerns).reverse();
    for (let i = this.#finished.length - 1; i >= 0 && out.length < limit; i--)
      if (concerns(this.#finished[i]!)) out.push(this.#finished[i]!);
    return out.slice(0, limit);
  }
}
