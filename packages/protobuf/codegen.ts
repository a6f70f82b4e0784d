/** The API that generated code calls; replaces @bufbuild/protobuf/codegenv2. */
import { enumObject, LiteFile, type LiteMessage, LiteService } from "./descriptors.ts";

/** A file's descriptor. */
export function fileDesc(encoded: string, imports: readonly LiteFile[] = []): LiteFile {
  return new LiteFile(encoded, imports);
}

/**
 * A message's descriptor: a placeholder that is resolved at its first use, so that loading a module costs nothing.
 */
export function messageDesc(file: LiteFile, ...path: number[]): LiteMessage {
  let found: LiteMessage | undefined;
  const get = () => {
    found ??= file.at(path);
    return found;
  };
  return {
    kind: "message",
    file,
    get typeName() {
      return get().typeName;
    },
    get name() {
      return get().name;
    },
    get fields() {
      return get().fields;
    },
    get byNumber() {
      return get().byNumber;
    },
    get isMap() {
      return get().isMap;
    },
  } as LiteMessage;
}

/** A service's descriptor. */
export function serviceDesc(file: LiteFile, index: number): LiteService {
  return new LiteService(file, index);
}

/** An enum's descriptor: just a token for {@link tsEnum}. */
export function enumDesc(file: LiteFile, index: number): { file: LiteFile; index: number } {
  return { file, index };
}

/** An enum's values as an object, decoded at the first access. */
export function tsEnum({ file, index }: { file: LiteFile; index: number }): Record<string, string | number> {
  let found: Record<string, string | number> | undefined;
  const get = () => {
    found ??= enumObject(file.raw.enums[index]!);
    return found;
  };
  return new Proxy({} as Record<string, string | number>, {
    get: (_target, key) => get()[key as string],
    has: (_target, key) => key in get(),
    ownKeys: () => Reflect.ownKeys(get()),
    getOwnPropertyDescriptor: (_target, key) => Object.getOwnPropertyDescriptor(get(), key),
  });
}
