/** Runs hooks that are not part of a container's plan (poststart, poststop, those of a restore) by a plan of their own. */
import type { ContainerStatus, Spec } from "@berth/oci";
import { launch } from "../launch/launch.ts";
import { PlanBuilder } from "../plan/builder.ts";
import { planHooks } from "../plan/hooks.ts";
import type { ContainerRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { ociState } from "../state/status.ts";
import { killNow } from "./groups.ts";

/** Runs one list of hooks in the runtime's namespaces; stops at the first failure. */
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
  const devNull = sys.open("/dev/null", 2);
  try {
    const launched = await launch(sys, {
      plan: b.build(),
      name: record.id,
      stdio: [devNull, devNull, devNull],
      inherited: [],
    });
    await launched.exit();
  } finally {
    sys.close(devNull);
  }
}

/** Runs the poststart hooks. If one fails the container is stopped, as the specification requires. */
export async function runPoststart(runtime: Runtime, spec: Spec, record: ContainerRecord): Promise<void> {
  if (spec.hooks?.poststart === undefined) return;
  try {
    await runHooks(runtime, "poststart", spec, record, "running");
  } catch (error) {
    await killNow(runtime.sys, record);
    throw error;
  }
}
