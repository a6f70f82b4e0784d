/** Runtime options on the wire: containerd.runc.v1.Options. */

import { runc } from "@berth/api";
import { typeNameOf } from "@berth/api/any";
import { BerthError } from "@berth/base";
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
  const refused = {
    binary_name: known.binaryName,
    shim_cgroup: known.shimCgroup,
    io_uid: known.ioUid,
    io_gid: known.ioGid,
  };
  for (const [option, value] of Object.entries(refused))
    if (value) throw new BerthError("unimplemented", `runtime option ${option} is not supported`);
  return {
    ...(known.noPivotRoot ? { noPivotRoot: true } : {}),
    ...(known.noNewKeyring ? { noNewKeyring: true } : {}),
    ...(known.systemdCgroup ? { systemdCgroup: true } : {}),
    ...(known.criuImagePath ? { criuImagePath: known.criuImagePath } : {}),
    ...(known.criuWorkPath ? { criuWorkPath: known.criuWorkPath } : {}),
    ...(known.root ? { root: known.root } : {}),
  };
}
