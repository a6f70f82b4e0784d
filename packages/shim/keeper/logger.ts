/**
 * Logging programs by containerd's protocol: the program reads stdout at descriptor 3 and stderr at 4, and closes 5 when it
 * is ready ("binary"), after writing a byte to it ("binary-v2"). Its environment is the container's id and namespace. It
 * outlives the daemon, and reads until end of file.
 */
import { BerthError, SIGKILL } from "@berth/base";
import { linux, type Sys } from "@berth/sys";
import { reapLater } from "../contract/reap.ts";
import type { ShimContext } from "./context.ts";

const READY_MS = 10_000;

/** A logging program from a stdio URI. */
export interface LoggingProgram {
  path: string;
  /** The URI's query: key, value, key, value. */
  args: readonly string[];
  /** binary-v2: closing descriptor 5 without a byte is a failure. */
  mustSayReady: boolean;
}

/** Write ends of a logging program's pipes; the caller closes them after the launch. */
export interface RunningLogger {
  stdout: number;
  stderr: number;
  close(): void;
}

function failed(path: string, what: string): BerthError {
  return new BerthError("failed_precondition", `logging program ${path} ${what}`, {
    stage: "streams",
    path,
    hint: "it must close descriptor 5 once it reads from 3 and 4: run it by hand to see what it says",
  });
}

async function awaitReady(sys: Sys, ready: number, pid: number, program: LoggingProgram): Promise<void> {
  if ((await sys.poll(ready, linux.POLLIN, READY_MS)) === 0)
    throw failed(program.path, `was not ready within ${READY_MS / 1000} s`);
  const said = await sys.read(ready, 1);
  const ended = sys.reap(pid);
  if (ended !== undefined && ended !== 0) throw failed(program.path, `ended at once with exit code ${ended}`);
  if (said.length === 0 && program.mustSayReady)
    throw failed(program.path, "ended without saying that it is ready");
}

/** Starts a logging program for a container and waits until it is ready. */
export async function startLogger(
  shim: ShimContext,
  of: { namespace: string; id: string },
  program: LoggingProgram,
): Promise<RunningLogger> {
  const { sys } = shim;
  const open: number[] = [];
  const pipe = () => {
    const ends = sys.pipe();
    open.push(...ends);
    return ends;
  };
  const close = (...fds: number[]) => {
    for (const fd of fds) {
      open.splice(open.indexOf(fd), 1);
      sys.close(fd);
    }
  };
  let pid = 0;
  try {
    const [out, stdout] = pipe();
    const [err, stderr] = pipe();
    const [ready, reportReady] = pipe();
    const devNull = shim.devNull();
    pid = sys.spawn({
      path: program.path,
      argv: [program.path, ...program.args],
      env: [`CONTAINER_ID=${of.id}`, `CONTAINER_NAMESPACE=${of.namespace}`],
      fds: [devNull, devNull, devNull, out, err, reportReady],
      setsid: true,
    });
    close(out, err, reportReady);
    await awaitReady(sys, ready, pid, program);
    close(ready);
    reapLater(sys, pid);
    return { stdout, stderr, close: () => close(...open) };
  } catch (error) {
    close(...open);
    if (pid !== 0) {
      sys.kill(pid, SIGKILL);
      reapLater(sys, pid);
    }
    throw error;
  }
}
