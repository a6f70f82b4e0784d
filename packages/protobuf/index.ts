/**
 * The door of `packages/protobuf`: messages without descriptors. messages.ts, codegen.ts and wkt.ts replace the entry
 * points of @bufbuild/protobuf in the compiled commands (packages/bin/tsconfig.bundle.json).
 */
export { MessageReader, MessageWriter } from "./fields.ts";
