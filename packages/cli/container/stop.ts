/** Removal of containers, shared by rm, start and run. */
import { BerthError, ignoreMissing, isCode } from "@berth/base";
import type { Container } from "@berth/client";
import { isUp, seenOf } from "./state.ts";

/** Removes a container: its task (with `force` even a running one), snapshot, record and log. */
export async function removeContainer(container: Container, force: boolean): Promise<void> {
  try {
    // Another command may be removing it concurrently: already gone is as good.
    await ignoreMissing(container.remove({ force }));
  } catch (error) {
    if (!isCode(error, "failed_precondition")) throw error;
    const { state } = seenOf(container, await container.taskState());
    if (!isUp(state)) throw error;
    throw new BerthError("failed_precondition", `container ${container.name} is ${state}`, {
      cause: error,
      hint: `Stop it first (berth stop ${container.name}), or remove it with --force.`,
    });
  }
}
