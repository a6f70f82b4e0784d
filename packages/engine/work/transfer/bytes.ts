/** Bytes over a named stream, with containerd's flow control: the receiver grants a window. */
import { pack, transferTypes, unpack } from "@berth/api";
import { BerthError } from "@berth/base";
import type { NamedStream } from "./stream-manager.ts";

/** Window granted to a client, and size of one message. */
const WINDOW = 2 << 20;
const PIECE = 64 << 10;

/** Yields the bytes sent by the client. */
export async function* receiveBytes(stream: NamedStream): AsyncGenerator<Uint8Array> {
  let window = 0;
  for (;;) {
    if (window <= WINDOW / 2) {
      const update = WINDOW - window;
      stream.send(pack(transferTypes.WindowUpdateSchema, { update }));
      window += update;
    }
    const message = await stream.receive();
    if (message === undefined) return;
    const data = unpack(transferTypes.DataSchema, message)?.data;
    if (data === undefined || data.length === 0) continue;
    window -= data.length;
    yield data;
  }
}

/** Sends bytes within the client's window. */
export async function sendBytes(stream: NamedStream, source: AsyncIterable<Uint8Array>): Promise<void> {
  let room = 0;
  for await (const chunk of source)
    for (let at = 0; at < chunk.length; ) {
      while (room <= 0) {
        const message = await stream.receive();
        if (message === undefined) throw new BerthError("canceled", "the client stopped reading");
        room += unpack(transferTypes.WindowUpdateSchema, message)?.update ?? 0;
      }
      const data = chunk.subarray(at, at + Math.min(PIECE, room));
      stream.send(pack(transferTypes.DataSchema, { data }));
      room -= data.length;
      at += data.length;
    }
}
