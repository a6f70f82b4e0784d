/** Which runtimes and runtime options a container may ask for. */
import { runc } from "@berth/api";
import { BerthError } from "@berth/base";
import type { Any } from "@bufbuild/protobuf/wkt";
import { unpack } from "../core/pack.ts";

/** Names under which clients know runc's family; all mean the built-in runtime. */
const BUILT_IN = new Set([
  "io.containerd.runc.v2",
  "io.containerd.runc.v1",
  "io.containerd.runtime.v1.linux",
  "io.containerd.berth.v1",
]);
/** The type name that containerd 1.x gives the options. */
const OPTIONS_NAMES = [runc.OptionsSchema.typeName, "containerd.linux.runc.CreateOptions"];

/** Throws "unimplemented" for a runtime, or an option of one, that berth does not have. */
export function checkRuntime(name: string, options: Any | undefined): void {
  if (!BUILT_IN.has(name))
    throw new BerthError("unimplemented", `runtime ${JSON.stringify(name)} is not supported`, {
      hint: "use io.containerd.runc.v2, which is berth's own runtime here",
    });
  if (options === undefined || options.value.length === 0) return;
  const known = unpack(runc.OptionsSchema, options);
  if (known === undefined) {
    if (OPTIONS_NAMES.includes(options.typeUrl)) return;
    throw new BerthError("unimplemented", `runtime options of type ${options.typeUrl} are not supported`);
  }
  const refused = {
    binary_name: known.binaryName,
    root: known.root,
    systemd_cgroup: known.systemdCgroup,
    shim_cgroup: known.shimCgroup,
    no_pivot_root: known.noPivotRoot,
    criu_image_path: known.criuImagePath,
    criu_work_path: known.criuWorkPath,
    io_uid: known.ioUid,
    io_gid: known.ioGid,
  };
  for (const [option, value] of Object.entries(refused))
    if (value) throw new BerthError("unimplemented", `runtime option ${option} is not supported`);
}
