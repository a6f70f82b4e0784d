/** `berth explain`: prints a bundle's plan, every system call in order, without running it. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import { readBundle } from "./container/bundle.ts";
import { defaultRoot } from "./container/owner.ts";
import { type CreateOptions, planContainer } from "./container/plan-container.ts";
import { diffLines } from "./diff.ts";
import { CLONE_FLAGS, type Operation, type Plan, SECTIONS, type SectionName } from "./plan/operations.ts";
import type { RootMount } from "./plan/rootfs.ts";
import { openRuntime } from "./state/runtime.ts";

const TITLES: Readonly<Record<SectionName, string>> = {
  setup: "before the clone, in the parent",
  join: "joining namespaces, in a go-between",
  enter: "in the new process, at once",
  attach: "after the clone, in the parent",
  child: "in the new process",
  after: "meanwhile, in the parent",
};

function formatArg(arg: Operation["args"][number]): string {
  if (arg instanceof Uint8Array) {
    const text =
      arg.length <= 60 && arg.every((c) => c >= 32 && c < 127)
        ? JSON.stringify(new TextDecoder().decode(arg))
        : undefined;
    return text ?? `<${arg.length} bytes>`;
  }
  return typeof arg === "string" ? JSON.stringify(arg) : String(arg);
}

/** Index of the first environment variable among an operation's arguments, after the length of argv and argv itself. */
function environmentIndex(op: Operation): number {
  if (op.name === "exec") return 1 + Number(op.args[0]);
  return op.name === "hook" ? 5 + Number(op.args[4]) : op.args.length;
}

/** Formats an operation as a call. Environment values are elided, as they may be secrets. */
function formatCall(op: Operation): string {
  const environment = environmentIndex(op);
  const args = op.args.map((arg, i) =>
    formatArg(i < environment ? arg : String(arg).replace(/=[\s\S]*/, "=…")),
  );
  const call = `${op.name}(${args.join(", ")})`;
  return call.length > 160 ? `${call.slice(0, 157)}...` : call;
}

/** Formats an operation as its description and its call. */
function formatOperation(op: Operation): [words: string, call: string] {
  const lenient = op.optional ? " (may fail)" : op.ifPresent ? " (if it is there)" : "";
  return [`${op.words}${lenient}`, formatCall(op)];
}

/** Names the namespaces that the clone creates. */
function describeClone(flags: number): string {
  const names = Object.entries(CLONE_FLAGS)
    .filter(([, bit]) => (flags & bit) !== 0)
    .map(([name]) => name);
  return names.length === 0 ? "no new namespaces" : `new namespaces: ${names.join(", ")}`;
}

/** Prints a plan: a heading for each section and stage, then each operation's description and call. */
export function describePlan(plan: Plan): string {
  const lines: string[] = [];
  let number = 0;
  for (const section of SECTIONS) {
    if (section === "enter") lines.push(`== clone: ${describeClone(plan.cloneFlags)}`);
    const operations = plan.sections[section];
    if (operations.length === 0) continue;
    lines.push(`== ${TITLES[section]}`);
    let stage = "";
    for (const op of operations) {
      if (op.name === "mark") continue;
      if (op.stage !== stage) lines.push(`-- ${op.stage}`);
      stage = op.stage;
      const [words, call] = formatOperation(op);
      lines.push(`${String(++number).padStart(4)}  ${words}\n        ${call}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** Compiles the plan that `berth-runc create` would run for a bundle. Changes nothing. */
async function planBundle(
  sys: Sys,
  bundle: string,
  rootMounts: readonly RootMount[],
): Promise<{ plan: Plan; path: string; id: string }> {
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
  const id = path.slice(path.lastIndexOf("/") + 1).replace(/[^\w+.-]/g, "-") || "bundle";
  const options: CreateOptions = {
    id,
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
  return { plan: (await planContainer(runtime, spec, options)).plan, path, id };
}

/** Prints the plan that `berth-runc create` would run for a bundle. Changes nothing. */
export async function explainBundle(
  sys: Sys,
  bundle: string,
  rootMounts: readonly RootMount[] = [],
): Promise<string> {
  return describePlan((await planBundle(sys, bundle, rootMounts)).plan);
}

/**
 * Compares the plans of two bundles: "-" lines are only in the first, "+" lines only in the second. Bundle paths and ids
 * are replaced by $BUNDLE and $ID, and slot numbers are omitted, so that these do not show up as differences.
 */
export async function explainDifference(sys: Sys, first: string, second: string): Promise<string> {
  const [before, after] = await Promise.all(
    [first, second].map(async (bundle) => comparable(await planBundle(sys, bundle, []))),
  );
  return diffLines(before!, after!);
}

function comparable({ plan, path, id }: { plan: Plan; path: string; id: string }): string[] {
  const neutral = (text: string) => text.replaceAll(path, "$BUNDLE").replaceAll(`/${id}`, "/$ID");
  return SECTIONS.flatMap((section) => [
    ...(section === "enter" ? [`== clone: ${describeClone(plan.cloneFlags)}`] : []),
    ...plan.sections[section]
      // Closing slots is housekeeping; it differs whenever an earlier slot number does.
      .filter((op) => op.name !== "mark" && op.name !== "close")
      .map((op) => neutral(`${op.stage}: ${formatOperation(op)[0]}${formatBytes(op)}`)),
  ]);
}

/** Formats an operation's byte arguments, unless its description already quotes them. */
function formatBytes(op: Operation): string {
  const bytes = op.args.filter((arg) => arg instanceof Uint8Array);
  const texts = bytes.map(formatArg).filter((text) => !op.words.includes(text.slice(1, -1)));
  return texts.length === 0 ? "" : ` [${texts.join(", ")}]`;
}
