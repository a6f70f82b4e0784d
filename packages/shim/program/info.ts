/** `-info`: what this runtime is and can do. */
import { RuntimeInfoSchema } from "@berth/api/runtimeTypes";
import { BerthError } from "@berth/base";
import { features } from "@berth/runtime/features";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { readInput } from "./input.ts";

/** Name under which containerd's typeurl package knows the features document; its value is JSON. */
const FEATURES = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

/** Reads options from standard input; returns what goes to standard output. */
export function info(version: string, revision: string): Uint8Array {
  const input = readInput();
  let options: Any | undefined;
  try {
    if (input.length > 0) options = fromBinary(AnySchema, input);
  } catch (cause) {
    throw new BerthError(
      "invalid_argument",
      "standard input: expected runtime options in a google.protobuf.Any",
      {
        cause,
      },
    );
  }
  const value = new TextEncoder().encode(JSON.stringify(features()));
  return toBinary(
    RuntimeInfoSchema,
    create(RuntimeInfoSchema, {
      name: "containerd-shim-berth-v1",
      version: { version, revision },
      ...(options === undefined ? {} : { options }),
      features: { typeUrl: FEATURES, value },
    }),
  );
}
