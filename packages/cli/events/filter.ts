/** --filter of `berth events`: docker's KEY=VALUE, applied here, and containerd's language, applied by the daemon. */

import type { BerthClient, Container } from "@berth/client";
import { normalizeReference } from "@berth/oci";
import { usageError } from "../flags.ts";
import type { Shown } from "./terms.ts";

const KEYS = ["type", "event", "container", "image", "label", "namespace"] as const;
type Key = (typeof KEYS)[number];
type Test = (shown: Shown) => boolean;

/** Filters by the side that applies them. */
export interface EventFilters {
  /** For the daemon. */
  containerd: string[];
  /** docker's: values of a key are alternatives (except labels, which must all match), keys must all match. */
  docker: readonly { key: Key; value: string }[];
}

/** Classifies filters; throws a usage error for anything else. */
export function parseFilters(texts: readonly string[]): EventFilters {
  const docker: { key: Key; value: string }[] = [];
  const containerd: string[] = [];
  for (const text of texts) {
    if (text.trim() === "") throw usageError("--filter: found an empty filter");
    const match = /^([a-z]+)=([^=~].*)$/.exec(text);
    if (match === null) {
      containerd.push(text);
      continue;
    }
    const [, key, value] = match as unknown as [string, Key, string];
    if (!KEYS.includes(key))
      throw usageError(
        `--filter: found "${text}", expected KEY=VALUE with a key of ${KEYS.join(", ")}, or a containerd filter (topic==/tasks/exit)`,
      );
    docker.push({ key, value });
  }
  return { containerd, docker };
}

/**
 * Compiles docker's filters into a test. They look at container records, which later events change: unknown
 * containers are looked up when they first appear.
 */
export async function dockerFilter(
  client: BerthClient,
  filters: EventFilters["docker"],
): Promise<(shown: Shown) => Promise<boolean>> {
  if (filters.length === 0) return async () => true;
  const records = new Map<string, Container>();
  const needed = filters.some(({ key }) => key === "container" || key === "image" || key === "label");
  if (needed) for (const container of await client.containers.list()) records.set(container.id, container);
  const byKey = new Map<Key, Test[]>();
  for (const { key, value } of filters)
    byKey.set(key, [...(byKey.get(key) ?? []), testOf(key, value, records)]);
  return async (shown) => {
    // Recorded at its creation, a container is still known when it is removed.
    if (needed && shown.Type === "container" && !records.has(shown.ID)) {
      const found = await client.containers.get(shown.ID).catch(() => undefined);
      if (found) records.set(shown.ID, found);
    }
    return [...byKey].every(([key, tests]) =>
      key === "label" ? tests.every((test) => test(shown)) : tests.some((test) => test(shown)),
    );
  };
}

function testOf(key: Key, value: string, records: ReadonlyMap<string, Container>): Test {
  switch (key) {
    case "type":
      return ({ Type }) => Type === value;
    case "event":
      return ({ Action }) => Action === value;
    case "namespace":
      return ({ Namespace }) => Namespace === value;
    case "container":
      return ({ Type, ID }) => {
        const record = records.get(ID);
        return Type === "container" && (ID.startsWith(value) || (!!record && record.name === value));
      };
    case "image":
      return ({ Type, ID }) => {
        const name = Type === "image" ? ID : Type === "container" ? records.get(ID)?.image : undefined;
        return name !== undefined && (name === value || name === normalizeReference(value));
      };
    case "label": {
      const at = value.indexOf("=");
      const name = at < 0 ? value : value.slice(0, at);
      return ({ ID }) => {
        const labels = records.get(ID)?.labels ?? {};
        return name in labels && (at < 0 || labels[name] === value.slice(at + 1));
      };
    }
  }
}
