/** docker's --filter for containers. */
import { normalizeReference } from "@berth/oci";
import { usageError } from "../flags.ts";
import type { Seen } from "./state.ts";

/** Whether a container is shown. */
export type SeenFilter = (seen: Seen) => boolean;

const KEYS = ["id", "name", "label", "status", "ancestor", "exited", "before", "since"] as const;
type Key = (typeof KEYS)[number];

/**
 * Combines "key=value" filters: values of the same key are alternatives (except labels, which must all match), keys
 * must all match. `all` serves before and since, which name other containers.
 */
export function containerFilter(texts: readonly string[], all: readonly Seen[]): SeenFilter {
  const byKey = new Map<Key, SeenFilter[]>();
  for (const text of texts) {
    const at = text.indexOf("=");
    const key = text.slice(0, Math.max(at, 0)) as Key;
    if (at < 1 || !KEYS.includes(key))
      throw usageError(`--filter: found "${text}", expected KEY=VALUE with a key of ${KEYS.join(", ")}`);
    byKey.set(key, [...(byKey.get(key) ?? []), one(key, text.slice(at + 1), all)]);
  }
  return (seen) =>
    [...byKey].every(([key, tests]) =>
      key === "label" ? tests.every((test) => test(seen)) : tests.some((test) => test(seen)),
    );
}

function one(key: Key, value: string, all: readonly Seen[]): SeenFilter {
  switch (key) {
    case "id":
      return ({ container }) => container.id.startsWith(value);
    case "name":
      return ({ container }) => matches(container.name, value);
    case "label": {
      const at = value.indexOf("=");
      const name = at < 0 ? value : value.slice(0, at);
      return ({ container }) =>
        name in container.labels && (at < 0 || container.labels[name] === value.slice(at + 1));
    }
    case "status": {
      if (!["created", "running", "paused", "restarting", "exited"].includes(value))
        throw usageError(
          `--filter status: found "${value}", expected created, running, paused, restarting or exited`,
        );
      return ({ state }) => state === value;
    }
    case "ancestor": {
      const name = normalizeReference(value);
      return ({ container }) => container.image === name;
    }
    case "exited":
      return ({ state, task }) => state === "exited" && String(task?.exitStatus) === value;
    case "before":
    case "since": {
      const other = all.find(({ container }) => container.id.startsWith(value) || container.name === value);
      if (!other) throw usageError(`--filter ${key}: no such container: ${value}`);
      const limit = other.container.createdAt?.getTime() ?? 0;
      return ({ container }) => {
        const made = container.createdAt?.getTime() ?? 0;
        return key === "before" ? made < limit : made > limit;
      };
    }
  }
}

// docker treats the name as a regular expression; an invalid one is matched literally.
function matches(name: string, value: string): boolean {
  try {
    return new RegExp(value).test(name);
  } catch {
    return name.includes(value);
  }
}

/** Whether a filter asks for stopped containers, which are otherwise only shown with --all. */
export function asksForStopped(texts: readonly string[]): boolean {
  return texts.some((text) => text.startsWith("status=") || text.startsWith("exited="));
}
