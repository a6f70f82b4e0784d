/** The scope of a call: its namespace, and the lease for new objects. */
import { LEASE_HEADER, NAMESPACE_HEADER } from "@berth/api/headers";
import { BerthError } from "@berth/base";
import type { CallContext } from "@berth/rpc";
import { checkIdentifier } from "./names.ts";

/** Namespace and lease of a call. */
export interface Scope {
  readonly namespace: string;
  /** Lease that protects objects created by this call; undefined for none. */
  readonly lease: string | undefined;
}

/** Reads the `containerd-namespace` and `containerd-lease` headers; the namespace is required. */
export function scopeOf(call: CallContext): Scope {
  const namespace = call.headers[NAMESPACE_HEADER];
  if (!namespace)
    throw new BerthError("failed_precondition", "namespace is required: failed precondition", {
      hint: "send a containerd-namespace header",
    });
  checkIdentifier(namespace);
  return { namespace, lease: call.headers[LEASE_HEADER] || undefined };
}
