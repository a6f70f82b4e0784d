/**
 * What containerd writes to a starting shim's standard input, and the forms of the answer.
 *
 * containerd 2.3 and later: BootstrapParams, answered by BootstrapResult, both protobuf. 1.7 to 2.2: the runtime's
 * options in an Any, answered by JSON; these say so by MAX_SHIM_VERSION in the environment. Before: options, and the
 * bare address.
 */
/** Version of the Task service that answers name; version 2 is served as well. */
const TASK_VERSION = 3;

/** What a start is told. */
export interface Bootstrap {
  /** How the caller wants to be answered. */
  readonly form: "protobuf" | "json" | "address";
  readonly ttrpcAddress?: string;
  readonly grpcAddress?: string;
  readonly publishBinary?: string;
  readonly socketDir?: string;
  readonly debug?: boolean;
  /** Cgroup that the shim itself is to be in. */
  readonly shimCgroup?: string;
}

/** What a call says that comes without input. */
export function withoutInput(maxVersion: string | undefined): Bootstrap {
  return { form: maxVersion ? "json" : "address" };
}

/** Reads standard input. */
export async function readBootstrap(
  input: Uint8Array,
  id: string,
  namespace: string,
  maxVersion: string | undefined,
): Promise<Bootstrap> {
  if (input.length === 0) return withoutInput(maxVersion);
  const { readMessages } = await import("./bootstrap-messages.ts");
  return readMessages(input, id, namespace, maxVersion);
}

/** The answer on standard output. */
export async function answerOf({ form }: Bootstrap, socket: string): Promise<Uint8Array> {
  const address = `unix://${socket}`;
  if (form === "address") return new TextEncoder().encode(address);
  if (form === "json")
    return new TextEncoder().encode(JSON.stringify({ version: TASK_VERSION, address, protocol: "ttrpc" }));
  const { resultMessage } = await import("./bootstrap-messages.ts");
  return resultMessage(TASK_VERSION, address);
}
