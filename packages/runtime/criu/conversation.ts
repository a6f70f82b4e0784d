/** The client side of CRIU's RPC: one request, notifications meanwhile, one response. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import { type CriuResponse, decodeResponse, encodeNotifyResponse, REQUESTS } from "./rpc.ts";

const MAX_MESSAGE = 64 * 1024;

/** Handles a notification. The handler owns the descriptor that came with it. */
export type NotifyHandler = (
  script: string,
  pid: number,
  descriptor: number | undefined,
) => Promise<void> | void;

/**
 * Sends a request and returns CRIU's response, which may report a failure. If a handler throws, CRIU is made to stop, and
 * the handler's error is thrown.
 */
export async function sendRequest(
  sys: Sys,
  socket: number,
  request: Uint8Array,
  onNotify: NotifyHandler,
): Promise<CriuResponse> {
  let failure: { error: unknown } | undefined;
  sys.write(socket, request);
  for (;;) {
    const { bytes, descriptors } = await sys.receive(socket, MAX_MESSAGE);
    if (bytes.length === 0) {
      if (failure !== undefined) throw failure.error;
      throw new BerthError("internal", "criu ended without an answer", {
        stage: "criu",
        hint: "look at its log, and at `dmesg` for a crash",
      });
    }
    const response = decodeResponse(bytes);
    if (response.type !== REQUESTS.notify || response.notify === undefined) {
      for (const fd of descriptors) sys.close(fd);
      if (failure !== undefined) throw failure.error;
      return response;
    }
    const [descriptor, ...more] = descriptors;
    for (const fd of more) sys.close(fd);
    try {
      await onNotify(response.notify.script, response.notify.pid, descriptor);
    } catch (error) {
      failure ??= { error };
    }
    sys.write(socket, encodeNotifyResponse(failure === undefined));
  }
}
