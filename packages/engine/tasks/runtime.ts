/** Which runtimes a container may ask for. */
import { BerthError } from "@berth/base";

/** Names under which clients know runc's family; all mean the built-in runtime. */
const BUILT_IN = new Set([
  "io.containerd.runc.v2",
  "io.containerd.runc.v1",
  "io.containerd.runtime.v1.linux",
  "io.containerd.berth.v1",
]);
/** Throws "unimplemented" for a runtime that berth does not have. */
export function checkRuntime(name: string): void {
  if (!BUILT_IN.has(name))
    throw new BerthError("unimplemented", `runtime ${JSON.stringify(name)} is not supported`, {
      hint: "use io.containerd.runc.v2, which is berth's own runtime here",
    });
}
