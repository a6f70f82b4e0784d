/**
 * google.protobuf.Any as containerd's typeurl package writes it: a message's type URL is its bare name, without
 * "type.googleapis.com/"; the OCI's JSON documents have URLs of their own.
 */
import { BerthError } from "@berth/base";
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";

const OCI = "types.containerd.io/opencontainers/runtime-spec/1";
/** Type URL of a runtime spec in JSON, in a container record. */
export const SPEC_TYPE = `${OCI}/Spec`;
/** Type URL of a process in JSON, in an exec request. */
export const PROCESS_TYPE = `${OCI}/Process`;
/** Type URL of resources in JSON, in an update request. */
export const RESOURCES_TYPE = `${OCI}/LinuxResources`;
/** Type URL of a runtime's features in JSON. */
export const FEATURES_TYPE = `${OCI}/features/Features`;

/** An Any with these bytes. */
export function anyOf(typeUrl: string, value: Uint8Array): Any {
  return { $typeName: "google.protobuf.Any", typeUrl, value: value as Any["value"] };
}

/** Packs a message into an Any. */
export function pack<D extends DescMessage>(schema: D, message: MessageInitShape<D>): Any {
  return anyOf(schema.typeName, toBinary(schema, create(schema, message)));
}

/** Packs a JSON document into an Any. */
export function packJson(typeUrl: string, json: string): Any {
  return anyOf(typeUrl, new TextEncoder().encode(json));
}

/** The name of the message in an Any: what follows the last slash of its URL. */
export function typeNameOf({ typeUrl }: { typeUrl: string }): string {
  return typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
}

/** The message in an Any; undefined if it holds another type, "invalid_argument" if it is malformed. */
export function unpack<D extends DescMessage>(schema: D, any: Any | undefined): MessageShape<D> | undefined {
  if (any === undefined || typeNameOf(any) !== schema.typeName) return undefined;
  try {
    return fromBinary(schema, any.value);
  } catch (cause) {
    throw new BerthError("invalid_argument", `not a valid ${schema.typeName}: invalid argument`, { cause });
  }
}
