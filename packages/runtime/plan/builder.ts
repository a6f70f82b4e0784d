/** Builds plans: collects operations by section, allocates slots, and assigns operations to stages. */
import {
  type Operation,
  type OperationArg,
  type OperationName,
  type Plan,
  SECTIONS,
  type SectionName,
} from "./operations.ts";

/** Which failures of an operation are tolerated (see {@link Operation}). */
export interface Leniency {
  optional?: boolean;
  ifPresent?: boolean;
}

/** A plan under construction. */
export class PlanBuilder {
  readonly #sections = Object.fromEntries(SECTIONS.map((s) => [s, [] as Operation[]])) as Record<
    SectionName,
    Operation[]
  >;
  /** The parent's operations that help with the new process's mounts; they come first in the "after" section. */
  readonly #mounting: Operation[] = [];
  #slots: number;
  readonly #free: number[] = [];
  #stage = "setup";
  readonly #inherited: number;
  cloneFlags = 0;
  cgroupSlot = -1;
  child = true;
  parent: Plan["parent"] = "leave";

  /** Slots 0 to `inherited` - 1 are the inherited descriptors. */
  constructor(inherited = 0) {
    this.#inherited = inherited;
    this.#slots = inherited;
  }

  /** Allocates a slot. */
  slot(): number {
    return this.#slots++;
  }

  /** Allocates a slot for the new process only. {@link release} frees it, as many mounts would use up the numbers. */
  childSlot(): number {
    return this.#free.pop() ?? this.slot();
  }

  /** Closes a slot of {@link childSlot} in the new process, and frees it. */
  release(slot: number): void {
    this.add("child", `close slot ${slot}`, "close", [slot]);
    this.#free.push(slot);
  }

  /** Sets the stage of the operations that are added from now on. */
  stage(name: string): this {
    this.#stage = name;
    return this;
  }

  /** Adds an operation to a section; "mounting" is the first part of "after", which helps with mounts. */
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

  /** Returns the finished plan. */
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
