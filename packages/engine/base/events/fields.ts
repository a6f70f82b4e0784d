/** Fields of an event that filters can use: namespace, topic, event.<field of the message>. */
import { eventTypes, images, typeNameOf, type types } from "@berth/api";
import { createRegistry, fromBinary, type Registry } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Field } from "../filters/index.ts";

let known: Registry | undefined;

/** The message types of events; created when a filter first looks into one. */
function registry(): Registry {
  known ??= createRegistry(
    ...Object.values(eventTypes).filter((v): v is typeof eventTypes.TaskExitSchema => v?.kind === "message"),
    images.ImageCreateSchema,
    images.ImageUpdateSchema,
    images.ImageDeleteSchema,
  );
  return known;
}

/** Fields of an envelope. */
export function envelopeFields(envelope: types.Envelope): Field {
  return (path) => {
    if (path.length === 1 && path[0] === "namespace") return envelope.namespace || undefined;
    if (path.length === 1 && path[0] === "topic") return envelope.topic || undefined;
    if (path[0] === "event" && envelope.event !== undefined) return eventField(envelope.event, path.slice(1));
    return undefined;
  };
}

function eventField(any: Any, path: readonly string[]): string | undefined {
  const schema = registry().getMessage(typeNameOf(any));
  if (schema === undefined) return undefined;
  let message = reflect(schema, fromBinary(schema, any.value));
  for (let i = 0; i < path.length; i++) {
    const field = message.fields.find((f) => f.name === path[i] || f.localName === path[i]);
    if (field === undefined) return undefined;
    if (field.fieldKind === "message") {
      message = message.get(field);
      continue;
    }
    if (field.fieldKind === "map") {
      const value = message.get(field).get(path.slice(i + 1).join("."));
      return typeof value === "string" ? value : undefined;
    }
    if (field.fieldKind !== "scalar" || i !== path.length - 1) return undefined;
    const value = String(message.get(field));
    return value === "" ? undefined : value;
  }
  return undefined;
}
