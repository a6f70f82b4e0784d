/** Metadata that containerd's clients send with a call. */

/** The namespace that the call is about. */
export const NAMESPACE_HEADER = "containerd-namespace";
/** The lease that keeps what the call makes. */
export const LEASE_HEADER = "containerd-lease";
