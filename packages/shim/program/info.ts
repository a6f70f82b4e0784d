/** `-info`: version and features of this runtime. */
import { RuntimeInfoSchema } from "@berth/api/runtimeTypes";
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { ownRuntimeInfo } from "../contract/runtime-info.ts";
import { readInput } from "./input.ts";

/** Reads options from standard input; returns the output. */
export function info(sys: Sys): Uint8Array {
  const input = readInput(sys);
  let options: Any | undefined;
  try {
    if (input.length > 0) options = fromBinary(AnySchema, input);
  } catch (cause) {
    throw new BerthError(
      "invalid_argument",
      "standard input: expected runtime options in a google.protobuf.Any",
      { cause },
    );
  }
  return toBinary(RuntimeInfoSchema, ownRuntimeInfo(options));
}
