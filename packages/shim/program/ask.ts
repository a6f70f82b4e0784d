/**
 * Calls of the serving process by a short-lived one: a ttrpc request over a socket, without loading modules of the
 * JavaScript engine.
 */
import {
  ExpectRequestSchema,
  ExpectResponseSchema,
  RemoveRequestSchema,
  RemoveResponseSchema,
  Shim,
} from "@berth/api/shim";
import { BerthError } from "@berth/base";
import { linux, type Sys } from "@berth/sys";
import { encodeUnary, readAnswer } from "@berth/ttrpc/once";
import { create, fromBinary, type MessageInitShape, type MessageShape, toBinary } from "@bufbuild/protobuf";

/** Time limit for an answer. */
const ANSWER_MS = 10_000;

/** Connects to a socket; undefined if nobody listens there. */
export function reach(sys: Sys, socket: string): number | undefined {
  try {
    return sys.connectUnix(socket);
  } catch (error) {
    const { errno } = error as BerthError;
    if (errno === "ENOENT" || errno === "ECONNREFUSED" || errno === "ENOTDIR") return undefined;
    throw error;
  }
}

async function call(
  sys: Sys,
  fd: number,
  method: string,
  payload: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array> {
  sys.write(fd, encodeUnary(Shim.typeName, method, payload));
  const parts: Uint8Array[] = [];
  for (;;) {
    if ((await sys.poll(fd, linux.POLLIN, ANSWER_MS)) === 0)
      throw new BerthError("deadline_exceeded", `the shim did not answer ${method} within ${ANSWER_MS} ms`, {
        stage: "shim",
        hint: "see containerd's log, where the shim's goes",
      });
    const chunk = sys.readSync(fd, 65536);
    if (chunk.length === 0)
      throw new BerthError("unavailable", `the shim ended before it answered ${method}`, { stage: "shim" });
    parts.push(chunk);
    const answer = await readAnswer(Buffer.concat(parts));
    if (answer !== undefined) return answer;
  }
}

/** Announces a container. */
export async function expect(
  sys: Sys,
  fd: number,
  request: MessageInitShape<typeof ExpectRequestSchema>,
): Promise<MessageShape<typeof ExpectResponseSchema>> {
  const payload = toBinary(ExpectRequestSchema, create(ExpectRequestSchema, request));
  return fromBinary(ExpectResponseSchema, await call(sys, fd, "Expect", payload));
}

/** Lets the serving process remove a container. */
export async function remove(
  sys: Sys,
  fd: number,
  id: string,
): Promise<MessageShape<typeof RemoveResponseSchema>> {
  const payload = toBinary(RemoveRequestSchema, create(RemoveRequestSchema, { id }));
  return fromBinary(RemoveResponseSchema, await call(sys, fd, "Remove", payload));
}
