/** Attaches this terminal (or pipe) to a process in a container: streams, window size, signals, detach keys. */
import { spawnSync } from "node:child_process";
import { BerthError, signalNumber } from "@berth/base";
import type { Fifos, TaskProcess } from "@berth/client";
import { FORWARDED } from "../signals.ts";
import { within } from "../within.ts";
import { DETACH_KEYS, DetachScanner, parseDetachKeys } from "./detach.ts";

/** Streams to attach. */
export interface AttachOptions {
  stdin: boolean;
  terminal: boolean;
  detachKeys?: string | undefined;
}

// Processes that outlive the container's first one may keep a stream open: do not wait forever.
const DRAIN_MS = 2000;
const INSISTENT = 3;

/** Create it before the task, so that no output is missed. */
export class Attachment {
  readonly #fifos: Fifos;
  readonly #options: AttachOptions;
  readonly #pumps: Promise<unknown>[];
  readonly #undo: (() => void)[] = [];
  readonly #detachKeys: readonly number[];
  // Created at once: the keys may arrive before the call that started the process has returned.
  readonly #left: Promise<undefined>;
  #detached: () => void = () => {};
  #abandoned: (why: BerthError) => void = () => {};

  constructor(fifos: Fifos, options: AttachOptions) {
    this.#fifos = fifos;
    this.#options = options;
    this.#detachKeys = parseDetachKeys(options.detachKeys ?? DETACH_KEYS);
    this.#left = new Promise((resolve, reject) => {
      this.#detached = () => resolve(undefined);
      this.#abandoned = reject;
    });
    this.#left.catch(() => {});
    this.#pumps = [pump(fifos.read(fifos.stdout), process.stdout)];
    if (fifos.stderr !== "") this.#pumps.push(pump(fifos.read(fifos.stderr), process.stderr));
    for (const each of this.#pumps) each.catch(() => {});
  }

  /** Takes over terminal and signals, once the daemon has created the process. */
  async connect(target: TaskProcess): Promise<void> {
    const { stdin, terminal } = this.#options;
    if (terminal) {
      await this.#resize(target);
      const onResize = () => void this.#resize(target);
      process.on("SIGWINCH", onResize);
      this.#undo.push(() => process.off("SIGWINCH", onResize));
    }
    // With a terminal, keys send signals.
    if (!terminal) this.#forwardSignals(target);
    if (stdin) this.#pumpStdin(target);
  }

  /** Waits until the process exits or the user detaches; undefined then. */
  async wait(target: TaskProcess): Promise<number | undefined> {
    try {
      const exit = await Promise.race([target.waitForEnd(), this.#left]);
      if (exit === undefined) return undefined;
      this.#fifos.release();
      await within(Promise.allSettled(this.#pumps), DRAIN_MS);
      return exit.code;
    } finally {
      this.close();
    }
  }

  /** Restores the terminal. */
  close(): void {
    for (const undo of this.#undo.splice(0).reverse()) undo();
  }

  async #resize(target: TaskProcess): Promise<void> {
    const { columns, rows } = process.stdout.isTTY ? process.stdout : { columns: 0, rows: 0 };
    // A process that has just exited has no window to resize.
    if (columns > 0 && rows > 0) await target.resize(columns, rows).catch(() => {});
  }

  #forwardSignals(target: TaskProcess): void {
    let urgent = 0;
    for (const name of FORWARDED) {
      const onSignal = () => {
        // As in docker: repeating the signal gets the user out of an unresponsive container.
        if ((name === "SIGINT" || name === "SIGTERM") && ++urgent >= INSISTENT)
          this.#abandoned(
            new BerthError("canceled", `left after ${INSISTENT} signals that the container did not end of`, {
              hint: `berth kill ${target.containerId.slice(0, 12)} ends it, if it still runs.`,
            }),
          );
        target.kill(signalNumber(name)).catch(() => {});
      };
      process.on(name, onSignal);
      this.#undo.push(() => process.off(name, onSignal));
    }
  }

  #pumpStdin(target: TaskProcess): void {
    const { stdin } = process;
    const writer = this.#fifos.writer();
    const scanner = this.#options.terminal ? new DetachScanner(this.#detachKeys) : undefined;
    let work = Promise.resolve();
    const raw = this.#options.terminal && stdin.isTTY;
    const onData = (chunk: Buffer) => {
      const { pass, detach } = scanner?.feed(chunk) ?? { pass: chunk, detach: false };
      if (detach) return this.#detached();
      if (pass.length === 0) return;
      stdin.pause();
      work = work
        .then(() => writer.write(pass))
        // A process that no longer reads ends by itself; input is then lost, as in a shell.
        .catch(() => {})
        .then(() => void stdin.resume());
    };
    const onEnd = () => {
      work = work.then(async () => {
        writer.end();
        await target.closeStdin().catch(() => {});
      });
    };
    if (raw) rawTerminal(stdin);
    stdin.on("data", onData);
    stdin.once("end", onEnd);
    this.#undo.push(() => {
      stdin.off("data", onData);
      stdin.off("end", onEnd);
      if (raw) stdin.setRawMode(false);
      stdin.pause();
      // Otherwise an open terminal or pipe would keep this program alive.
      stdin.unref?.();
      writer.end();
    });
  }
}

/**
 * Sets raw mode for input and output: the engine's raw mode still turns every LF into CR LF. But the container's
 * terminal has done that already, and full-screen programs move the cursor down by LF. No engine has an API for it.
 */
function rawTerminal(stdin: NodeJS.ReadStream): void {
  stdin.setRawMode(true);
  // Synchronous: once the terminal is restored, this must not come late.
  spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
}

async function pump(from: AsyncIterable<Uint8Array>, to: NodeJS.WriteStream): Promise<void> {
  let broken = false;
  const onError = () => {
    broken = true;
  };
  // A closed pipe (`berth run ... | head`) must neither stop the container nor end this program with a stack trace.
  to.on("error", onError);
  for await (const chunk of from) {
    if (broken) continue;
    await new Promise<void>((resolve) => {
      to.write(chunk, () => resolve());
    });
  }
}
