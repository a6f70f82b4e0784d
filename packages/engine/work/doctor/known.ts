/** Resources that are in use: containers with a record, and tasks with a bundle. */
import { eventTypes, types } from "@berth/api";
import { fromBinary } from "@bufbuild/protobuf";
import type { Instance } from "./finding.ts";

/** Folder of all bundles; the shim uses the same name. */
export const tasksFolder = ({ state }: Instance) => `${state}/io.containerd.runtime.v2.task`;
/** Name prefix of bundles that are being removed. */
export const GONE = ".gone-";

/** A bundle on disk. */
export interface Bundle {
  ns: string;
  /** Name of its folder: the container's id, or {@link GONE} and a suffix. */
  id: string;
  path: string;
  /** Tokens of its keepers' files. */
  tokens: string[];
  /** Created by the built-in shim; others have other files. */
  own: boolean;
}

/** Whether a container has a record. */
export function hasRecord({ db }: Instance, ns: string, id: string): boolean {
  return db.get("SELECT 1 FROM containers WHERE ns = ? AND id = ?", ns, id) !== undefined;
}

/** Names of all namespaces that have, or had, containers. */
export function namespacesOf({ db, sys, state }: Instance): string[] {
  const rows = db.all("SELECT name FROM namespaces") as { name: string }[];
  return [...new Set([...rows.map(({ name }) => name), ...(sys.list(`${state}/runc`) ?? [])])];
}

/** All bundles. */
export function bundlesOf(instance: Instance): Bundle[] {
  const { sys } = instance;
  const folder = tasksFolder(instance);
  return (sys.list(folder) ?? []).flatMap((ns) =>
    (sys.list(`${folder}/${ns}`) ?? []).map((id) => {
      const path = `${folder}/${ns}/${id}`;
      const files = sys.list(path) ?? [];
      const records = files.filter((name) => /^(task|exec-.+)\.json$/.test(name));
      return {
        ns,
        id,
        path,
        tokens: records.flatMap((name) => tokenOf(sys.readTextIfAny(`${path}/${name}`))),
        own: records.length > 0 || files.length === 0,
      };
    }),
  );
}

function tokenOf(content: string | undefined): string[] {
  try {
    const { token } = JSON.parse(content ?? "{}") as { token?: unknown };
    return typeof token === "string" ? [token] : [];
  } catch {
    return [];
  }
}

/** "NAMESPACE/ID" of containers created here, as far as the event log goes: no other engine's have these names. */
export function madeHere({ history }: Instance): Set<string> {
  const found = new Set<string>();
  for (let at = history.oldest - 1; ; ) {
    const events = history.read(at);
    const last = events?.at(-1);
    if (events === undefined || last === undefined) return found;
    for (const { bytes } of events) {
      const { topic, namespace, event } = fromBinary(types.EnvelopeSchema, bytes);
      if (topic === "/containers/create" && event !== undefined)
        found.add(`${namespace}/${fromBinary(eventTypes.ContainerCreateSchema, event.value).id}`);
    }
    at = last.sequence;
  }
}
