/**
 * The connection to a process's keeper (native/init/clients.h): it takes commands, and reports OOM kills and the exit. If it
 * closes without an exit, the keeper itself was killed.
 */
import { BerthError, codeOfErrno } from "@berth/base";
import { type LineChannel, linux, type Sys } from "@berth/sys";
import type { Exit } from "../contract/task-shim.ts";

const ANSWER_LIMIT_MS = 5000;
const MAX_LINE = 256;

/** Parses "code nanoseconds ooms": an exit record, or the keeper's last line. */
export function parseExit(text: string): RecordedExit | undefined {
  // Keepers of earlier versions do not count OOM kills.
  const match = /^(\d{1,3}) (\d{1,20})(?: (\d{1,10}))?$/.exec(text.trim());
  if (match === null) return undefined;
  return { exitStatus: Number(match[1]), exitedAt: BigInt(match[2]!), ooms: Number(match[3] ?? 0) };
}

/** An exit as a keeper records it. */
export interface RecordedExit extends Exit {
  /** OOM kills in the container. */
  ooms: number;
}

/** See the module comment. */
export class KeeperLink {
  #channel!: LineChannel;
  /** Commands that were not answered yet. */
  readonly #pending: { resolve: () => void; reject: (error: BerthError) => void }[] = [];
  #exit: RecordedExit | undefined;
  readonly #ended = Promise.withResolvers<RecordedExit | undefined>();
  /** Resolves with the exit, or with undefined if the keeper was killed. */
  readonly ended = this.#ended.promise;
  /** Called with the total after each OOM kill. */
  onOom: ((ooms: number) => void) | undefined;
  readonly #greeted = Promise.withResolvers<number | undefined>();

  private constructor() {}

  /** Connects to a keeper's socket; undefined if nobody listens there any more. */
  static async open(sys: Sys, path: string): Promise<KeeperLink | undefined> {
    const link = new KeeperLink();
    const events = { onLine: (line: string) => link.#receive(line), onClose: () => link.#closed() };
    const channel = await sys.connectLines(path, events, MAX_LINE);
    if (channel === undefined) return undefined;
    link.#channel = channel;
    return link;
  }

  #receive(line: string): void {
    if (line.startsWith("EXIT ")) this.#exit = parseExit(line.slice(5));
    else if (line.startsWith("PID ")) this.#greeted.resolve(Number(line.slice(4)));
    else if (line.startsWith("OOM ")) this.onOom?.(Number(line.slice(4)));
    else if (line === "OK") this.#pending.shift()?.resolve();
    else if (line.startsWith("ERR ")) {
      const errno = linux.errnoName(Number(line.slice(4)));
      this.#pending
        .shift()
        ?.reject(new BerthError(codeOfErrno(errno), `keeper: ${errno}`, { stage: "keeper", errno }));
    }
  }

  #closed(): void {
    for (const { reject } of this.#pending.splice(0))
      reject(new BerthError("not_found", "the process has ended", { stage: "keeper" }));
    this.#greeted.resolve(undefined);
    this.#ended.resolve(this.#exit);
  }

  /** pid of the process; undefined if the keeper closes before it has sent one, as earlier versions do. */
  get pid(): Promise<number | undefined> {
    return this.#greeted.promise;
  }

  /** Sends a command; resolves once the keeper has carried it out. "deadline_exceeded" if it does not answer. */
  command(line: string): Promise<void> {
    // There will be no answer.
    if (this.#channel.closed)
      return Promise.reject(new BerthError("not_found", "the process has ended", { stage: "keeper" }));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () =>
          reject(
            new BerthError(
              "deadline_exceeded",
              `the keeper did not answer ${line.split(" ")[0]} within ${ANSWER_LIMIT_MS} ms`,
              { stage: "keeper" },
            ),
          ),
        ANSWER_LIMIT_MS,
      );
      const done = (after: () => void) => {
        clearTimeout(timer);
        after();
      };
      this.#pending.push({ resolve: () => done(resolve), reject: (e) => done(() => reject(e)) });
      this.#channel.send(line);
    });
  }

  /** Closes the connection; the keeper goes on. */
  close(): void {
    this.#channel.close();
  }
}
