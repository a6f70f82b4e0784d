/** The Diff service on the wire. */
import { diff, nanoseconds } from "@berth/api";
import { BerthError } from "@berth/base";
import { type Service, service } from "@berth/rpc";
import { linux } from "@berth/sys";
import { toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { scopeOf } from "../../base/core/scope.ts";
import { fromDescriptor, fromMount, toDescriptor } from "../../base/core/wire.ts";
import { type ApplyParts, applyLayer, targetOf } from "../../work/diff/apply.ts";

/** Serves layers. */
export function diffService(parts: ApplyParts): Service {
  const { content } = parts;
  return service(diff.Diff, {
    apply: async ({ diff: wanted, mounts, payloads: given, syncFs }, call) => {
      const { namespace } = scopeOf(call);
      const descriptor = fromDescriptor(wanted);
      if (descriptor === undefined)
        throw new BerthError("invalid_argument", "diff is missing: invalid argument");
      const payloads = Object.fromEntries(
        Object.entries(given).map(([id, any]) => [id, toBinary(AnySchema, any)]),
      );
      const request = { diff: descriptor, mounts: mounts.map(fromMount), payloads };
      const applied = await applyLayer(parts, namespace, request, call.signal);
      if (syncFs) syncFolder(targetOf(request.mounts).root);
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
