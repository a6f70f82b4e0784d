/**
 * The door of `packages/protobuf`: messages without descriptors. The doors `./messages`, `./codegen` and `./wkt` have the
 * names of @bufbuild/protobuf's, whose place they take in the compiled commands.
 */
export { MessageReader, MessageWriter } from "./fields.ts";
