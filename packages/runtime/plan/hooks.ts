/** Operations for hooks. Their standard input is the container's state, in which berth-init fills in the pid. */
import type { Hook, Hooks, State } from "@berth/oci";
import type { PlanBuilder } from "./builder.ts";
import type { SectionName } from "./operations.ts";

const utf8 = new TextEncoder();
const PID_MARK = 987654321;

/** The state's JSON, split where the pid is inserted; not split (the second part is empty) if the pid is known. */
function splitState(state: State): [before: string, after: string] {
  if (state.pid !== undefined) return [JSON.stringify(state), ""];
  const text = JSON.stringify({
    ociVersion: state.ociVersion,
    id: state.id,
    status: state.status,
    pid: PID_MARK,
    bundle: state.bundle,
    annotations: state.annotations,
  });
  const at = text.indexOf(`"pid":${PID_MARK}`) + 6;
  return [text.slice(0, at), text.slice(at + String(PID_MARK).length)];
}

/** Adds one list of hooks; a failing hook fails the plan. `env` is the environment of hooks that do not set their own. */
export function planHooks(
  b: PlanBuilder,
  section: SectionName,
  name: string,
  hooks: readonly Hook[] | undefined,
  state: State,
  env: readonly string[] = [],
): void {
  b.stage(`${name} hook`);
  const [before, after] = splitState(state);
  hooks?.forEach((hook, i) => {
    const argv = hook.args ?? [hook.path];
    b.add(section, `run ${name} hook ${i}: ${argv.join(" ")}`, "hook", [
      hook.path,
      utf8.encode(before),
      utf8.encode(after),
      (hook.timeout ?? 0) * 1000,
      argv.length,
      ...argv,
      ...(hook.env ?? env),
    ]);
  });
}

/**
 * Adds the prestart and createRuntime hooks, which run in the runtime's namespaces after the container's mounts are set up
 * and before pivot_root. Adds the parent's part at once, and the new process's part when the returned function is called.
 */
export function planParentHooks(b: PlanBuilder, hooks: Hooks | undefined, state: State): () => void {
  if (!hooks?.prestart?.length && !hooks?.createRuntime?.length) return () => {};
  b.stage("createRuntime hook").add("after", "wait for the container's mounts", "await_child", []);
  // prestart hooks predate the status "creating": they expect "created".
  planHooks(b, "after", "prestart", hooks.prestart, { ...state, status: "created" });
  planHooks(b, "after", "createRuntime", hooks.createRuntime, state);
  b.add("after", "let the container go on", "answer", []);
  return () => b.stage("createRuntime hook").add("child", "wait for hooks", "call_parent", []);
}
