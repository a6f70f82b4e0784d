/** Whose objects a call is about: its namespace, and the lease that new objects go to. */
import { BerthError } from "@berth/base";
import type { CallContext } from "@berth/rpc";
import { checkIdentifier } from "./names.ts";

/** Namespace and lease of a call. */
export interface Scope {
  readonly namespace: string;
  /** Lease that protects what this call makes; undefined for none. */
  readonly lease: string | undefined;
}

/** Reads the `containerd-namespace` and `containerd-lease` headers; the namespace is required. */
export function scopeOf(call: CallContext): Scope {
  const namespace = call.headers["containerd-namespace"];
  if (!namespace)
    throw new BerthError("failed_precondition", "namespace is required: failed precondition", {
      hint: "send a containerd-namespace header",
    });
  checkIdentifier(namespace);
  return { namespace, lease: call.headers["containerd-lease"] || undefined };
}
