/** What a server sends on a stream. */
import http2 from "node:http2";
import type { Encoding } from "./frames.ts";
import { statusOf } from "./status.ts";
import { writeMessage } from "./stream.ts";

/** The response to a call: headers, messages, and exactly one status. */
export class Reply {
  encoding: Encoding = "identity";
  readonly #stream: http2.ServerHttp2Stream;
  readonly #details: boolean;
  #started = false;
  #done = false;
  #status: http2.OutgoingHttpHeaders = { "grpc-status": "0" };

  /** `details`: the client asked for error details besides code and message. */
  constructor(stream: http2.ServerHttp2Stream, details: boolean) {
    this.#stream = stream;
    this.#details = details;
  }

  /** Sends the response headers, unless they have been sent. */
  start(): void {
    if (this.#started || this.#stream.destroyed || this.#stream.closed) return;
    this.#started = true;
    const headers: http2.OutgoingHttpHeaders = { ":status": 200, "content-type": "application/grpc" };
    if (this.encoding !== "identity") headers["grpc-encoding"] = this.encoding;
    this.#stream.once("wantTrailers", () => {
      if (this.#stream.destroyed) return;
      this.#stream.sendTrailers(this.#status);
      this.#hangUp();
    });
    this.#stream.respond(headers, { waitForTrailers: true });
  }

  send(message: Uint8Array): Promise<void> | void {
    if (this.#done) return;
    this.start();
    return writeMessage(this.#stream, message, this.encoding);
  }

  succeed(): void {
    this.#end({ "grpc-status": "0" });
  }

  fail(error: unknown): void {
    this.#end({ ...statusOf(error, this.#details) });
  }

  #end(status: http2.OutgoingHttpHeaders): void {
    const stream = this.#stream;
    if (this.#done || stream.destroyed || stream.closed) return;
    this.#done = true;
    if (this.#started) {
      this.#status = status;
      stream.end();
    } else {
      stream.respond({ ":status": 200, "content-type": "application/grpc", ...status }, { endStream: true });
    }
    if (!this.#started) stream.once("finish", () => this.#hangUp());
  }

  // A client that is still sending would wait for a window that never opens; RFC 9113, 8.1 lets a server that has
  // answered reset the stream. Only after the status: a closed stream sends no trailers any more.
  #hangUp(): void {
    const stream = this.#stream;
    if (stream.readableEnded || stream.destroyed) return;
    stream.resume();
    setImmediate(() => {
      if (!stream.destroyed) stream.close(http2.constants.NGHTTP2_NO_ERROR);
    });
  }
}
