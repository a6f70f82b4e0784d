/** Runtime options on the wire: containerd.runc.v1.Options. */

import { runc } from "@berth/api";
import { typeNameOf, unpack } from "@berth/api/any";
import { BerthError, present } from "@berth/base";
import { fromBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { TaskOptions } from "./task-shim.ts";

/** The type of options in containerd 1.x; its fields differ. */
const OLD_NAME = "containerd.linux.runc.CreateOptions";

/** Reads options; "unimplemented" names an unsupported one. */
export function readTaskOptions(options: Any | undefined): TaskOptions {
  if (options === undefined || options.value.length === 0) return {};
  const type = typeNameOf(options);
  if (type === OLD_NAME) return {};
  if (type !== runc.OptionsSchema.typeName)
    throw new BerthError("unimplemented", `runtime options of type ${options.typeUrl} are not supported`, {
      hint: `expected ${runc.OptionsSchema.typeName}`,
    });
  const known = fromBinary(runc.OptionsSchema, options.value);
  if (!isOwnProgram(known.binaryName))
    throw new BerthError(
      "unimplemented",
      `runtime option binary_name: found ${JSON.stringify(known.binaryName)}, expected ${OWN_PROGRAMS.join(" or ")}`,
      { hint: "another runtime needs a shim of its own" },
    );
  return present({
    noPivotRoot: known.noPivotRoot || undefined,
    noNewKeyring: known.noNewKeyring || undefined,
    systemdCgroup: known.systemdCgroup || undefined,
    criuImagePath: known.criuImagePath || undefined,
    criuWorkPath: known.criuWorkPath || undefined,
    root: known.root || undefined,
    shimCgroup: known.shimCgroup || undefined,
    ioOwner: known.ioUid !== 0 || known.ioGid !== 0 ? { uid: known.ioUid, gid: known.ioGid } : undefined,
  });
}

/** Programs that berth's own runtime stands for: clients name them in binary_name, docker even by default. */
const OWN_PROGRAMS: readonly string[] = ["runc", "berth-runc"];

/** Does this binary_name mean berth's own runtime? */
function isOwnProgram(binaryName: string): boolean {
  return binaryName === "" || OWN_PROGRAMS.includes(binaryName.slice(binaryName.lastIndexOf("/") + 1));
}

/** The program in the option binary_name that is another's; undefined if berth's own runtime is meant. */
export function foreignProgram(options: Any | undefined): string | undefined {
  const name = unpack(runc.OptionsSchema, options)?.binaryName ?? "";
  return isOwnProgram(name) ? undefined : name;
}
