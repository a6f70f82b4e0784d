/** containerd's command `publish`: what a shim runs as its -publish-binary to send one event. */

import { parseArgs } from "node:util";
import { events } from "@berth/api";
import { NAMESPACE_HEADER } from "@berth/api/headers";
import { BerthError } from "@berth/base";
import { connect } from "@berth/grpc";
import { fromBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";

const TIMEOUT_MS = 10_000;
/** Largest event on standard input, in bytes: what the daemon takes, and its type. */
const MAX_EVENT = (1 << 20) + 4096;

/**
 * Publishes the google.protobuf.Any on standard input. `argv` is `--address SOCKET publish --topic TOPIC --namespace
 * NAMESPACE`, in any order.
 */
export async function publish(argv: readonly string[]): Promise<void> {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: argv.filter((arg) => arg !== "publish"),
    options: { address: text, topic: text, namespace: text },
  });
  const { address, topic, namespace } = values;
  for (const [flag, value] of Object.entries({ address, topic, namespace }))
    if (!value) throw new BerthError("invalid_argument", `--${flag}: found none, expected a value`);
  const event = fromBinary(AnySchema, await input());
  const connection = connect({
    path: address!.replace(/^unix:\/\//, ""),
    headers: { [NAMESPACE_HEADER]: namespace! },
  });
  try {
    await connection.client(events.Events).publish({ topic: topic!, event }, { timeoutMs: TIMEOUT_MS });
  } finally {
    connection.close();
  }
}

async function input(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_EVENT)
      throw new BerthError(
        "invalid_argument",
        `standard input: found more than ${MAX_EVENT} bytes, expected one event`,
      );
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
