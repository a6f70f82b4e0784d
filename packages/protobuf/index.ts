/**
 * The door of `packages/protobuf`: messages without descriptors. The doors `./messages`, `./codegen` and `./wkt`
 * mirror those of @bufbuild/protobuf, which they replace in the compiled commands.
 */
export { MessageReader, MessageWriter } from "./fields.ts";
