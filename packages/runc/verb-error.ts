/** Messages of a failed verb, in runc's words. */
import { BerthError } from "@berth/base";

/** Stages of a failure before the container's process exists. */
const EARLY = new Set(["flags", "config", "state", "kill", "delete", "spec", "pause", "resume"]);
/** Stages of a refusal whose message stands alone. */
const PRECONDITIONS = new Set(["exec-state", "console", "cgroup-state"]);
const HEADS: Readonly<Record<string, string>> = {
  create: "runc create failed: ",
  run: "runc run failed: ",
  exec: "exec failed: ",
};

/** A verb's error message: runc says which verb failed, and whether the process was at fault. */
export function withVerb(verb: string, error: BerthError): BerthError {
  const early = error.stage === undefined || EARLY.has(error.stage);
  const head = HEADS[verb] ?? (verb === "start" && !early ? "runc start failed: " : "");
  if (head === "") return error;
  const { hint, stage, syscall, errno, path } = error;
  const facts = Object.fromEntries(
    Object.entries({ hint, stage, syscall, errno, path }).filter(([, v]) => v !== undefined),
  );
  const middle = early || PRECONDITIONS.has(error.stage ?? "") ? "" : "unable to start container process: ";
  return new BerthError(error.code, `${head}${middle}${error.message}`, { ...facts, cause: error });
}
