/**
 * Limits a server's connections. When there is one too many, the process with the most of them loses one: one that
 * never sent anything, else one without a call in flight, else the oldest. A client that opens connections without
 * end thus only shuts out itself.
 */
import type net from "node:net";

/** How long a connection may take to show whether it speaks HTTP/1.1 or HTTP/2, in milliseconds. */
const PREFACE_MS = 10_000;
/** First bytes of HTTP/2's preface; no method of HTTP/1.1 begins like that. */
const PREFACE = Buffer.from("PRI");

/** A connection. */
export interface Connection {
  readonly socket: net.Socket;
  /** Pid of the process at the other end; undefined if unknown. */
  readonly peer: number | undefined;
  /** Its protocol is not known yet. */
  silent: boolean;
  /** Calls in flight. */
  calls: number;
}

/** Limits and peer lookup. */
export interface ConnectionsOptions {
  /** Most connections at a time. */
  max: number;
  /** Returns the pid of the process at the other end of a socket, by descriptor. */
  peerOf?: ((fd: number) => number | undefined) | undefined;
}

/** The open connections of a server. */
export class Connections {
  readonly #options: ConnectionsOptions;
  /** Oldest first. */
  readonly #all = new Set<Connection>();

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Accepts a connection; `found` is called once its protocol is known, with the bytes read so far put back. */
  accept(socket: net.Socket, found: (connection: Connection, protocol: "h1" | "h2") => void): void {
    const { max, peerOf } = this.#options;
    // The descriptor has no public property.
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
      const complete = begun.length >= PREFACE.length;
      if (!complete && PREFACE.subarray(0, begun.length).equals(begun)) return;
      clearTimeout(timer);
      socket.off("data", look);
      socket.pause();
      socket.unshift(begun);
      connection.silent = false;
      found(connection, complete && begun.subarray(0, PREFACE.length).equals(PREFACE) ? "h2" : "h1");
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
    // Its "close" event comes later.
    this.#all.delete(victim);
  }

  destroy(): void {
    for (const { socket } of this.#all) socket.destroy();
  }
}
