/** Runs an action on several containers, continuing after a failure as docker does. */
import type { BerthClient, Container } from "@berth/client";
import type { Context } from "../command.ts";
import { EXIT, printError } from "../errors.ts";

/**
 * Finds each container and passes it to `work`, concurrently; prints the names as given, in order, of those that
 * succeeded, and the errors of the others. Returns the exit code: 1 if any failed.
 */
export async function forEachContainer(
  context: Context,
  names: readonly string[],
  work: (container: Container, client: BerthClient) => Promise<string | undefined>,
): Promise<number> {
  const client = await context.client();
  let code = 0;
  const results = names.map(async (name) => {
    const container = await client.containers.find(name);
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

/** The container's running task; throws if it is not running. */
export async function runningTask(container: Container) {
  const { BerthError } = await import("@berth/base");
  const task = await container.task();
  if (task) return task;
  throw new BerthError("failed_precondition", `container ${container.name} is not running`, {
    hint: `Start it: berth start ${container.name}.`,
  });
}
