/**
 * The connections of a server: as many as it may have, of whoever they are. When there is one too many, the process that has
 * most of them loses one: one that never said anything, or else has no call in flight, or else the oldest. So whoever opens
 * connections without end shuts nobody out but himself.
 */
import type net from "node:net";

/** How long a connection may take to say whether it speaks HTTP/1.1 or HTTP/2, in milliseconds. */
const PREFACE_MS = 10_000;
/** How the first bytes of HTTP/2 begin, as far as no method of HTTP/1.1 does. */
const PREFACE = Buffer.from("PRI");

/** A connection. */
export interface Connection {
  readonly socket: net.Socket;
  /** The process at its other end; undefined when nobody can tell. */
  readonly peer: number | undefined;
  /** It has not said yet what it speaks. */
  silent: boolean;
  /** Calls in flight. */
  calls: number;
}

/** What the connections need to know. */
export interface ConnectionsOptions {
  /** Most at a time. */
  max: number;
  /** The process at the other end of a socket, by descriptor. */
  peerOf?: ((fd: number) => number | undefined) | undefined;
}

/** See the module comment. */
export class Connections {
  readonly #options: ConnectionsOptions;
  /** The oldest first. */
  readonly #all = new Set<Connection>();

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Takes a connection in; `found` is called once it is known what it speaks, with what came so far put back. */
  accept(socket: net.Socket, found: (connection: Connection, protocol: "h1" | "h2") => void): void {
    const { max, peerOf } = this.#options;
    // No public property has it.
    const { fd } = (socket as unknown as { _handle?: { fd?: number } })._handle ?? {};
    const peer = fd === undefined || fd < 0 ? undefined : peerOf?.(fd);
    const connection: Connection = { socket, peer, silent: true, calls: 0 };
    this.#all.add(connection);
    if (this.#all.size > max) this.#makeRoom();
    const timer = setTimeout(() => socket.destroy(), PREFACE_MS);
    socket.on("close", () => {
      clearTimeout(timer);
      this.#all.delete(connection);
    });
    socket.on("error", () => {});
    let begun: Buffer = Buffer.alloc(0);
    const look = (chunk: Buffer) => {
      begun = begun.length === 0 ? chunk : Buffer.concat([begun, chunk]);
      const whole = begun.length >= PREFACE.length;
      if (!whole && PREFACE.subarray(0, begun.length).equals(begun)) return;
      clearTimeout(timer);
      socket.off("data", look);
      socket.pause();
      socket.unshift(begun);
      connection.silent = false;
      found(connection, whole && begun.subarray(0, PREFACE.length).equals(PREFACE) ? "h2" : "h1");
    };
    socket.on("data", look);
  }

  #makeRoom(): void {
    const counts = new Map<number | undefined, number>();
    for (const { peer } of this.#all) counts.set(peer, (counts.get(peer) ?? 0) + 1);
    const most = Math.max(...counts.values());
    const theirs = [...this.#all].filter(({ peer }) => counts.get(peer) === most);
    const victim =
      theirs.find(({ silent }) => silent) ?? theirs.find(({ calls }) => calls === 0) ?? theirs[0]!;
    victim.socket.destroy();
    // Its "close" comes later.
    this.#all.delete(victim);
  }

  destroy(): void {
    for (const { socket } of this.#all) socket.destroy();
  }
}
