/**
 * CRI logs for shims that have none: the shim writes to FIFOs in the bundle, from which berth-init writes the log and the
 * client's copies. It outlives the daemon, and exits at end of file.
 */
import { CRI_LOG, LOG_MODE } from "@berth/base";
import { linux, type Sys } from "@berth/sys";
import { rotationOf } from "../contract/log-uri.ts";
import type { Stdio } from "../contract/task-shim.ts";

/** Streams for the shim in place of the request's. */
export interface ForeignStdio {
  stdio: Stdio;
  /** berth-init's pid, for reaping; 0 without a log. */
  logger: number;
  /** Closes the FIFOs; to be called once the shim has opened them, or has failed. */
  release(): void;
}

function copyOf(uri: string): string {
  return uri.startsWith(CRI_LOG) ? (new URL(uri).searchParams.get("attach") ?? "") : "";
}

/** Starts the writer of a CRI log if the request has one. */
export function foreignStdio(sys: Sys, bundle: string, stdio: Stdio): ForeignStdio {
  if (!stdio.stdout.startsWith(CRI_LOG)) return { stdio, logger: 0, release: () => {} };
  const path = decodeURIComponent(new URL(stdio.stdout).pathname);
  const rotation = rotationOf("stdout", stdio.stdout);
  const held: number[] = [];
  const release = () => {
    for (const fd of held.splice(0)) sys.close(fd);
  };
  const devNull = sys.open("/dev/null", linux.O_RDWR);
  const reading: number[] = [devNull];
  try {
    const fifos = ["stdout", "stderr"].map((name) => {
      const fifo = `${bundle}/${name}`;
      sys.mkfifo(fifo, 0o600);
      reading.push(sys.open(fifo, linux.O_RDONLY | linux.O_NONBLOCK));
      // Held open until the shim has opened it, or the log's writer would see end of file.
      held.push(sys.open(fifo, linux.O_WRONLY | linux.O_NONBLOCK));
      return fifo;
    });
    const program = `${sys.libraryFolder()}/berth-init`;
    const logger = sys.spawn({
      path: program,
      argv: [
        "berth-init",
        "--log",
        [
          path,
          copyOf(stdio.stdout),
          copyOf(stdio.stderr),
          rotation?.bytes ?? 0,
          rotation?.files ?? 1,
          LOG_MODE,
        ].join("\n"),
      ],
      env: [],
      fds: [devNull, devNull, ...reading],
      setsid: true,
    });
    const [stdout, stderr] = fifos as [string, string];
    return { stdio: { ...stdio, stdout, stderr: stdio.terminal ? "" : stderr }, logger, release };
  } catch (error) {
    release();
    throw error;
  } finally {
    for (const fd of reading) sys.close(fd);
  }
}
