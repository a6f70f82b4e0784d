/** Hooks that run outside a container's own start (and those of a restore), by a plan that holds nothing else. */
import type { ContainerStatus, Spec } from "@berth/oci";
import { launch } from "../launch/launch.ts";
import { PlanBuilder } from "../plan/builder.ts";
import { planHooks } from "../plan/hooks.ts";
import type { ContainerRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { ociState } from "../state/status.ts";
import { killNow } from "./groups.ts";

/** Runs one list of hooks in the runtime's namespaces; the first failure ends it. */
export async function runHooks(
  runtime: Runtime,
  name: "prestart" | "createRuntime" | "poststart" | "poststop",
  spec: Spec,
  record: ContainerRecord,
  status: ContainerStatus,
): Promise<void> {
  const hooks = spec.hooks?.[name] ?? [];
  if (hooks.length === 0) return;
  const { sys } = runtime;
  const b = new PlanBuilder();
  b.child = false;
  planHooks(b, "setup", name, hooks, ociState(record, status));
  const none = sys.open("/dev/null", 2);
  try {
    const done = await launch(sys, {
      plan: b.build(),
      name: record.id,
      stdio: [none, none, none],
      inherited: [],
    });
    await done.exit();
  } finally {
    sys.close(none);
  }
}

/** Runs the poststart hooks; when one fails the container is stopped, as the specification demands. */
export async function runPoststart(runtime: Runtime, spec: Spec, record: ContainerRecord): Promise<void> {
  if (spec.hooks?.poststart === undefined) return;
  try {
    await runHooks(runtime, "poststart", spec, record, "running");
  } catch (error) {
    await killNow(runtime.sys, record);
    throw error;
  }
}
