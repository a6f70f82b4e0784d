/** One unary call as bytes, for a command that makes a single one over its own descriptor. */
import { RequestSchema, ResponseSchema } from "@berth/api/ttrpc";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { encodeFrame, FrameReader, TYPE } from "./frames.ts";

/** The frame of a request on a connection's first stream. */
export function encodeUnary(service: string, method: string, payload: Uint8Array<ArrayBuffer>): Uint8Array {
  const request = toBinary(RequestSchema, create(RequestSchema, { service, method, payload }));
  return Buffer.concat(encodeFrame(1, TYPE.request, 0, request));
}

/**
 * The response message in the bytes received so far; undefined while they are incomplete. Throws the call's error.
 */
export async function readAnswer(received: Uint8Array): Promise<Uint8Array | undefined> {
  const reader = new FrameReader();
  reader.push(received);
  const frame = reader.next();
  if (frame === undefined) return undefined;
  const response = fromBinary(ResponseSchema, frame.payload);
  if (response.status === undefined || response.status.code === 0) return response.payload;
  // Error decoding is loaded only when needed.
  const { errorOf } = await import("./status.ts");
  throw errorOf(response.status);
}
