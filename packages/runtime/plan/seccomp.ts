/** Operations for a seccomp filter, and for handing its listener to an agent. */
import type { State } from "@berth/oci";
import type { PlanBuilder } from "./builder.ts";

/** A compiled seccomp filter: struct sock_filter after struct sock_filter, and seccomp(2)'s flags. */
export interface SeccompFilter {
  program: Uint8Array;
  flags: number;
  /** Who answers SCMP_ACT_NOTIFY: a unix socket, and what it is told besides the container's state. */
  listener?: { path: string; metadata: string };
}

const PID_MARK = 987654321;
const utf8 = new TextEncoder();

/** The ContainerProcessState of the specification, cut where berth-init fills in the process's pid. */
function processState(state: State, metadata: string): Uint8Array[] {
  const text = JSON.stringify({
    ociVersion: state.ociVersion,
    fds: ["seccompFd"],
    pid: PID_MARK,
    metadata,
    state: { ...state, pid: state.pid ?? PID_MARK },
  });
  const parts = text.split(`"pid":${PID_MARK}`).map((part, i) => (i === 0 ? `${part}"pid":` : part));
  // The state's own pid is the same when the process is the container's first, and known when it is an added one.
  return [parts[0]!, state.pid === undefined ? `${parts[1]}"pid":` : parts[1]!, parts[2] ?? ""].map((p) =>
    utf8.encode(p),
  );
}

/** Adds the filter, and the agent's part where it has one. */
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
