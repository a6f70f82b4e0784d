/** Messages in and out of google.protobuf.Any, with containerd's bare type names. */

import { BerthError } from "@berth/base";
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";

/** Packs a message; the type URL is its full name, as containerd's typeurl package writes it. */
export function pack<D extends DescMessage>(schema: D, message: MessageInitShape<D>): Any {
  return create(AnySchema, {
    typeUrl: schema.typeName,
    value: toBinary(schema, create(schema, message)),
  });
}

/** The message name in a type URL: what follows the last slash. */
export function typeNameOf(url: string): string {
  return url.slice(url.lastIndexOf("/") + 1);
}

/** Unpacks a message of a known type; undefined when it is another one. */
export function unpack<D extends DescMessage>(schema: D, any: Any | undefined): MessageShape<D> | undefined {
  if (any === undefined || typeNameOf(any.typeUrl) !== schema.typeName) return undefined;
  try {
    return fromBinary(schema, any.value);
  } catch (cause) {
    throw new BerthError("invalid_argument", `not a valid ${schema.typeName}: invalid argument`, { cause });
  }
}
