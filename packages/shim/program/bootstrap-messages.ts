/** Messages of bootstrap.ts, loaded only if containerd has sent one. */
import { BootstrapParamsSchema, BootstrapResultSchema, LogLevel } from "@berth/api/bootstrap";
import { OptionsSchema } from "@berth/api/runc";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { type Bootstrap, withoutInput } from "./bootstrap.ts";

/** Parses standard input. Options may parse as BootstrapParams by chance, but not with the call's id and namespace. */
export function readMessages(
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
    // Not BootstrapParams.
  }
  return { ...withoutInput(maxVersion), ...cgroupOf(optionsIn(input)) };
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

/** Encodes BootstrapResult. */
export function resultMessage(version: number, address: string): Uint8Array {
  return toBinary(
    BootstrapResultSchema,
    create(BootstrapResultSchema, { version, address, protocol: "ttrpc" }),
  );
}
