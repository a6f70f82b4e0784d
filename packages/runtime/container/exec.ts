/** exec: adds a process to a running container. */
import { BerthError, log, present, stage } from "@berth/base";
import { type Namespace, type Process, type Spec, validateProcess } from "@berth/oci";
import { reachableCgroup, subCgroups } from "../cgroups/sub.ts";
import { type Launched, launch } from "../launch/launch.ts";
import { compileExec, type ExecInput } from "../plan/compile-exec.ts";
import { parseMask } from "../plan/masks.ts";
import { readCreatedSpec, readRecord } from "../state/record.ts";
import type { Runtime } from "../state/runtime.ts";
import { ociState, statusOf } from "../state/status.ts";
import { checkTerminal, type LaunchSettings, launchTag } from "./launch-settings.ts";
import { ownerOf } from "./owner.ts";
import { seccompFilter } from "./seccomp-filter.ts";

/** Options of {@link exec}. */
export interface ExecOptions extends LaunchSettings {
  id: string;
  /** The process to run; {@link execProcess} derives one from the container's own. */
  process: Process;
  /** The config.json that the container was created from, if the caller has read it already. */
  spec?: Spec;
  /** Stay attached until the process exits. */
  wait: boolean;
  /** Allow exec in a paused container; the process starts on resume. Undefined if the caller has no such flag. */
  ignorePaused?: boolean;
  /** Sub-cgroups to join, by controller ("" for all); by default the container's own cgroup. */
  subCgroups?: ReadonlyMap<string, string>;
}

/** Differences from the container's own process. */
export interface ProcessOptions {
  args: string[];
  env?: readonly string[];
  cwd?: string;
  user?: { uid: number; gid?: number };
  additionalGids?: readonly number[];
  terminal: boolean;
  noNewPrivileges?: boolean;
  capabilities?: readonly string[];
  apparmorProfile?: string;
  selinuxLabel?: string;
}

/** Derives a process from the container's own: `options` override or extend it, everything else is inherited. */
export function execProcess(spec: Spec, options: ProcessOptions): Process {
  const own = spec.process;
  if (own === undefined)
    throw new BerthError(
      "invalid_argument",
      "process: the container's config has none, pass one with --process",
    );
  const { consoleSize: _, ...base } = own;
  const process: Process = { ...base, args: options.args, terminal: options.terminal };
  process.env = [...(own.env ?? []), ...(options.env ?? [])];
  if (options.cwd !== undefined) process.cwd = options.cwd;
  if (options.user !== undefined)
    process.user = { ...own.user, uid: options.user.uid, gid: options.user.gid ?? own.user.gid };
  if (options.additionalGids !== undefined)
    process.user = { ...process.user, additionalGids: [...options.additionalGids] };
  if (options.noNewPrivileges) process.noNewPrivileges = true;
  if (options.apparmorProfile !== undefined) process.apparmorProfile = options.apparmorProfile;
  if (options.selinuxLabel !== undefined) process.selinuxLabel = options.selinuxLabel;
  const added = options.capabilities ?? [];
  if (added.length > 0) {
    const caps = own.capabilities ?? {};
    const plus = (set: readonly string[] | undefined) => [...new Set([...(set ?? []), ...added])];
    process.capabilities = {
      ...caps,
      bounding: plus(caps.bounding),
      permitted: plus(caps.permitted),
      effective: plus(caps.effective),
      // Ambient capabilities must be inheritable too. A container without ambient capabilities gets none.
      ...(caps.ambient === undefined
        ? {}
        : { ambient: plus(caps.ambient), inheritable: plus(caps.inheritable) }),
    };
  }
  return validateProcess(process);
}

/** Formats a mask as a hexadecimal number: "0x3". */
function formatMask(mask: Uint8Array): string {
  return `0x${[...mask].reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n).toString(16)}`;
}

/** Starts the process; resolves once it has executed its program (with `wait`, once it is about to). */
export async function exec(runtime: Runtime, options: ExecOptions): Promise<Launched> {
  const { sys, root } = runtime;
  const record = readRecord(sys, root, options.id);
  const status = statusOf(sys, root, record);
  if (status === "stopped" || status === "creating") {
    throw new BerthError("failed_precondition", `cannot exec in a ${status} container`, {
      stage: "exec-state",
      hint: `container ${options.id} is ${status}`,
    });
  }
  if (status === "paused" && !options.ignorePaused) {
    throw new BerthError(
      "failed_precondition",
      options.ignorePaused === undefined
        ? `cannot exec in a paused container: ${options.id}`
        : "cannot exec in a paused container (use --ignore-paused to override)",
      {
        stage: "exec-state",
        ...(options.ignorePaused === undefined ? { hint: "let it go on first (berth unpause)" } : {}),
      },
    );
  }
  checkTerminal(options.process, options.attachment);
  const spec = options.spec ?? readCreatedSpec(sys, root, options.id);
  const input: ExecInput = {
    id: options.id,
    init: { pid: record.pid, startTime: record.startTime },
    namespaces: record.namespaces as Namespace["type"][],
    cgroup:
      options.subCgroups === undefined
        ? reachableCgroup(sys, record.cgroup, runtime.layout().unified ?? "", record.pid)
        : subCgroups(sys, record.cgroup, options.subCgroups),
    process: options.process,
    attachment: options.attachment,
    wait: options.wait,
    preserved: options.preserved,
    inherited: options.inherited.length,
    ...present({ pidfdSocket: options.pidfdSocket }),
    seccomp: await seccompFilter(runtime, spec.linux?.seccomp),
    state: ociState(record, status),
    linux: spec.linux ?? {},
    rdt: record.rdt,
    owner: ownerOf(sys),
    gate: undefined,
    noNewKeyring: options.noNewKeyring,
  };
  const initial = options.process.execCPUAffinity?.initial;
  if (initial)
    log.debug("CPU affinity of the process until it is in its cgroup", {
      mask: formatMask(parseMask(initial, "process.execCPUAffinity.initial", "CPU affinity")),
    });
  const plan = compileExec(input);
  return stage("launch", { id: options.id }, () =>
    launch(sys, {
      plan,
      name: options.id,
      ...launchTag(options),
      stdio: options.stdio,
      inherited: options.inherited,
    }),
  );
}
