/**
 * berth's own kind of output for shims that do not know it: they write FIFOs of the bundle, and berth-init reads those and
 * writes the log, with copies for the client. It outlives the daemon, and ends when nobody writes any more.
 */
import { CRI_LOG, LOG_MODE } from "@berth/base";
import { linux, type Sys } from "@berth/sys";
import { rotationOf } from "../contract/log-uri.ts";
import type { Stdio } from "../contract/task-shim.ts";

/** What a shim is given in place of a request's streams. */
export interface ForeignStdio {
  stdio: Stdio;
  /** berth-init's pid, to be waited for; 0: no log is written. */
  logger: number;
  /** Lets go of the FIFOs; call it once the shim has opened them, or never will. */
  release(): void;
}

function copyOf(uri: string): string {
  return uri.startsWith(CRI_LOG) ? (new URL(uri).searchParams.get("attach") ?? "") : "";
}

/** Starts the log's writer where one is needed. */
export function foreignStdio(sys: Sys, bundle: string, stdio: Stdio): ForeignStdio {
  if (!stdio.stdout.startsWith(CRI_LOG)) return { stdio, logger: 0, release: () => {} };
  const path = decodeURIComponent(new URL(stdio.stdout).pathname);
  const rotation = rotationOf("stdout", stdio.stdout);
  const held: number[] = [];
  const release = () => {
    for (const fd of held.splice(0)) sys.close(fd);
  };
  const none = sys.open("/dev/null", linux.O_RDWR);
  const reading: number[] = [none];
  try {
    const fifos = ["stdout", "stderr"].map((name) => {
      const fifo = `${bundle}/${name}`;
      sys.mkfifo(fifo, 0o600);
      reading.push(sys.open(fifo, linux.O_RDONLY | linux.O_NONBLOCK));
      // Somebody writes until the shim does: the writer of the log ends when nobody is left.
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
      fds: [none, none, ...reading],
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
