/** Options of create and checkpoint, in containerd's various messages. */
import { pack, typeNameOf, unpack } from "@berth/api/any";
import * as runc from "@berth/api/runc";
import * as runtimeOptions from "@berth/api/runtimeOptions";
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import { create, fromBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { readTaskOptions } from "../contract/options.ts";
import type { CheckpointTask, TaskOptions } from "../contract/task-shim.ts";

/** runc's options in containerd's configuration, which a runtime it does not know gets as TOML. */
const TOML_NAMES = {
  NoPivotRoot: "noPivotRoot",
  NoNewKeyring: "noNewKeyring",
  ShimCgroup: "shimCgroup",
  IoUid: "ioUid",
  IoGid: "ioGid",
  BinaryName: "binaryName",
  Root: "root",
  SystemdCgroup: "systemdCgroup",
  CriuImagePath: "criuImagePath",
  CriuWorkPath: "criuWorkPath",
} as const;

/** Reads the options of a create; "unimplemented" names an unsupported one. */
export async function readCreateOptions(sys: Sys, options: Any | undefined): Promise<TaskOptions> {
  const toml = unpack(runtimeOptions.OptionsSchema, options);
  const known = toml === undefined ? options : pack(runc.OptionsSchema, await fromToml(sys, toml));
  // `start` has put the serving process into the cgroup; the keepers are its children.
  const { shimCgroup: _, ...rest } = readTaskOptions(known);
  return rest;
}

async function fromToml(sys: Sys, options: runtimeOptions.Options): Promise<runc.Options> {
  const text =
    options.configPath === ""
      ? new TextDecoder().decode(options.configBody)
      : sys.readText(options.configPath);
  const { parse } = await import("smol-toml");
  let table: Record<string, unknown>;
  try {
    table = parse(text);
  } catch (cause) {
    throw new BerthError("invalid_argument", `runtime options are not TOML: ${(cause as Error).message}`, {
      ...(options.configPath === "" ? {} : { path: options.configPath }),
      cause,
    });
  }
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(table)) {
    const field = TOML_NAMES[name as keyof typeof TOML_NAMES];
    if (field === undefined)
      throw new BerthError(
        "invalid_argument",
        `runtime option ${name}: expected one of ${Object.keys(TOML_NAMES).join(", ")}`,
      );
    fields[field] = value;
  }
  return create(runc.OptionsSchema, fields);
}

/** Reads the options of a checkpoint. */
export function readCheckpoint(path: string, options: Any | undefined): CheckpointTask {
  if (options === undefined || options.value.length === 0) return { path, exit: false };
  if (typeNameOf(options) !== runc.CheckpointOptionsSchema.typeName)
    throw new BerthError("unimplemented", `checkpoint options of type ${options.typeUrl} are not supported`, {
      hint: `expected ${runc.CheckpointOptionsSchema.typeName}`,
    });
  const known = fromBinary(runc.CheckpointOptionsSchema, options.value);
  return {
    path,
    exit: known.exit,
    openTcp: known.openTcp,
    externalUnixSockets: known.externalUnixSockets,
    terminal: known.terminal,
    fileLocks: known.fileLocks,
    emptyNamespaces: known.emptyNamespaces,
    cgroupsMode: known.cgroupsMode,
    workPath: known.workPath,
    parentPath: known.parentPath,
  };
}
