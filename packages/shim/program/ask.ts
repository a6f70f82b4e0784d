/**
 * A call to the process that serves, by one that lives a moment: one ttrpc request over a socket, with no engine's
 * module loaded for it.
 */
import {
  ExpectRequestSchema,
  ExpectResponseSchema,
  RemoveRequestSchema,
  RemoveResponseSchema,
  Shim,
} from "@berth/api/shim";
import { BerthError } from "@berth/base";
import { commandSys } from "@berth/sys";
import { encodeUnary, readAnswer } from "@berth/ttrpc/once";
import { create, fromBinary, type MessageInitShape, type MessageShape, toBinary } from "@bufbuild/protobuf";

const POLLIN = 1;
/** How long a process that lives may take to answer. */
const ANSWER_MS = 10_000;

/** Connects; undefined when nobody listens there. */
export function reach(socket: string): number | undefined {
  try {
    return commandSys.connectUnix(socket);
  } catch (error) {
    const { errno } = error as BerthError;
    if (errno === "ENOENT" || errno === "ECONNREFUSED" || errno === "ENOTDIR") return undefined;
    throw error;
  }
}

async function call(fd: number, method: string, payload: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  commandSys.write(fd, encodeUnary(Shim.typeName, method, payload));
  const parts: Uint8Array[] = [];
  for (;;) {
    if ((await commandSys.poll(fd, POLLIN, ANSWER_MS)) === 0)
      throw new BerthError("deadline_exceeded", `the shim did not answer ${method} within ${ANSWER_MS} ms`, {
        stage: "shim",
        hint: "see containerd's log, where the shim's goes",
      });
    const chunk = commandSys.readSync(fd, 65536);
    if (chunk.length === 0)
      throw new BerthError("unavailable", `the shim ended before it answered ${method}`, { stage: "shim" });
    parts.push(chunk);
    const answer = await readAnswer(Buffer.concat(parts));
    if (answer !== undefined) return answer;
  }
}

/** Says that a container is coming. */
export async function expect(
  fd: number,
  request: MessageInitShape<typeof ExpectRequestSchema>,
): Promise<MessageShape<typeof ExpectResponseSchema>> {
  const payload = toBinary(ExpectRequestSchema, create(ExpectRequestSchema, request));
  return fromBinary(ExpectResponseSchema, await call(fd, "Expect", payload));
}

/** Has a container removed by the process that serves it. */
export async function remove(fd: number, id: string): Promise<MessageShape<typeof RemoveResponseSchema>> {
  const payload = toBinary(RemoveRequestSchema, create(RemoveRequestSchema, { id }));
  return fromBinary(RemoveResponseSchema, await call(fd, "Remove", payload));
}
