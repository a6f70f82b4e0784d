/** The Sandbox service on the wire. */

import { typeNameOf } from "@berth/api/any";
import { PodSandboxConfigSchema } from "@berth/api/pod";
import { Sandbox } from "@berth/api/sandbox";
import { timestamp } from "@berth/api/time";
import { BerthError, systemClock } from "@berth/base";
import { platformOfNode } from "@berth/oci";
import { type Service, service } from "@berth/rpc";
import type { Sys } from "@berth/sys";
import { fromBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Residents } from "./residents.ts";
import type { Sandboxes } from "./sandboxes.ts";

const READY = "SANDBOX_READY";
const NOT_READY = "SANDBOX_NOTREADY";

function hostnameIn(options: Any | undefined): string {
  if (options === undefined || options.value.length === 0) return "";
  const type = typeNameOf(options);
  if (type !== PodSandboxConfigSchema.typeName) return "";
  const { hostname, linux } = fromBinary(PodSandboxConfigSchema, options.value);
  const [sysctl] = Object.keys(linux?.sysctls ?? {});
  if (sysctl !== undefined)
    throw new BerthError("unimplemented", `options: sysctl ${sysctl} of a sandbox is not supported`, {
      stage: "sandbox",
    });
  return hostname;
}

/** The service over `sandboxes`; `remove` removes a sandbox in any state. */
export function sandboxService(
  sys: Sys,
  sandboxes: Sandboxes,
  residents: Residents,
  remove: (id: string) => Promise<unknown>,
): Service {
  return service(Sandbox, {
    async createSandbox({ sandboxId: id, netnsPath, options }) {
      const bundle = residents.bundleOf(id);
      // containerd starts a shim for each sandbox: this one is not for us.
      if (bundle === undefined)
        throw new BerthError(
          sandboxes.size > 0 ? "already_exists" : "failed_precondition",
          `sandbox ${id}: no shim was started for it${sandboxes.size > 0 ? ", and the one that was asked has its own: already exists" : ""}`,
          { stage: "sandbox", hint: "call containerd-shim-berth-v1 start first" },
        );
      await residents.admit(id, bundle, async () =>
        sandboxes.create({ id, bundle, netnsPath, hostname: hostnameIn(options) }),
      );
      return {};
    },
    async startSandbox({ sandboxId: id }) {
      const { pid, createdAt } = await sandboxes.start(id);
      return { pid, createdAt: timestamp(createdAt) };
    },
    platform: () => ({
      platform: { os: "linux", architecture: platformOfNode(sys.arch()).architecture },
    }),
    async stopSandbox({ sandboxId: id, timeoutSecs }) {
      await sandboxes.stop(id, timeoutSecs === 0 ? undefined : timeoutSecs * 1000);
      return {};
    },
    async waitSandbox({ sandboxId: id }, call) {
      const { exitStatus, exitedAt } = await sandboxes.wait(id, call.signal);
      return { exitStatus, exitedAt: timestamp(exitedAt) };
    },
    sandboxStatus({ sandboxId: id }) {
      const state = sandboxes.isReady(id) ? READY : NOT_READY;
      const { pid, createdAt, exit, netnsPath } = sandboxes.get(id);
      return {
        sandboxId: id,
        pid,
        state,
        info: {
          pid: String(pid),
          state,
          ...(netnsPath === "" ? {} : { networkSandboxPath: netnsPath }),
        },
        createdAt: timestamp(createdAt),
        ...(exit === undefined ? {} : { exitedAt: timestamp(exit.exitedAt) }),
      };
    },
    pingSandbox({ sandboxId: id }) {
      if (!sandboxes.isReady(id))
        throw new BerthError("unavailable", `sandbox ${id} does not run`, { stage: "sandbox" });
      return {};
    },
    async shutdownSandbox({ sandboxId: id }) {
      await remove(id);
      return {};
    },
    sandboxMetrics({ sandboxId: id }) {
      // The pause process uses nothing; the containers of a pod have metrics of their own.
      sandboxes.get(id);
      return { metrics: { timestamp: timestamp(systemClock.wall()), id } };
    },
  });
}
