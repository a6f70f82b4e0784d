/**
 * The shim's log. containerd reads a FIFO `log` in each bundle; as one process serves many containers, a line goes to the
 * newest bundle whose FIFO has a reader.
 */
import { configureLog, type LogFields, type LogLevel } from "@berth/base";
import { linux, type Sys } from "@berth/sys";

const LEVEL_NAMES: Readonly<Partial<Record<LogLevel, string>>> = { warn: "warning" };

/** See the module comment. */
export class LogFifo {
  readonly #sys: Sys;
  readonly #bundles = new Map<string, string>();

  constructor(sys: Sys, debug: boolean) {
    this.#sys = sys;
    configureLog({ render, write: (line) => this.#write(line) });
    this.setDebug(debug);
  }

  setDebug(debug: boolean): void {
    configureLog({ level: debug ? "debug" : "info" });
  }

  add(id: string, bundle: string): void {
    this.#bundles.delete(id);
    this.#bundles.set(id, bundle);
  }

  remove(id: string): void {
    this.#bundles.delete(id);
  }

  // Never waits for a reader or for room: logging must not block containers.
  #write(line: string): void {
    for (const bundle of [...this.#bundles.values()].reverse()) {
      try {
        const fd = this.#sys.open(`${bundle}/log`, linux.O_WRONLY | linux.O_NONBLOCK);
        try {
          this.#sys.write(fd, new TextEncoder().encode(line));
        } finally {
          this.#sys.close(fd);
        }
        return;
      } catch {
        // No reader, no room or no bundle: try the next one.
      }
    }
  }
}

/** Formats a line as containerd does. */
function render(level: LogLevel, message: string, fields: LogFields): string {
  const tail = Object.entries(fields).map(
    ([name, value]) => ` ${name}=${JSON.stringify(typeof value === "string" ? value : String(value))}`,
  );
  return (
    `time="${new Date().toISOString()}" level=${LEVEL_NAMES[level] ?? level} msg=${JSON.stringify(message)}` +
    ` runtime=io.containerd.berth.v1${tail.join("")}`
  );
}
