/** google.protobuf.Any as containerd writes it: the type's bare name, without "type.googleapis.com/". */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";

/** What a request's field of type Any takes. */
export type PackedAny = { typeUrl: string; value: Uint8Array };

/** Type URL of an OCI runtime spec in JSON, in a container record. */
export const SPEC_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
/** Type URL of an OCI process in JSON, in an exec request. */
export const PROCESS_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Process";
/** Type URL of OCI resources in JSON, in an update request. */
export const RESOURCES_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

/** Puts a message into an Any. */
export function pack<D extends DescMessage>(desc: D, value: MessageInitShape<D>): PackedAny {
  return { typeUrl: desc.typeName, value: toBinary(desc, create(desc, value)) };
}

/** The message in an Any, or undefined when it holds something else. */
export function unpack<D extends DescMessage>(any: Any | undefined, desc: D): MessageShape<D> | undefined {
  return any !== undefined && typeOf(any) === desc.typeName ? fromBinary(desc, any.value) : undefined;
}

/** The type's bare name. */
export function typeOf(any: { typeUrl: string }): string {
  return any.typeUrl.slice(
    any.typeUrl.startsWith("types.containerd.io/") ? 0 : any.typeUrl.lastIndexOf("/") + 1,
  );
}

/** Puts JSON text into an Any. */
export function packJson(typeUrl: string, json: string): PackedAny {
  return { typeUrl, value: new TextEncoder().encode(json) };
}
