/** Request headers; gRPC calls them metadata. */

/** Headers by lower-case name. */
export type Metadata = Readonly<Record<string, string | undefined>>;

/**
 * Headers as the wire had them: name, value, name, value. Of one that comes several times the first value counts, as in
 * containerd: HTTP libraries join them, and clients of Go send `containerd-namespace` twice.
 */
export function metadataOf(raw: readonly string[]): Metadata {
  const found: Record<string, string> = Object.create(null);
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    found[name] ??= raw[i + 1]!;
  }
  return found;
}
