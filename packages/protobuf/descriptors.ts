/**
 * Descriptors of messages and services, read from the same embedded files that protobuf-es uses, but only on first
 * use: a command that makes three calls must not parse the whole API first.
 */
import {
  parseFile,
  type RawEnum,
  type RawField,
  type RawFile,
  type RawMessage,
  type RawMethod,
  type RawService,
} from "./file-descriptor.ts";

/** Scalar types by their numbers in descriptor.proto. */
export const TYPE = {
  double: 1,
  int64: 3,
  uint64: 4,
  int32: 5,
  bool: 8,
  string: 9,
  message: 11,
  bytes: 12,
  uint32: 13,
  enum: 14,
} as const;
const REPEATED = 3;
const SINGLE_KINDS = new Map([
  [TYPE.message as number, "message" as const],
  [TYPE.enum as number, "enum" as const],
]);

/** A field of a message. */
export interface Field {
  readonly number: number;
  /** Name in the .proto file. */
  readonly name: string;
  /** Name of the property. */
  readonly localName: string;
  readonly fieldKind: "scalar" | "enum" | "message" | "list" | "map";
  readonly type: number;
  readonly repeated: boolean;
  /** Has explicit presence: absent and zero are different. */
  readonly optional: boolean;
  /** Key and value of a map; undefined for others. */
  readonly map: { key: Field; value: Field } | undefined;
  /** Descriptor of a message's field. */
  readonly message: LiteMessage | undefined;
}

/** One .proto file. */
export class LiteFile {
  readonly #encoded: string;
  readonly #imports: readonly LiteFile[];
  #parsed: RawFile | undefined;
  readonly #byName = new Map<string, LiteMessage>();
  #named = false;

  constructor(encoded: string, imports: readonly LiteFile[] = []) {
    this.#encoded = encoded;
    this.#imports = imports;
  }

  get raw() {
    this.#parsed ??= parseFile(Buffer.from(this.#encoded, "base64"));
    return this.#parsed;
  }

  /** All top-level messages. */
  get messages(): LiteMessage[] {
    return this.raw.messages.map((raw) => this.#make(raw, ""));
  }

  #make(raw: RawMessage, outer: string): LiteMessage {
    const prefix = outer === "" ? this.raw.package : outer;
    const typeName = prefix === "" ? raw.name : `${prefix}.${raw.name}`;
    let made = this.#byName.get(typeName);
    if (!made) {
      made = new LiteMessage(this, typeName, raw);
      this.#byName.set(typeName, made);
    }
    return made;
  }

  /**
   * A message by its path: its index among the file's, then among those nested in that one (map entries not counted).
   */
  at(path: readonly number[]): LiteMessage {
    const [first = 0, ...rest] = path;
    let raw = this.raw.messages[first]!;
    let made = this.#make(raw, "");
    for (const index of rest) {
      const outer = made.typeName;
      raw = raw.nested.filter((inner) => !inner.isMap)[index]!;
      made = this.#make(raw, outer);
    }
    return made;
  }

  /** A message of this file or its imports; undefined if there is none. */
  find(typeName: string): LiteMessage | undefined {
    if (!this.#named) {
      this.#named = true;
      const walk = (raw: RawMessage, outer: string) => {
        const made = this.#make(raw, outer);
        for (const inner of raw.nested) walk(inner, made.typeName);
      };
      for (const raw of this.raw.messages) walk(raw, "");
    }
    const own = this.#byName.get(typeName);
    if (own) return own;
    for (const file of this.#imports) {
      const found = file.find(typeName);
      if (found) return found;
    }
    return undefined;
  }

  /** Like {@link find}, for a name that must exist. */
  resolve(typeName: string): LiteMessage {
    const found = this.find(typeName.replace(/^\./, ""));
    if (!found) throw new Error(`unknown message type ${typeName}`);
    return found;
  }
}

/** Descriptor of a message. */
export class LiteMessage {
  readonly kind = "message";
  readonly file: LiteFile;
  readonly typeName: string;
  readonly #raw: RawMessage;
  #fields: Field[] | undefined;
  #byNumber: Map<number, Field> | undefined;

  constructor(file: LiteFile, typeName: string, raw: RawMessage) {
    this.file = file;
    this.typeName = typeName;
    this.#raw = raw;
  }
  get name(): string {
    return this.#raw.name;
  }
  get isMap(): boolean {
    return this.#raw.isMap;
  }
  /** In ascending order of their numbers, which is the order they are written in. */
  get fields(): readonly Field[] {
    this.#fields ??= this.#raw.fields
      .map((raw) => fieldOf(this.file, raw))
      .sort((a, b) => a.number - b.number);
    return this.#fields;
  }
  get byNumber(): ReadonlyMap<number, Field> {
    this.#byNumber ??= new Map(this.fields.map((field) => [field.number, field]));
    return this.#byNumber;
  }
}

function fieldOf(file: LiteFile, raw: RawField): Field {
  const repeated = raw.label === REPEATED;
  const message = raw.type === TYPE.message ? file.resolve(raw.typeName) : undefined;
  const entry = repeated && message?.isMap ? message.fields : undefined;
  return {
    number: raw.number,
    name: raw.name,
    localName: safeName(camelCase(raw.name)),
    fieldKind: entry ? "map" : repeated ? "list" : (SINGLE_KINDS.get(raw.type) ?? "scalar"),
    type: raw.type,
    repeated: repeated && !entry,
    optional: raw.optional || (raw.type === TYPE.message && !repeated),
    map: entry ? { key: entry[0]!, value: entry[1]! } : undefined,
    message,
  };
}

/** Descriptor of a method. */
export interface LiteMethod {
  readonly kind: "rpc";
  readonly name: string;
  readonly localName: string;
  readonly parent: LiteService;
  readonly methodKind: "unary" | "server_streaming" | "client_streaming" | "bidi_streaming";
  readonly input: LiteMessage;
  readonly output: LiteMessage;
}

/** Descriptor of a service; its methods are decoded on first use. */
export class LiteService {
  readonly kind = "service";
  readonly #file: LiteFile;
  readonly #index: number;
  #methods: LiteMethod[] | undefined;

  constructor(file: LiteFile, index: number) {
    this.#file = file;
    this.#index = index;
  }
  get #raw(): RawService {
    return this.#file.raw.services[this.#index]!;
  }
  get typeName(): string {
    return `${this.#file.raw.package}.${this.#raw.name}`;
  }
  get methods(): readonly LiteMethod[] {
    this.#methods ??= this.#raw.methods.map((raw) => this.#method(raw));
    return this.#methods;
  }
  /** Methods by their local names. */
  get method(): Readonly<Record<string, LiteMethod>> {
    return Object.fromEntries(this.methods.map((method) => [method.localName, method]));
  }
  #method(raw: RawMethod): LiteMethod {
    const file = this.#file;
    const streaming = (raw.clientStreaming ? 2 : 0) + (raw.serverStreaming ? 1 : 0);
    return {
      kind: "rpc",
      name: raw.name,
      localName: safeName(raw.name.charAt(0).toLowerCase() + raw.name.slice(1)),
      parent: this,
      methodKind: (["unary", "server_streaming", "client_streaming", "bidi_streaming"] as const)[streaming]!,
      get input() {
        return file.resolve(raw.input);
      },
      get output() {
        return file.resolve(raw.output);
      },
    };
  }
}

/** An enum's values, names to numbers and back, without the enum's name as prefix. */
export function enumObject(raw: RawEnum): Record<string, string | number> {
  const prefix = `${raw.name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toUpperCase()}_`;
  const shared = raw.values.every(
    ({ name }) => name.startsWith(prefix) && /^[A-Z]/i.test(name.slice(prefix.length)),
  );
  const found: Record<string, string | number> = {};
  for (const { name, number } of raw.values) {
    const local = shared ? name.slice(prefix.length) : name;
    found[local] = number;
    found[number] = local;
  }
  return found;
}

// "all_metadata" -> "allMetadata", protobuf's JSON name.
function camelCase(name: string): string {
  return name.replace(/_+(.)?/g, (_all, letter: string | undefined) => letter?.toUpperCase() ?? "");
}

const RESERVED = new Set(["constructor", "toString", "toJSON", "valueOf"]);
const safeName = (name: string): string => (RESERVED.has(name) ? `${name}$` : name);
