/** start: opens the gate of a created container, and reports a failure to execute its program. */
import { BerthError, stage } from "@berth/base";
import { linux } from "@berth/sys";
import { failureOf } from "../launch/failure.ts";
import { RecordParser } from "../launch/records.ts";
import { type ContainerRecord, containerFiles, readCreatedSpec, readRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { statusOf } from "../state/status.ts";
import { runPoststart } from "./hooks.ts";

const POLLERR = 8;
const EXEC_TIMEOUT_MS = 120_000;

/** runc's messages for a start in the wrong state. */
const REFUSALS: Readonly<Record<string, string>> = {
  stopped: "cannot start a container that has stopped",
  running: "cannot start an already running container",
  paused: "cannot start a paused container",
  creating: "cannot start a container that is being created",
};

/** Starts the container; resolves once its program has been executed. */
export async function start(runtime: Runtime, id: string): Promise<ContainerRecord> {
  const { sys, root } = runtime;
  const record = readRecord(sys, root, id);
  const status = statusOf(sys, root, record);
  if (status !== "created") {
    throw new BerthError("failed_precondition", REFUSALS[status]!, {
      stage: "start",
      hint: `container ${id} is ${status}`,
    });
  }
  const files = containerFiles(root, id);
  // O_NONBLOCK: a FIFO without a reader means that the process is gone, or that another start came first.
  let fd: number;
  try {
    fd = sys.open(files.fifo, linux.O_WRONLY | linux.O_NONBLOCK);
  } catch (error) {
    if (BerthError.from(error).errno !== "ENXIO" && BerthError.from(error).errno !== "ENOENT") throw error;
    const now = statusOf(sys, root, record) === "stopped" ? "stopped" : "running";
    throw new BerthError("failed_precondition", REFUSALS[now]!, { stage: "start" });
  }
  try {
    sys.write(fd, new Uint8Array([1]));
    sys.unlink(files.fifo);
    // exec closes the reading end, which poll(2) reports as POLLERR: that is success.
    const events = await stage("exec", { id }, () => sys.poll(fd, 0, EXEC_TIMEOUT_MS));
    if ((events & POLLERR) === 0) {
      throw new BerthError(
        "deadline_exceeded",
        `container ${id} did not execute its program within ${EXEC_TIMEOUT_MS / 1000} s`,
        { stage: "start", hint: "a startContainer hook without a timeout may hang" },
      );
    }
  } finally {
    sys.close(fd);
  }
  checkReport(runtime, record);
  const spec = readCreatedSpec(sys, root, id);
  await runPoststart(runtime, spec, record);
  return record;
}

/** Throws the failure that the process reported between start and exec, if any. */
function checkReport(runtime: Runtime, record: ContainerRecord): void {
  const { sys, root } = runtime;
  const path = containerFiles(root, record.id).report;
  const info = sys.stat(path);
  if (info === undefined || info.size === 0) return;
  const failed = new RecordParser().push(sys.readFile(path)).find((r) => r.kind === "failed");
  if (failed === undefined) return;
  throw failureOf(failed, (_, index) => record.tail?.operations[index - record.tail.index]);
}
