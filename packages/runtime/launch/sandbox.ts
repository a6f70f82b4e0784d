/**
 * Pod sandboxes: namespaces held by berth-init in its pause role, without an image or root file system. Containers join
 * them by path (`/proc/PID/ns/*`).
 */

import { PlanBuilder } from "../plan/builder.ts";
import { planJoin } from "../plan/namespaces.ts";
import { CLONE_FLAGS, type Plan } from "../plan/operations.ts";
import type { Runtime } from "../state/runtime.ts";
import { launch } from "./launch.ts";

/** Options of {@link startSandbox}. */
export interface SandboxOptions {
  /** berth-init's first argument, shown by `ps`. */
  name: string;
  /** Types of namespaces to create; the others are the host's. */
  namespaces: readonly ("ipc" | "uts" | "network" | "pid")[];
  /** Host name; needs "uts". */
  hostname?: string;
  /** Path of an existing network namespace to join instead of creating one. */
  networkPath?: string;
}

/** Compiles the plan of a sandbox. In a new network namespace, the loopback device is brought up. */
function compileSandbox(options: SandboxOptions): Plan {
  const b = new PlanBuilder();
  b.stage("namespaces");
  if (options.networkPath !== undefined)
    planJoin(b, [{ type: "network", path: options.networkPath }], { uid: 0 });
  for (const type of options.namespaces) b.cloneFlags = (b.cloneFlags | CLONE_FLAGS[type]) >>> 0;
  b.add("child", "lead a session of its own", "setsid", []);
  if (options.hostname !== undefined)
    b.add("child", `set the host name ${options.hostname}`, "sethostname", [options.hostname]);
  if (options.namespaces.includes("network")) b.add("child", "bring up the loopback device", "loopback", []);
  b.stage("process");
  b.add("child", "hold no capability", "capset", [0, 0, 0]);
  b.add("child", "say that all is set up", "ready", []);
  b.add("child", "hold the namespaces", "pause", []);
  return b.build();
}

/** Starts a sandbox; returns the pid that holds its namespaces, which SIGTERM terminates. */
export async function startSandbox(runtime: Runtime, options: SandboxOptions): Promise<{ pid: number }> {
  const { sys } = runtime;
  const devNull = sys.open("/dev/null", 2);
  try {
    const launched = await launch(sys, {
      plan: compileSandbox(options),
      name: options.name,
      stdio: [devNull, devNull, devNull],
      inherited: [],
    });
    await launched.exit();
    return { pid: launched.pid };
  } finally {
    sys.close(devNull);
  }
}
