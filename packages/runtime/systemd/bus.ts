/** A connection to a D-Bus peer on a unix socket: authentication, calls with a deadline, signals. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import {
  type DBusValue,
  decodeMessage,
  ERROR,
  encodeMessage,
  METHOD_CALL,
  METHOD_RETURN,
  type Message,
  SIGNAL,
} from "./wire.ts";

const POLLIN = 1;
const CHUNK = 65536;
/** An answer of the authentication is one line. */
const MAX_LINE = 1024;
const MAX_BUFFER = 16 << 20;

/** What is called, and with what. */
export interface Call {
  destination: string;
  path: string;
  interface: string;
  member: string;
  signature?: string;
  body?: readonly DBusValue[];
}

/** An error that the peer answered with; `name` is D-Bus's. */
export class DBusError extends BerthError {
  readonly dbusName: string;
  constructor(name: string, call: Call, text: string) {
    super("internal", `${call.member}: ${text} (${name})`, { stage: "systemd" });
    this.dbusName = name;
  }
}

/** See the module comment. */
export class Bus {
  readonly #sys: Sys;
  readonly #fd: number;
  readonly #limitMs: number;
  #buffer: Uint8Array = new Uint8Array(0);
  #serial = 0;
  readonly #signals: Message[] = [];

  private constructor(sys: Sys, fd: number, limitMs: number) {
    this.#sys = sys;
    this.#fd = fd;
    this.#limitMs = limitMs;
  }

  /**
   * Connects and authenticates as the caller's own uid. `hello` is for a bus, which gives out names; a peer such as
   * systemd's private socket has none. `limitMs` is the deadline of each call.
   */
  static async connect(sys: Sys, path: string, options: { hello: boolean; limitMs: number }): Promise<Bus> {
    const bus = new Bus(sys, sys.connectUnix(path), options.limitMs);
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

  /** Adds what arrives to the buffer; waits until `end`. */
  async #more(end: number, waitedFor: string): Promise<void> {
    const left = end - this.#sys.monotonicMs();
    const events = left > 0 ? await this.#sys.poll(this.#fd, POLLIN, Math.ceil(left)) : 0;
    if (events === 0)
      throw new BerthError(
        "deadline_exceeded",
        `systemd did not answer within ${this.#limitMs} ms: ${waitedFor}`,
        {
          stage: "systemd",
          hint: "`systemctl list-jobs` shows what it is busy with",
        },
      );
    const bytes = this.#sys.readSync(this.#fd, CHUNK);
    if (bytes.length === 0)
      throw new BerthError("unavailable", `the D-Bus connection was closed: ${waitedFor}`, {
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
    // BEGIN goes along: systemd, when it reads BEGIN and the first call at once, does not look at the call before more comes.
    this.#sys.write(this.#fd, new TextEncoder().encode(`\0AUTH EXTERNAL ${uid}\r\nBEGIN\r\n`));
    const end = this.#sys.monotonicMs() + this.#limitMs;
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
      await this.#more(end, "authentication");
    }
  }

  async #next(end: number, waitedFor: string): Promise<Message> {
    for (;;) {
      const decoded = decodeMessage(this.#buffer);
      if (decoded !== undefined) {
        this.#buffer = this.#buffer.slice(decoded.size);
        return decoded.message;
      }
      await this.#more(end, waitedFor);
    }
  }

  /** Calls a method and returns the body of its answer; a {@link DBusError} for an error. */
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
    const end = this.#sys.monotonicMs() + this.#limitMs;
    for (;;) {
      const message = await this.#next(end, call.member);
      if (message.type === SIGNAL) this.#signals.push(message);
      if (message.replySerial !== serial) continue;
      if (message.type === METHOD_RETURN) return message.body;
      if (message.type === ERROR)
        throw new DBusError(message.errorName ?? "", call, String(message.body[0] ?? "no reason given"));
    }
  }

  /** Waits for a signal that `wanted` accepts, beginning with those that came meanwhile. */
  async signal(waitedFor: string, wanted: (message: Message) => boolean): Promise<Message> {
    const end = this.#sys.monotonicMs() + this.#limitMs;
    for (;;) {
      const message = this.#signals.shift() ?? (await this.#next(end, waitedFor));
      if (message.type === SIGNAL && wanted(message)) return message;
    }
  }
}
