/** Leaks of tasks: bundles, runtime records, keepers and their files. */
import { openRuntime, remove } from "@berth/runtime";
import type { Instance, Leak } from "./finding.ts";
import { type Bundle, bundlesOf, GONE, hasRecord, namespacesOf } from "./known.ts";
import { refuseMounts } from "./mounts.ts";
import { keepersIn, killKeeper } from "./processes.ts";

/**
 * Candidates are listed before the bundles: a task's bundle is created before anything else of it, and removed last.
 */
export function taskLeaks(instance: Instance): Leak[] {
  const { sys, state } = instance;
  const folder = `${state}/keepers`;
  const keepers = keepersIn(sys, folder);
  const files = (sys.list(folder) ?? []).filter((name) => /\.(sock|exit)$/.test(name));
  const records = namespacesOf(instance).flatMap((ns) =>
    (sys.list(`${state}/runc/${ns}`) ?? []).filter((id) => !id.startsWith(".")).map((id) => ({ ns, id })),
  );
  const bundles = bundlesOf(instance);
  const tokens = new Set(bundles.flatMap((bundle) => bundle.tokens));
  const tasks = new Set(bundles.map(({ ns, id }) => `${ns}/${id}`));
  const tokenOf = (file: string) => file.replace(/\.(sock|exit)$/, "");
  return [
    ...[...keepers].flatMap(([token, pid]): Leak[] =>
      tokens.has(token)
        ? []
        : [
            {
              kind: "keeper",
              where: `process ${pid}`,
              why: `it keeps a process, and no task knows of it (${folder}/${token}.sock)`,
              fix: "kill it and the process it keeps",
              apply: () => killKeeper(sys, pid),
            },
          ],
    ),
    ...files.flatMap((file): Leak[] =>
      tokens.has(tokenOf(file)) || keepers.has(tokenOf(file))
        ? []
        : [
            {
              kind: file.endsWith(".sock") ? "socket" : "exit record",
              where: `${folder}/${file}`,
              why: "its keeper has ended, and no task knows of it",
              fix: "remove the file",
              apply: () => void sys.unlink(`${folder}/${file}`),
            },
          ],
    ),
    ...records.flatMap(({ ns, id }): Leak[] =>
      tasks.has(`${ns}/${id}`)
        ? []
        : [
            {
              kind: "runtime record",
              where: `${state}/runc/${ns}/${id}`,
              why: "its task has no bundle: nothing can reach what runs there, if anything does",
              fix: "kill what runs, remove its cgroups and the record",
              apply: () => {
                refuseMounts(sys, `${state}/runc/${ns}/${id}`);
                return remove(openRuntime(sys, `${state}/runc/${ns}`), id, true);
              },
            },
          ],
    ),
    ...bundles.flatMap((bundle) => bundleLeak(instance, bundle)),
  ];
}

function bundleLeak(instance: Instance, bundle: Bundle): Leak[] {
  const { sys } = instance;
  const { ns, id, path, own } = bundle;
  const leak = (why: string, fix: string, apply: () => Promise<void>): Leak[] => [
    { kind: "bundle", where: path, why, fix, apply },
  ];
  if (id.startsWith(GONE))
    return leak("its removal was begun and not finished", "remove what is left", async () =>
      forget(instance, bundle),
    );
  if (!own || hasRecord(instance, ns, id) || sys.stat(path) === undefined) return [];
  return leak("its container has no record any more", "end the task and remove the bundle", async () => {
    if (instance.removeTask !== undefined) await instance.removeTask(ns, id);
    if (sys.stat(path) === undefined) return;
    await remove(openRuntime(sys, `${instance.state}/runc/${ns}`), id, true);
    forget(instance, bundle);
  });
}

function forget({ sys, state }: Instance, { path, tokens }: Bundle): void {
  refuseMounts(sys, path);
  for (const token of tokens)
    for (const end of ["sock", "exit"]) sys.unlink(`${state}/keepers/${token}.${end}`);
  sys.removeTree(path);
}
