/** create: makes a container from a bundle. It waits for start, or (for `run`) executes at once. */
import { stage } from "@berth/base";
import { stringifyJson } from "@berth/oci";
import { streamLinks } from "../criu/descriptors.ts";
import { type Launched, launch } from "../launch/launch.ts";
import { type ContainerRecord, checkId, containerFiles, processStat, writeRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { readBundle } from "./bundle.ts";
import { claim, idInUse, refuseBusyCgroup, withUndo } from "./claim.ts";
import { launchTag, withUnit } from "./launch-settings.ts";
import { type CreateOptions, planContainer } from "./plan-container.ts";

/** Creates the container; a failure leaves nothing behind. */
export async function create(
  runtime: Runtime,
  options: CreateOptions,
): Promise<Launched & { record: ContainerRecord }> {
  const { sys, root } = runtime;
  checkId(options.id);
  const spec = options.spec ?? readBundle(runtime, options.bundle);
  const files = containerFiles(root, options.id);
  // Reported before errors of the bundle; claim() is what decides.
  if (sys.stat(files.folder) !== undefined) throw idInUse(options.id, files.folder);
  let { plan, record } = await planContainer(runtime, spec, options);
  refuseBusyCgroup(sys, record.cgroup);
  claim(runtime, options.id);
  return withUndo(runtime, record, async () => {
    // Written before anything is created: a record without a pid has all that is needed to clean up after a crash.
    sys.writeFile(files.spec, stringifyJson(spec));
    writeRecord(runtime, record);
    if (options.gate) sys.mkfifo(files.fifo, 0o622);
    if (options.additions?.mounts.some((m) => m.source === files.notify)) sys.mkdir(files.notify, 0o755);
    options.beforeLaunch?.();
    const launched = await withUnit(runtime, spec, record, async (cgroup) => {
      if (cgroup !== undefined) ({ plan, record } = await planContainer(runtime, spec, options, cgroup));
      const { stdio, inherited } = options;
      return stage("launch", { id: options.id }, () =>
        launch(sys, { plan, name: options.id, ...launchTag(options), stdio, inherited }),
      );
    });
    record.pid = launched.pid;
    record.startTime = processStat(sys, launched.pid)?.startTime ?? 0;
    const streams = streamLinks(sys, launched.pid);
    if (streams !== undefined) record.streams = streams;
    writeRecord(runtime, record);
    return { ...launched, record };
  });
}
