/** A D-Bus connection over a unix socket: authentication, calls with a timeout, signals. */
import { BerthError } from "@berth/base";
import { linux, type Sys } from "@berth/sys";
import {
  decodeMessage,
  ERROR,
  encodeMessage,
  METHOD_CALL,
  METHOD_RETURN,
  type Message,
  SIGNAL,
} from "./message.ts";
import type { DBusValue } from "./types.ts";

const CHUNK = 65536;
/** Maximum length of a line of the authentication protocol. */
const MAX_LINE = 1024;
const MAX_BUFFER = 16 << 20;

/** A method call. */
export interface Call {
  destination: string;
  path: string;
  interface: string;
  member: string;
  signature?: string;
  body?: readonly DBusValue[];
}

/** An error reply of the peer; `dbusName` is D-Bus's name of the error. */
export class DBusError extends BerthError {
  readonly dbusName: string;
  constructor(name: string, call: Call, text: string) {
    super("internal", `${call.member}: ${text} (${name})`, { stage: "systemd" });
    this.dbusName = name;
  }
}

/** A connection to a bus or a peer. */
export class Bus {
  readonly #sys: Sys;
  readonly #fd: number;
  readonly #timeoutMs: number;
  #buffer: Uint8Array = new Uint8Array(0);
  #serial = 0;
  readonly #signals: Message[] = [];

  private constructor(sys: Sys, fd: number, timeoutMs: number) {
    this.#sys = sys;
    this.#fd = fd;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Connects and authenticates as the caller's uid. `hello` registers with a bus; a peer such as systemd's private socket
   * does not expect it. `timeoutMs` applies to each call.
   */
  static async connect(sys: Sys, path: string, options: { hello: boolean; timeoutMs: number }): Promise<Bus> {
    const bus = new Bus(sys, sys.connectUnix(path), options.timeoutMs);
    try {
      await bus.#authenticate();
      if (options.hello)
        await bus.call({
          destination: "org.freedesktop.DBus",
          path: "/org/freedesktop/DBus",
          interface: "org.freedesktop.DBus",
          member: "Hello",
        });
      return bus;
    } catch (error) {
      bus.close();
      throw error;
    }
  }

  close(): void {
    this.#sys.close(this.#fd);
  }

  /** Receives at least one byte into the buffer before `deadline`; `purpose` is for the error. */
  async #receive(deadline: number, purpose: string): Promise<void> {
    const remaining = deadline - this.#sys.monotonicMs();
    const events = remaining > 0 ? await this.#sys.poll(this.#fd, linux.POLLIN, Math.ceil(remaining)) : 0;
    if (events === 0)
      throw new BerthError(
        "deadline_exceeded",
        `systemd did not answer within ${this.#timeoutMs} ms: ${purpose}`,
        {
          stage: "systemd",
          hint: "`systemctl list-jobs` shows what it is busy with",
        },
      );
    const bytes = this.#sys.readSync(this.#fd, CHUNK);
    if (bytes.length === 0)
      throw new BerthError("unavailable", `the D-Bus connection was closed: ${purpose}`, {
        stage: "systemd",
      });
    if (this.#buffer.length + bytes.length > MAX_BUFFER)
      throw new BerthError("resource_exhausted", `a D-Bus peer sent more than ${MAX_BUFFER} bytes`, {
        stage: "systemd",
      });
    const joined = new Uint8Array(this.#buffer.length + bytes.length);
    joined.set(this.#buffer);
    joined.set(bytes, this.#buffer.length);
    this.#buffer = joined;
  }

  async #authenticate(): Promise<void> {
    const uid = [...String(this.#sys.uid())].map((c) => c.charCodeAt(0).toString(16)).join("");
    // BEGIN is sent along with AUTH: if systemd read it together with the first call, it would not process the call until
    // more data arrives.
    this.#sys.write(this.#fd, new TextEncoder().encode(`\0AUTH EXTERNAL ${uid}\r\nBEGIN\r\n`));
    const deadline = this.#sys.monotonicMs() + this.#timeoutMs;
    for (;;) {
      const at = this.#buffer.indexOf(0x0a);
      if (at >= 0) {
        const line = new TextDecoder().decode(this.#buffer.subarray(0, at)).trim();
        this.#buffer = this.#buffer.slice(at + 1);
        if (line.startsWith("OK ")) return;
        throw new BerthError("permission_denied", `the D-Bus peer refused uid ${this.#sys.uid()}: ${line}`, {
          stage: "systemd",
        });
      }
      if (this.#buffer.length > MAX_LINE)
        throw new BerthError("data_loss", "the D-Bus peer answers no authentication", { stage: "systemd" });
      await this.#receive(deadline, "authentication");
    }
  }

  async #next(deadline: number, purpose: string): Promise<Message> {
    for (;;) {
      const decoded = decodeMessage(this.#buffer);
      if (decoded !== undefined) {
        this.#buffer = this.#buffer.slice(decoded.size);
        return decoded.message;
      }
      await this.#receive(deadline, purpose);
    }
  }

  /** Calls a method and returns the body of its reply; throws a {@link DBusError} for an error reply. */
  async call(call: Call): Promise<DBusValue[]> {
    const serial = ++this.#serial;
    this.#sys.write(
      this.#fd,
      encodeMessage({
        type: METHOD_CALL,
        flags: 0,
        serial,
        destination: call.destination,
        path: call.path,
        interface: call.interface,
        member: call.member,
        signature: call.signature ?? "",
        body: [...(call.body ?? [])],
      }),
    );
    const deadline = this.#sys.monotonicMs() + this.#timeoutMs;
    for (;;) {
      const message = await this.#next(deadline, call.member);
      if (message.type === SIGNAL) this.#signals.push(message);
      if (message.replySerial !== serial) continue;
      if (message.type === METHOD_RETURN) return message.body;
      if (message.type === ERROR)
        throw new DBusError(message.errorName ?? "", call, String(message.body[0] ?? "no reason given"));
    }
  }

  /** Waits for a signal that `matches`, including those received during earlier calls. */
  async signal(purpose: string, matches: (message: Message) => boolean): Promise<Message> {
    const deadline = this.#sys.monotonicMs() + this.#timeoutMs;
    for (;;) {
      const message = this.#signals.shift() ?? (await this.#next(deadline, purpose));
      if (message.type === SIGNAL && matches(message)) return message;
    }
  }
}
