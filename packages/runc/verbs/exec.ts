import { BerthError, present, SIGKILL } from "@berth/base";
import { type Process, parseJson, validateProcess } from "@berth/oci";
import { exec, execProcess, parseSubCgroups, readCreatedSpec, readRecord } from "@berth/runtime";
import { defineCommand } from "../command.ts";
import {
  absolute,
  forwardSignals,
  launchFlags,
  launchSettings,
  waitInForeground,
  writePidFile,
} from "../launching.ts";

/** "uid[:gid]", digits only: resolving a name would trust the image (CVE-2026-30892). */
export function parseUser(text: string): { uid: number; gid?: number } {
  const match = /^(\d+)(?::(\d+))?$/.exec(text);
  const [uid, gid] = [Number(match?.[1]), match?.[2] === undefined ? undefined : Number(match[2])];
  if (!match || uid > 0xfffffffe || (gid ?? 0) > 0xfffffffe) {
    throw new BerthError(
      "invalid_argument",
      `--user: found ${JSON.stringify(text)}, expected UID or UID:GID as numbers`,
      { stage: "flags" },
    );
  }
  return gid === undefined ? { uid } : { uid, gid };
}

export const command = defineCommand({
  usage: "exec [options] ID COMMAND [ARG...] | exec --process FILE ID",
  help: "run a further process in a container",
  flags: {
    ...launchFlags,
    cwd: { type: "string", help: "working folder in the container" },
    env: { type: "list", short: "e", help: "set a variable, NAME=value" },
    tty: { type: "bool", short: "t", help: "give the process a terminal" },
    user: { type: "string", short: "u", help: "UID[:GID] to run as" },
    "additional-gids": { type: "list", short: "g", help: "a further group" },
    process: { type: "string", short: "p", help: "file with the process as JSON" },
    detach: { type: "bool", short: "d", help: "do not wait for the process" },
    "process-label": { type: "string", help: "SELinux label of the process" },
    apparmor: { type: "string", help: "AppArmor profile of the process" },
    "no-new-privs": { type: "bool", help: "the process may gain no privileges" },
    cap: { type: "list", short: "c", help: "add a capability" },
    cgroup: { type: "list", help: "[CONTROLLER[,CONTROLLER...]:]PATH of a cgroup below the container's" },
    "ignore-paused": { type: "bool", help: "let the process into a paused container" },
  },
  ordered: true,
  args: [1, 4096],
  async run({ runtime }, flags, [id, ...argv]) {
    const { sys } = runtime;
    readRecord(sys, runtime.root, id!);
    const spec = readCreatedSpec(sys, runtime.root, id!);
    let process: Process;
    if (flags.process !== undefined) {
      const path = absolute(sys, flags.process);
      process = validateProcess(parseJson(sys.readText(path), path));
    } else {
      if (argv.length === 0)
        throw new BerthError(
          "invalid_argument",
          "exec: found no command, expected one behind the container's id (or --process)",
          { stage: "flags" },
        );
      process = execProcess(spec, {
        args: argv,
        terminal: flags.tty ?? false,
        ...present({ env: flags.env, cwd: flags.cwd }),
        ...(flags.user === undefined ? {} : { user: parseUser(flags.user) }),
        ...(flags["additional-gids"] === undefined
          ? {}
          : { additionalGids: flags["additional-gids"].map((g) => parseUser(g).uid) }),
        ...(flags["no-new-privs"] ? { noNewPrivileges: true } : {}),
        ...present({ capabilities: flags.cap, apparmorProfile: flags.apparmor }),
        ...(flags["process-label"] === undefined ? {} : { selinuxLabel: flags["process-label"] }),
      });
    }
    const detach = flags.detach ?? false;
    const settings = launchSettings(sys, flags, process, detach);
    const signals = detach ? undefined : forwardSignals(sys);
    try {
      const launched = await exec(runtime, {
        ...settings,
        id: id!,
        process,
        spec,
        wait: !detach,
        ignorePaused: flags["ignore-paused"] ?? false,
        ...(flags.cgroup === undefined ? {} : { subCgroups: parseSubCgroups(flags.cgroup) }),
      });
      try {
        writePidFile(sys, flags["pid-file"], launched.pid);
      } catch (error) {
        // A failed exec must leave no process.
        sys.kill(launched.pid, SIGKILL);
        await launched.exit();
        throw error;
      }
      return signals === undefined ? await launched.exit() : await waitInForeground(launched, signals);
    } finally {
      settings.close();
    }
  },
});
