/** FileDescriptorProto (descriptor.proto), as far as messages, enums and services of proto3 need it. */
import { Reader } from "./wire.ts";

/** A field as its descriptor has it; `label` and `type` are the numbers of descriptor.proto. */
export interface RawField {
  name: string;
  number: number;
  label: number;
  type: number;
  typeName: string;
  optional: boolean;
}
export interface RawMessage {
  name: string;
  fields: RawField[];
  nested: RawMessage[];
  isMap: boolean;
}
export interface RawEnum {
  name: string;
  values: { name: string; number: number }[];
}
export interface RawMethod {
  name: string;
  input: string;
  output: string;
  clientStreaming: boolean;
  serverStreaming: boolean;
}
export interface RawService {
  name: string;
  methods: RawMethod[];
}
/** A .proto file. */
export interface RawFile {
  package: string;
  messages: RawMessage[];
  enums: RawEnum[];
  services: RawService[];
}

// Field readers by number; only the fields of descriptor.proto that matter here.
type Visit = Readonly<Record<number, (reader: Reader) => void>>;
function visit(bytes: Uint8Array, fields: Visit): void {
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = reader.uint32();
    const read = fields[tag >>> 3];
    if (read) read(reader);
    else reader.skip(tag & 7);
  }
}

/** Reads a FileDescriptorProto. */
export function parseFile(bytes: Uint8Array): RawFile {
  const file: RawFile = { package: "", messages: [], enums: [], services: [] };
  visit(bytes, {
    2: (r) => {
      file.package = r.string();
    },
    4: (r) => void file.messages.push(parseMessage(r.bytes())),
    5: (r) => void file.enums.push(parseEnum(r.bytes())),
    6: (r) => void file.services.push(parseService(r.bytes())),
  });
  return file;
}

function parseMessage(bytes: Uint8Array): RawMessage {
  const message: RawMessage = { name: "", fields: [], nested: [], isMap: false };
  visit(bytes, {
    1: (r) => {
      message.name = r.string();
    },
    2: (r) => void message.fields.push(parseField(r.bytes())),
    3: (r) => void message.nested.push(parseMessage(r.bytes())),
    7: (r) =>
      visit(r.bytes(), {
        7: (options) => {
          message.isMap = options.uint32() !== 0;
        },
      }),
  });
  return message;
}

function parseField(bytes: Uint8Array): RawField {
  const field: RawField = { name: "", number: 0, label: 1, type: 0, typeName: "", optional: false };
  visit(bytes, {
    1: (r) => {
      field.name = r.string();
    },
    3: (r) => {
      field.number = r.uint32();
    },
    4: (r) => {
      field.label = r.uint32();
    },
    5: (r) => {
      field.type = r.uint32();
    },
    6: (r) => {
      field.typeName = r.string();
    },
    17: (r) => {
      field.optional = r.uint32() !== 0;
    },
  });
  return field;
}

function parseEnum(bytes: Uint8Array): RawEnum {
  const found: RawEnum = { name: "", values: [] };
  visit(bytes, {
    1: (r) => {
      found.name = r.string();
    },
    2: (r) => {
      const value = { name: "", number: 0 };
      visit(r.bytes(), {
        1: (v) => {
          value.name = v.string();
        },
        2: (v) => {
          value.number = v.uint32() | 0;
        },
      });
      found.values.push(value);
    },
  });
  return found;
}

function parseService(bytes: Uint8Array): RawService {
  const service: RawService = { name: "", methods: [] };
  visit(bytes, {
    1: (r) => {
      service.name = r.string();
    },
    2: (r) => {
      const method: RawMethod = {
        name: "",
        input: "",
        output: "",
        clientStreaming: false,
        serverStreaming: false,
      };
      visit(r.bytes(), {
        1: (m) => {
          method.name = m.string();
        },
        2: (m) => {
          method.input = m.string();
        },
        3: (m) => {
          method.output = m.string();
        },
        5: (m) => {
          method.clientStreaming = m.uint32() !== 0;
        },
        6: (m) => {
          method.serverStreaming = m.uint32() !== 0;
        },
      });
      service.methods.push(method);
    },
  });
  return service;
}
