/** The ttrpc socket on which shims of other processes report events: containerd's, beside that of the API. */
import { dirname } from "node:path";
import type { types } from "@berth/api";
import { log } from "@berth/base";
import { MAX_SOCKET_PATH } from "@berth/rpc";
import { serve } from "@berth/ttrpc";
import { makeFolder } from "../base/core/folder.ts";
import type { Config } from "./config/config.ts";
import { shimEventsService } from "./services/shim-events.ts";

/** Serves until the result is called; root's alone, as shims run as the daemon does. */
export async function serveShims(
  config: Pick<Config, "grpc.address" | "ttrpc.address">,
  forward: (envelope: types.Envelope | undefined) => void,
): Promise<() => Promise<void>> {
  const path = config["ttrpc.address"];
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH && path === `${config["grpc.address"]}.ttrpc`) {
    log.warn("the socket for shims has too long a path: events of other people's shims are missed", {
      path,
      hint: "choose a shorter [grpc] address, or a [ttrpc] address",
    });
    return async () => {};
  }
  makeFolder(dirname(path), "the directory of the socket for shims");
  const server = await serve({ address: { path, mode: 0o600 }, services: [shimEventsService(forward)] });
  return () => server.close(0);
}
