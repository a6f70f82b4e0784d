/** Operations that load a seccomp filter, and pass its listener to an agent. */
import type { State } from "@berth/oci";
import type { PlanBuilder } from "./builder.ts";

/** A compiled seccomp filter: an array of struct sock_filter, and flags of seccomp(2). */
export interface SeccompFilter {
  program: Uint8Array;
  flags: number;
  /** The agent that handles SCMP_ACT_NOTIFY: its unix socket, and metadata sent along with the container's state. */
  listener?: { path: string; metadata: string };
}

const PID_MARK = 987654321;
const utf8 = new TextEncoder();

/** The specification's ContainerProcessState as JSON, split where berth-init fills in the process's pid. */
function processState(state: State, metadata: string): Uint8Array[] {
  const text = JSON.stringify({
    ociVersion: state.ociVersion,
    fds: ["seccompFd"],
    pid: PID_MARK,
    metadata,
    state: { ...state, pid: state.pid ?? PID_MARK },
  });
  const parts = text.split(`"pid":${PID_MARK}`).map((part, i) => (i === 0 ? `${part}"pid":` : part));
  // The state's pid is also filled in for an init process, and known already for an added process.
  return [parts[0]!, state.pid === undefined ? `${parts[1]}"pid":` : parts[1]!, parts[2] ?? ""].map((p) =>
    utf8.encode(p),
  );
}

/** Adds the filter and, if it has a listener, passing that to the agent. */
export function planSeccomp(b: PlanBuilder, filter: SeccompFilter, state: State): void {
  b.stage("security");
  const { listener, program, flags } = filter;
  b.add("child", `load the seccomp filter (${program.length / 8} instructions)`, "seccomp", [flags, program]);
  if (listener !== undefined)
    b.add("after", `pass its listener to the agent at ${listener.path}`, "send_listener", [
      listener.path,
      ...processState(state, listener.metadata),
    ]);
}
