/** `-info`: version and features of this runtime. */
import { FEATURES_TYPE, packJson } from "@berth/api/any";
import { RuntimeInfoSchema } from "@berth/api/runtimeTypes";
import { BerthError } from "@berth/base";
import { features } from "@berth/runtime/features";
import type { Sys } from "@berth/sys";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { readInput } from "./input.ts";

/** Reads options from standard input; returns the output. */
export function info(sys: Sys, version: string, revision: string): Uint8Array {
  const input = readInput(sys);
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
  return toBinary(
    RuntimeInfoSchema,
    create(RuntimeInfoSchema, {
      name: "containerd-shim-berth-v1",
      version: { version, revision },
      ...(options === undefined ? {} : { options }),
      features: packJson(FEATURES_TYPE, JSON.stringify(features())),
    }),
  );
}
