/** `berth explain`: a bundle's plan in words, every system call in order, before or without running it. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import { openRuntime } from "./container/context.ts";
import { type CreateOptions, planContainer, readBundle } from "./container/create.ts";
import { defaultRoot } from "./container/owner.ts";
import { CLONE_FLAGS, type Operation, type Plan, SECTIONS, type SectionName } from "./plan/operations.ts";
import type { RootMount } from "./plan/rootfs.ts";

const TITLES: Readonly<Record<SectionName, string>> = {
  setup: "before the clone, in the parent",
  join: "joining namespaces, in a go-between",
  enter: "in the new process, at once",
  attach: "after the clone, in the parent",
  child: "in the new process",
  after: "meanwhile, in the parent",
};

function shownArg(arg: Operation["args"][number]): string {
  if (arg instanceof Uint8Array) {
    const text =
      arg.length <= 60 && arg.every((c) => c >= 32 && c < 127)
        ? JSON.stringify(new TextDecoder().decode(arg))
        : undefined;
    return text ?? `<${arg.length} bytes>`;
  }
  return typeof arg === "string" ? JSON.stringify(arg) : String(arg);
}

function shownOperation(op: Operation, number: number): string {
  const lenient = op.optional ? " (may fail)" : op.ifPresent ? " (if it is there)" : "";
  const call = `${op.name}(${op.args.map(shownArg).join(", ")})`;
  return `${String(number).padStart(4)}  ${op.words}${lenient}\n        ${call.length > 160 ? `${call.slice(0, 157)}...` : call}`;
}

/** The namespaces that the clone makes, by name. */
function cloned(flags: number): string {
  const names = Object.entries(CLONE_FLAGS)
    .filter(([, bit]) => (flags & bit) !== 0)
    .map(([name]) => name);
  return names.length === 0 ? "no new namespaces" : `new namespaces: ${names.join(", ")}`;
}

/** Prints a plan: a heading for each section and stage, then its operations in words and as calls. */
export function describePlan(plan: Plan): string {
  const lines: string[] = [];
  let number = 0;
  for (const section of SECTIONS) {
    if (section === "enter") lines.push(`== clone: ${cloned(plan.cloneFlags)}`);
    const operations = plan.sections[section];
    if (operations.length === 0) continue;
    lines.push(`== ${TITLES[section]}`);
    let stage = "";
    for (const op of operations) {
      if (op.name === "mark") continue;
      if (op.stage !== stage) lines.push(`-- ${op.stage}`);
      stage = op.stage;
      lines.push(shownOperation(op, ++number));
    }
  }
  return `${lines.join("\n")}\n`;
}

/** Explains the bundle in a folder, as `berth-runc create` would run it; nothing is changed. */
export async function explainBundle(
  sys: Sys,
  bundle: string,
  rootMounts: readonly RootMount[] = [],
): Promise<string> {
  const folder = bundle.startsWith("/") ? bundle : `${sys.cwd()}/${bundle}`;
  if (sys.stat(folder)?.kind !== "folder") {
    throw new BerthError("not_found", `explain: there is no bundle folder ${folder}`, {
      path: folder,
      hint: "name a folder with a config.json, or a container",
    });
  }
  const path = sys.realpath(folder);
  const runtime = openRuntime(sys, defaultRoot(sys));
  const spec = readBundle(runtime, path);
  const options: CreateOptions = {
    id: path.slice(path.lastIndexOf("/") + 1).replace(/[^\w+.-]/g, "-") || "bundle",
    bundle: path,
    rootMounts,
    gate: true,
    wait: false,
    noPivot: false,
    noNewKeyring: false,
    // A terminal's master would go to a console socket.
    attachment: spec.process?.terminal ? { kind: "console-socket", slot: 0 } : { kind: "inherit" },
    stdio: [0, 1, 2],
    inherited: spec.process?.terminal ? [-1] : [],
    preserved: [],
  };
  const { plan } = await planContainer(runtime, spec, options);
  return describePlan(plan);
}
