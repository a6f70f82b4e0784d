/**
 * What containerd writes to a starting shim's standard input, and the forms of the answer.
 *
 * containerd 2.3 and later: BootstrapParams, answered by BootstrapResult, both protobuf. 1.7 to 2.2: the runtime's
 * options in an Any, answered by JSON; these say so by MAX_SHIM_VERSION in the environment. Before: options, and the
 * bare address.
 */
import { BootstrapParamsSchema, BootstrapResultSchema, LogLevel } from "@berth/api/bootstrap";
import { OptionsSchema } from "@berth/api/runc";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";

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

/** Reads standard input. Options may by chance read as BootstrapParams: those name id and namespace of the call. */
export function readBootstrap(
  input: Uint8Array,
  id: string,
  namespace: string,
  maxVersion: string | undefined,
): Bootstrap {
  try {
    const params = fromBinary(BootstrapParamsSchema, input);
    if (params.instanceId === id && params.namespace === namespace)
      return {
        form: "protobuf",
        ttrpcAddress: params.containerdTtrpcAddress,
        grpcAddress: params.containerdGrpcAddress,
        publishBinary: params.containerdBinary,
        debug: params.logLevel <= LogLevel.DEBUG,
        ...(params.socketDir ? { socketDir: params.socketDir } : {}),
        ...cgroupOf(params.extensions.map((extension) => extension.value)),
      };
  } catch {
    // Then it is something else.
  }
  return { form: maxVersion ? "json" : "address", ...cgroupOf(optionsIn(input)) };
}

function optionsIn(input: Uint8Array): (Any | undefined)[] {
  try {
    return [fromBinary(AnySchema, input)];
  } catch {
    return [];
  }
}

function cgroupOf(messages: readonly (Any | undefined)[]): { shimCgroup?: string } {
  for (const any of messages) {
    if (any === undefined || !any.typeUrl.endsWith(OptionsSchema.typeName)) continue;
    const { shimCgroup } = fromBinary(OptionsSchema, any.value);
    if (shimCgroup !== "") return { shimCgroup };
  }
  return {};
}

/** The answer on standard output. */
export function answerOf({ form }: Bootstrap, socket: string): Uint8Array {
  const address = `unix://${socket}`;
  if (form === "address") return new TextEncoder().encode(address);
  if (form === "json")
    return new TextEncoder().encode(JSON.stringify({ version: TASK_VERSION, address, protocol: "ttrpc" }));
  return toBinary(
    BootstrapResultSchema,
    create(BootstrapResultSchema, { version: TASK_VERSION, address, protocol: "ttrpc" }),
  );
}
