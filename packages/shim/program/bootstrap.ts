/**
 * Input and output of `start`, by version of containerd:
 *
 * - 2.3 and later: BootstrapParams, answered by BootstrapResult, both protobuf
 * - 1.7 to 2.2: the runtime's options in an Any, answered by JSON; recognized by MAX_SHIM_VERSION in the environment
 * - earlier: options, answered by the bare address
 */

/** Version of the Task service in answers; version 2 is served as well. */
const TASK_VERSION = 3;

/** Parameters of `start`. */
export interface Bootstrap {
  /** Form of the answer. */
  readonly form: "protobuf" | "json" | "address";
  readonly ttrpcAddress?: string;
  readonly grpcAddress?: string;
  readonly publishBinary?: string;
  readonly socketDir?: string;
  readonly debug?: boolean;
  /** Cgroup for the shim itself. */
  readonly shimCgroup?: string;
}

/** The parameters without input. */
export function withoutInput(maxVersion: string | undefined): Bootstrap {
  return { form: maxVersion ? "json" : "address" };
}

/** Parses standard input. */
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

/** Encodes the answer. */
export async function answerOf({ form }: Bootstrap, socket: string): Promise<Uint8Array> {
  const address = `unix://${socket}`;
  if (form === "address") return new TextEncoder().encode(address);
  if (form === "json")
    return new TextEncoder().encode(JSON.stringify({ version: TASK_VERSION, address, protocol: "ttrpc" }));
  const { resultMessage } = await import("./bootstrap-messages.ts");
  return resultMessage(TASK_VERSION, address);
}
