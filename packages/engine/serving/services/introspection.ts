/** The Introspection service: the daemon's plugins, its identity, and descriptions of runtimes. */
import * as fs from "node:fs";
import { introspection, pack, runtimeTypes, typeNameOf, unpack } from "@berth/api";
import { BerthError, present } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import type { Any } from "@bufbuild/protobuf/wkt";
import { compileFilters, fieldsOf } from "../../base/filters/index.ts";
import { RUNTIME_PLUGIN } from "../plugins/catalog.ts";
import type { Plugin } from "../plugins/registry.ts";

/** gRPC's status code of a plugin that could not be loaded. */
const UNAVAILABLE = 14;

/** What Introspection tells. */
export interface IntrospectionParts {
  /** The plugins, once all are known. */
  plugins: () => readonly Plugin[];
  /** Stable for a root directory. */
  uuid: string;
  /** The description of the runtime that a name and options select. */
  runtimeInfo(runtime: string, options: Any | undefined): Promise<runtimeTypes.RuntimeInfo>;
}

/** Serves facts about the daemon. */
export function introspectionService(parts: IntrospectionParts): Service {
  const show = ({ problem, ...plugin }: Plugin) => ({
    ...plugin,
    requires: [...(plugin.requires ?? [])],
    platforms: [...(plugin.platforms ?? [])],
    capabilities: [...(plugin.capabilities ?? [])],
    ...present({ initErr: problem === undefined ? undefined : { code: UNAVAILABLE, message: problem } }),
  });
  return service(introspection.Introspection, {
    plugins: async ({ filters }) => {
      const passes = await compileFilters(filters, (p: Plugin) => fieldsOf({ type: p.type, id: p.id }));
      return { plugins: parts.plugins().filter(passes).map(show) };
    },
    server: () => ({ uuid: parts.uuid, pid: BigInt(process.pid), pidns: pidNamespace() }),
    pluginInfo: async ({ type, id, options }) => {
      const plugin = parts.plugins().find((p) => p.type === type && p.id === id);
      if (plugin === undefined) throw new BerthError("not_found", `plugin ${type}.${id}: not found`);
      if (options === undefined) return { plugin: show(plugin) };
      const request = unpack(runtimeTypes.RuntimeRequestSchema, options);
      if (type !== RUNTIME_PLUGIN.type || id !== RUNTIME_PLUGIN.id || request === undefined)
        throw new BerthError(
          "unimplemented",
          `options of plugin ${type}.${id}: found ${typeNameOf(options)}, which it does not take: not implemented`,
        );
      const info = await parts.runtimeInfo(request.runtimePath, request.options);
      return { plugin: show(plugin), extra: pack(runtimeTypes.RuntimeInfoSchema, info) };
    },
  });
}

function pidNamespace(): bigint {
  const match = /\[(\d+)\]/.exec(fs.readlinkSync("/proc/self/ns/pid"));
  return BigInt(match?.[1] ?? 0);
}
