/** Collects the operations of a plan, hands out slots, and remembers the stage each operation belongs to. */
import {
  type Operation,
  type OperationArg,
  type OperationName,
  type Plan,
  SECTIONS,
  type SectionName,
} from "./operations.ts";

/** Marks an operation that may fail. */
export interface Leniency {
  optional?: boolean;
  ifPresent?: boolean;
}

/** See the module comment. */
export class PlanBuilder {
  readonly #sections = Object.fromEntries(SECTIONS.map((s) => [s, [] as Operation[]])) as Record<
    SectionName,
    Operation[]
  >;
  /** What the parent does for the new process's mounts: before all else that it does beside it. */
  readonly #mounting: Operation[] = [];
  #slots: number;
  readonly #free: number[] = [];
  #stage = "setup";
  readonly #inherited: number;
  cloneFlags = 0;
  cgroupSlot = -1;
  child = true;
  parent: Plan["parent"] = "leave";

  /** `inherited` descriptors are slots 0 to inherited - 1. */
  constructor(inherited = 0) {
    this.#inherited = inherited;
    this.#slots = inherited;
  }

  /** A slot that no other operation uses. */
  slot(): number {
    return this.#slots++;
  }

  /** A slot for the new process alone, which {@link release} makes free again: mounts would use up the numbers. */
  childSlot(): number {
    return this.#free.pop() ?? this.slot();
  }

  /** Closes a slot of {@link childSlot} in the new process. */
  release(slot: number): void {
    this.add("child", `close slot ${slot}`, "close", [slot]);
    this.#free.push(slot);
  }

  /** Operations added from now on belong to this stage. */
  stage(name: string): this {
    this.#stage = name;
    return this;
  }

  /** Adds an operation to a section; "mounting" is the part of "after" that serves the making of mounts. */
  add(
    section: SectionName | "mounting",
    words: string,
    name: OperationName,
    args: readonly OperationArg[],
    leniency: Leniency = {},
  ): void {
    const to = section === "mounting" ? this.#mounting : this.#sections[section];
    to.push({
      name,
      args,
      words,
      stage: this.#stage,
      optional: leniency.optional ?? false,
      ifPresent: leniency.ifPresent ?? false,
    });
  }

  /** The finished plan. */
  build(): Plan {
    return {
      sections: { ...this.#sections, after: [...this.#mounting, ...this.#sections.after] },
      cloneFlags: this.cloneFlags,
      cgroupSlot: this.cgroupSlot,
      child: this.child,
      parent: this.parent,
      inherited: this.#inherited,
    };
  }
}
