/** The Diff service on the wire. */
import { diff, nanoseconds } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import { linux } from "@berth/sys";
import { scopeOf } from "../../base/core/scope.ts";
import { fromDescriptor, fromMount, toDescriptor } from "../../base/core/wire.ts";
import type { ContentStore } from "../../objects/content/content-store.ts";
import { applyLayer, targetOf } from "../../work/diff/apply.ts";
import type { LayerPool } from "../../work/layers/pool.ts";

/** Serves layers of `content`. */
export function diffService(content: ContentStore, pool: LayerPool): Service {
  return service(diff.Diff, {
    apply: async ({ diff: wanted, mounts, syncFs }, call) => {
      const { namespace } = scopeOf(call);
      const descriptor = fromDescriptor(wanted);
      if (descriptor === undefined)
        throw new BerthError("invalid_argument", "diff is missing: invalid argument");
      // Payloads are for processors of encrypted layers and the like: there are none here, and such a layer is refused.
      const plain = mounts.map(fromMount);
      const applied = await applyLayer(content, pool, namespace, descriptor, plain, call.signal);
      if (syncFs) syncFolder(targetOf(plain).root);
      return { applied: toDescriptor(applied) };
    },
    diff: async ({ left, right, mediaType, ref, labels, sourceDateEpoch }, call) => {
      const request = {
        left: left.map(fromMount),
        right: right.map(fromMount),
        mediaType,
        ref,
        labels,
        newest: nanoseconds(sourceDateEpoch),
      };
      const { createDiff } = await import("../../work/diff/create.ts");
      return { diff: toDescriptor(await createDiff(content, scopeOf(call), request, call.signal)) };
    },
  });
}

function syncFolder(folder: string): void {
  const fd = linux.syscall(
    "openat",
    folder,
    linux.AT_FDCWD,
    folder,
    linux.O_RDONLY | linux.O_DIRECTORY | linux.O_CLOEXEC,
    0,
  );
  try {
    linux.syncfs(fd);
  } finally {
    linux.close(fd);
  }
}
