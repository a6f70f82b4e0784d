/** The state that `state` prints and hooks read on standard input; and what a seccomp listener receives. */

/** The specification's states and the runtime's "paused". */
export type ContainerStatus = "creating" | "created" | "running" | "stopped" | "paused";

/** State of a container (state.json of the specification). */
export interface State {
  ociVersion: string;
  id: string;
  status: ContainerStatus;
  /** Host pid of the init process; absent or 0 once it has ended. */
  pid?: number;
  /** Absolute path of the bundle. */
  bundle: string;
  annotations?: Record<string, string>;
}

/** Sent to `seccomp.listenerPath` along with the notify descriptor. */
export interface ContainerProcessState {
  ociVersion: string;
  /** Names of the descriptors sent; "seccompFd" is the notify descriptor. */
  fds: string[];
  pid: number;
  metadata?: string;
  state: State;
}
