/** exec: adds a process to a running container. */
import { BerthError, log, stage } from "@berth/base";
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

/** What `exec` is asked for. */
export interface ExecOptions extends LaunchSettings {
  id: string;
  /** The process; {@link execProcess} makes one from the container's own and what differs. */
  process: Process;
  /** The config.json the container was created from, where the caller has read it already. */
  spec?: Spec;
  /** Follow the process to its end. */
  wait: boolean;
  /** Let the process into a paused container, where it waits until that is resumed; left out by callers without that choice. */
  ignorePaused?: boolean;
  /** Cgroups below the container's, by controller ("" for all); none: the container's own. */
  subCgroups?: ReadonlyMap<string, string>;
}

/** What differs from the container's own process. */
export interface ExecWishes {
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

/** A process as the container's own is, but for `wishes`; resource limits and the rest stay. */
export function execProcess(spec: Spec, wishes: ExecWishes): Process {
  const own = spec.process;
  if (own === undefined)
    throw new BerthError(
      "invalid_argument",
      "process: the container's config has none, pass one with --process",
    );
  const { consoleSize: _, ...base } = own;
  const process: Process = { ...base, args: wishes.args, terminal: wishes.terminal };
  process.env = [...(own.env ?? []), ...(wishes.env ?? [])];
  if (wishes.cwd !== undefined) process.cwd = wishes.cwd;
  if (wishes.user !== undefined)
    process.user = { ...own.user, uid: wishes.user.uid, gid: wishes.user.gid ?? own.user.gid };
  if (wishes.additionalGids !== undefined)
    process.user = { ...process.user, additionalGids: [...wishes.additionalGids] };
  if (wishes.noNewPrivileges) process.noNewPrivileges = true;
  if (wishes.apparmorProfile !== undefined) process.apparmorProfile = wishes.apparmorProfile;
  if (wishes.selinuxLabel !== undefined) process.selinuxLabel = wishes.selinuxLabel;
  const added = wishes.capabilities ?? [];
  if (added.length > 0) {
    const caps = own.capabilities ?? {};
    const plus = (set: readonly string[] | undefined) => [...new Set([...(set ?? []), ...added])];
    process.capabilities = {
      ...caps,
      bounding: plus(caps.bounding),
      permitted: plus(caps.permitted),
      effective: plus(caps.effective),
      // Ambient ones must be inheritable too; a container that hands none on gets none.
      ...(caps.ambient === undefined
        ? {}
        : { ambient: plus(caps.ambient), inheritable: plus(caps.inheritable) }),
    };
  }
  return validateProcess(process);
}

/** A mask as one hexadecimal number: "0x3". */
function maskText(mask: Uint8Array): string {
  return `0x${[...mask].reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n).toString(16)}`;
}

/** Starts the process; resolves once it executes (or, with `wait`, is about to). */
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
    ...(options.pidfdSocket === undefined ? {} : { pidfdSocket: options.pidfdSocket }),
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
      mask: maskText(parseMask(initial, "process.execCPUAffinity.initial", "CPU affinity")),
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
