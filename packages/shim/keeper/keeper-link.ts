/**
 * The connection to a process's keeper (native/init/clients.h): commands go there, word of the process's end comes
 * back. The connection's end without that word means that the keeper itself was killed.
 */
import { connect, type Socket } from "node:net";
import { BerthError, codeOfErrno } from "@berth/base";
import { linux } from "@berth/sys";
import type { Exit } from "../contract/task-shim.ts";

const ANSWER_LIMIT_MS = 5000;
const MAX_LINE = 256;

/** Reads "code nanoseconds ooms", the text of an exit record and of the keeper's last line. */
export function parseExit(text: string): RecordedExit | undefined {
  // Keepers of an earlier version do not count.
  const match = /^(\d{1,3}) (\d{1,20})(?: (\d{1,10}))?$/.exec(text.trim());
  if (match === null) return undefined;
  return { exitStatus: Number(match[1]), exitedAt: BigInt(match[2]!), ooms: Number(match[3] ?? 0) };
}

/** What a keeper says at the end: also how often the out-of-memory killer was in the container. */
export interface RecordedExit extends Exit {
  ooms: number;
}

/** See the module comment. */
export class KeeperLink {
  readonly #socket: Socket;
  readonly #answers: { resolve: () => void; reject: (error: BerthError) => void }[] = [];
  #rest = "";
  #exit: RecordedExit | undefined;
  /** Resolves with the exit, or with undefined when the keeper went without a word. */
  readonly ended: Promise<RecordedExit | undefined>;
  /** Called with the count whenever the out-of-memory killer has been there. */
  onOom: ((ooms: number) => void) | undefined;
  readonly #greeted = Promise.withResolvers<number | undefined>();

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    // The daemon's life does not depend on its containers'.
    socket.unref();
    socket.on("data", (text: string) => this.#receive(text));
    this.ended = new Promise((resolve) => {
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        for (const { reject } of this.#answers.splice(0))
          reject(new BerthError("not_found", "the process has ended", { stage: "keeper" }));
        this.#greeted.resolve(undefined);
        resolve(this.#exit);
      });
    });
  }

  /** Connects to keeper.sock; undefined when nobody listens there any more. */
  static open(path: string): Promise<KeeperLink | undefined> {
    return new Promise((resolve) => {
      const socket = connect(path);
      const failed = () => resolve(undefined);
      socket.once("error", failed);
      socket.once("connect", () => {
        socket.off("error", failed);
        resolve(new KeeperLink(socket));
      });
    });
  }

  #receive(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = (lines.pop() ?? "").slice(0, MAX_LINE);
    for (const line of lines) {
      if (line.startsWith("EXIT ")) this.#exit = parseExit(line.slice(5));
      else if (line.startsWith("PID ")) this.#greeted.resolve(Number(line.slice(4)));
      else if (line.startsWith("OOM ")) this.onOom?.(Number(line.slice(4)));
      else if (line === "OK") this.#answers.shift()?.resolve();
      else if (line.startsWith("ERR ")) {
        const errno = linux.errnoName(Number(line.slice(4)));
        this.#answers
          .shift()
          ?.reject(new BerthError(codeOfErrno(errno), `keeper: ${errno}`, { stage: "keeper", errno }));
      }
    }
  }

  /** The pid of the keeper's process; undefined when it ended first. Keepers of an earlier version never say. */
  get pid(): Promise<number | undefined> {
    return this.#greeted.promise;
  }

  /** Sends a command line; resolves when the keeper has done it, "deadline_exceeded" when it does not answer. */
  command(line: string): Promise<void> {
    // Its last word was heard: there will be no answer.
    if (this.#socket.destroyed)
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
      this.#answers.push({ resolve: () => done(resolve), reject: (e) => done(() => reject(e)) });
      this.#socket.write(`${line}\n`);
    });
  }

  /** Lets go of the connection; the keeper stays. */
  close(): void {
    this.#socket.destroy();
  }
}
