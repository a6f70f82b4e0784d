/** Talking to a running `criu swrk`: one request, CRIU's notifications meanwhile, its answer. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import { type CriuAnswer, decodeAnswer, encodeNotifyAnswer, REQUESTS } from "./rpc.ts";

const MAX_MESSAGE = 64 * 1024;

/** What is done at a notification; a descriptor that came along is the handler's to close. */
export type NotifyHandler = (
  script: string,
  pid: number,
  descriptor: number | undefined,
) => Promise<void> | void;

/**
 * Sends the request and returns CRIU's answer, which may be a refusal. A handler that throws makes CRIU stop, and its
 * error is what comes out.
 */
export async function ask(
  sys: Sys,
  socket: number,
  request: Uint8Array,
  onNotify: NotifyHandler,
): Promise<CriuAnswer> {
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
    const answer = decodeAnswer(bytes);
    if (answer.type !== REQUESTS.notify || answer.notify === undefined) {
      for (const fd of descriptors) sys.close(fd);
      if (failure !== undefined) throw failure.error;
      return answer;
    }
    const [descriptor, ...more] = descriptors;
    for (const fd of more) sys.close(fd);
    try {
      await onNotify(answer.notify.script, answer.notify.pid, descriptor);
    } catch (error) {
      failure ??= { error };
    }
    sys.write(socket, encodeNotifyAnswer(failure === undefined));
  }
}
