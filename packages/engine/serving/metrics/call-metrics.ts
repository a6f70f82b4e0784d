/** Calls of gRPC under the names that containerd's metrics have for them. */
import type { ErrorCode } from "@berth/base";
import type { CallObserver } from "@berth/grpc";
import type { DescMethod } from "@bufbuild/protobuf";
import { Counter } from "./exposition.ts";

const KINDS: Readonly<Record<DescMethod["methodKind"], string>> = {
  unary: "unary",
  server_streaming: "server_stream",
  client_streaming: "client_stream",
  bidi_streaming: "bidi_stream",
};

/** Counts calls. */
export class CallMetrics implements CallObserver {
  readonly #started = new Counter("grpc_server_started_total", "Calls that were begun.");
  readonly #handled = new Counter("grpc_server_handled_total", "Calls that have ended, by code.");

  began(method: DescMethod): void {
    this.#started.add(labelsOf(method));
  }

  ended(method: DescMethod, code: ErrorCode | undefined): void {
    this.#handled.add({ grpc_code: nameOf(code), ...labelsOf(method) });
  }

  text(): string {
    return this.#started.text() + this.#handled.text();
  }
}

function labelsOf({ name, methodKind, parent }: DescMethod) {
  return { grpc_method: name, grpc_service: parent.typeName, grpc_type: KINDS[methodKind] };
}

/** "not_found" -> "NotFound". */
function nameOf(code: ErrorCode | undefined): string {
  if (code === undefined) return "OK";
  // gRPC's own spelling.
  if (code === "canceled") return "Canceled";
  return code.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
