/** A service with every kind of method, on google.protobuf.BytesValue, for the tests of the wire. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BerthError } from "@berth/base";
import { type Connection, connect, type ServeOptions, serve } from "@berth/grpc";
import { type CallContext, service } from "@berth/rpc";
import { create, createFileRegistry, type DescService } from "@bufbuild/protobuf";
import {
  type BytesValue,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";

const BYTES = ".google.protobuf.BytesValue";

function describe(): DescService {
  const method = (name: string, clientStreaming: boolean, serverStreaming: boolean) => ({
    name,
    inputType: BYTES,
    outputType: BYTES,
    clientStreaming,
    serverStreaming,
  });
  const file = create(FileDescriptorProtoSchema, {
    name: "berth/test/echo.proto",
    package: "berth.test",
    syntax: "proto3",
    dependency: ["google/protobuf/wrappers.proto"],
    service: [
      {
        name: "Echo",
        method: [
          method("Unary", false, false),
          method("Download", false, true),
          method("Upload", true, false),
          method("Chat", true, true),
          method("Hang", false, false),
          method("Fail", false, false),
          method("Missing", false, false),
        ],
      },
    ],
  });
  const set = create(FileDescriptorSetSchema, { file: [file_google_protobuf_wrappers.proto, file] });
  return createFileRegistry(set).getService("berth.test.Echo")!;
}

export const Echo = describe();

/** Observations of the handlers. */
export const seen = { aborted: 0, written: 0, hanging: 0, headers: {} as CallContext["headers"] };

type Bytes = { value: Uint8Array };

const impl = {
  unary: async (request: BytesValue, call: CallContext): Promise<Bytes> => {
    seen.headers = call.headers;
    return { value: request.value };
  },
  download: async function* (request: BytesValue): AsyncGenerator<Bytes> {
    const [count, size] = Buffer.from(request.value).toString().split("x").map(Number) as [number, number];
    for (let i = 0; i < count; i++) {
      seen.written++;
      yield { value: new Uint8Array(size) };
    }
  },
  upload: async (requests: AsyncIterable<BytesValue>): Promise<Bytes> => {
    let total = 0;
    for await (const request of requests) total += request.value.length;
    return { value: Buffer.from(String(total)) };
  },
  chat: async function* (requests: AsyncIterable<BytesValue>): AsyncGenerator<Bytes> {
    for await (const request of requests) yield { value: request.value };
  },
  hang: (_request: BytesValue, call: CallContext): Promise<Bytes> =>
    new Promise((_resolve, reject) => {
      seen.hanging++;
      call.signal.addEventListener("abort", () => {
        seen.aborted++;
        reject(call.signal.reason);
      });
    }),
  fail: async (): Promise<Bytes> => {
    throw new BerthError("failed_precondition", "the düse is blocked", {
      stage: "mount",
      syscall: "mount",
      errno: "EBUSY",
      path: "/düse",
      hint: "unblock it",
    });
  },
};

/** Methods of {@link Echo} as seen by the client. */
export interface EchoClient {
  unary(r: Bytes, o?: object): Promise<Bytes>;
  download(r: Bytes, o?: object): AsyncIterable<Bytes>;
  upload(r: AsyncIterable<Bytes>, o?: object): Promise<Bytes>;
  chat(r: AsyncIterable<Bytes>, o?: object): AsyncIterable<Bytes>;
  hang(r: Bytes, o?: object): Promise<Bytes>;
  fail(r: Bytes, o?: object): Promise<Bytes>;
  missing(r: Bytes, o?: object): Promise<Bytes>;
}

/** A server in a temporary folder. */
export async function startEcho(options: Partial<ServeOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), "berth-wire-"));
  const path = options.path ?? join(folder, "s");
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const server = await serve({ ...options, path, services: [service(Echo, impl as never)] }).catch(
    (error) => {
      remove();
      throw error;
    },
  );
  return {
    path,
    server,
    dial: (more: object = {}): { connection: Connection; echo: EchoClient } => {
      const connection = connect({ path, ...more });
      return { connection, echo: connection.client(Echo) as unknown as EchoClient };
    },
    stop: async () => {
      await server.close(0);
      remove();
    },
  };
}
