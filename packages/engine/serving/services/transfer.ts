/** The Transfer service on the wire. */
import { transfer as api } from "@berth/api";
import { type Service, service } from "@berth/rpc";
import { scopeOf } from "../../base/core/scope.ts";
import type { TransferParts } from "../../work/transfer/parts.ts";

/** Serves transfers. Their implementation is loaded by the first one. */
export function transferService(tools: Omit<TransferParts, "fetcher">): Service {
  let loading:
    | Promise<{ parts: TransferParts; transfer: typeof import("../../work/transfer/transfer.ts").transfer }>
    | undefined;
  const load = async () => {
    const [{ transfer }, { Fetcher }] = await Promise.all([
      import("../../work/transfer/transfer.ts"),
      import("../../work/registry/fetch.ts"),
    ]);
    return { transfer, parts: { ...tools, fetcher: new Fetcher(tools.content) } };
  };
  return service(api.Transfer, {
    transfer: async ({ source, destination, options }, call) => {
      loading ??= load();
      const { transfer, parts } = await loading;
      const request = { source, destination, progressStream: options?.progressStream ?? "" };
      await transfer(parts, scopeOf(call), request, call.signal);
      return {};
    },
  });
}
