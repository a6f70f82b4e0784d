/** Request headers; gRPC calls them metadata. */

/** Headers by lower-case name. */
export type Metadata = Readonly<Record<string, string | undefined>>;

/**
 * Headers from the wire's flat list: name, value, name, value. When one is repeated, the first value wins, as in
 * containerd: HTTP libraries join them, and Go clients send `containerd-namespace` twice.
 */
export function metadataOf(raw: readonly string[]): Metadata {
  const found: Record<string, string> = Object.create(null);
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    found[name] ??= raw[i + 1]!;
  }
  return found;
}
