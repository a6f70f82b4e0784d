/** Does the same with several containers, going on after a failure as docker does. */
import type { BerthClient, Container } from "@berth/client";
import type { Context } from "../command.ts";
import { EXIT, printError } from "../errors.ts";
import { findContainer } from "./find.ts";

/**
 * Finds each container and hands it to `work`, side by side; prints what it was called by, in order, when that
 * went well, and the error when not. Gives the exit code: 1 when any failed.
 */
export async function forEachContainer(
  context: Context,
  names: readonly string[],
  work: (container: Container, client: BerthClient) => Promise<string | undefined>,
): Promise<number> {
  const client = await context.client();
  let code = 0;
  const results = names.map(async (name) => {
    const container = await findContainer(client, name);
    return (await work(container, client)) ?? name;
  });
  for (const result of await Promise.allSettled(results))
    if (result.status === "fulfilled") context.out(`${result.value}\n`);
    else {
      printError(result.reason, context.debug, context.err);
      code = EXIT.failure;
    }
  return code;
}

/** The error for a command that needs a running container. */
export async function runningTask(container: Container) {
  const [{ BerthError }, { nameOf }] = await Promise.all([import("@berth/base"), import("./find.ts")]);
  const task = await container.task();
  if (task) return task;
  throw new BerthError("failed_precondition", `container ${nameOf(container)} is not running`, {
    hint: `Start it: berth start ${nameOf(container)}.`,
  });
}
