/** `start`: prints the address of the serving process, and starts that if needed. */
import { BerthError, SIGKILL } from "@berth/base";
import { linux, type Sys } from "@berth/sys";
import { shimCgroupFolders } from "../contract/shim-cgroup.ts";
import { expect, reach } from "./ask.ts";
import { answerOf, type Bootstrap, readBootstrap } from "./bootstrap.ts";
import type { ShimCall } from "./flags.ts";
import { readInput } from "./input.ts";
import { groupOf, type Place, placeOf } from "./place.ts";

/** How long a serving process may take to start, on a very busy machine. */
const SERVING_MS = 30_000;

/** Runs `start`; returns its output. */
export async function start(sys: Sys, call: ShimCall): Promise<Uint8Array> {
  const { namespace, id } = call;
  if (!namespace) throw new BerthError("invalid_argument", "-namespace: found none, expected one");
  if (!id) throw new BerthError("invalid_argument", "-id: found none, expected one");
  if (sys.env("SCHED_CORE"))
    throw new BerthError("unimplemented", "SCHED_CORE (core scheduling) is not supported", {
      hint: "leave sched_core out of containerd's configuration for this runtime",
    });
  const bundle = sys.cwd();
  const bootstrap = await readBootstrap(readInput(sys), id, namespace, sys.env("MAX_SHIM_VERSION"));
  const address = bootstrap.grpcAddress || call.address || sys.env("GRPC_ADDRESS") || "";
  const place = placeOf(sys, address, namespace, groupOf(sys, bundle), bootstrap.socketDir);
  const debug = bootstrap.debug ?? call.debug ?? false;
  // For `delete`, which does not get it.
  if (bootstrap.socketDir !== undefined && sys.lstat(`${bundle}/s`) === undefined)
    sys.symlink(bootstrap.socketDir, `${bundle}/s`);
  const until = sys.monotonicMs() + SERVING_MS;
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    const fd = reach(sys, place.socket);
    if (fd !== undefined) {
      try {
        await expect(sys, fd, { id, bundle, debug });
        return answer(sys, bootstrap, bundle, place);
      } catch (error) {
        // It was about to exit; the next one serves.
        if ((error as BerthError).code !== "unavailable") throw error;
      } finally {
        sys.close(fd);
      }
    }
    const outcome = await launch(sys, call, bootstrap, place, { namespace, id, address, bundle, debug });
    if (outcome === "serving") return answer(sys, bootstrap, bundle, place);
    if (sys.monotonicMs() > until)
      throw new BerthError("deadline_exceeded", `no shim serves ${place.socket} after ${SERVING_MS} ms`, {
        stage: "shim",
        path: place.socket,
        hint: `another process holds ${place.folder}/lock, and does not answer`,
      });
    await sys.sleep(pause);
  }
}

async function answer(
  sys: Sys,
  bootstrap: Bootstrap,
  bundle: string,
  { socket }: Place,
): Promise<Uint8Array> {
  // containerd up to 1.6 reads it after a restart; later ones keep their own note.
  if (bootstrap.form !== "protobuf") sys.writeFile(`${bundle}/address`, `unix://${socket}`, 0o600);
  return answerOf(bootstrap, socket);
}

/** Starts a serving process. "busy": another one holds the lock, or is about to release it. */
async function launch(
  sys: Sys,
  call: ShimCall,
  bootstrap: Bootstrap,
  place: Place,
  what: { namespace: string; id: string; address: string; bundle: string; debug: boolean },
): Promise<"serving" | "busy"> {
  const [ready, tell] = sys.pipe();
  const none = sys.open("/dev/null", linux.O_RDWR);
  const publisher = bootstrap.publishBinary || call["publish-binary"];
  const argv = [
    "containerd-shim-berth-v1",
    "-namespace",
    what.namespace,
    "-id",
    what.id,
    "-address",
    what.address,
    ...(publisher ? ["-publish-binary", publisher] : []),
    "-bundle",
    what.bundle,
    "-state",
    place.folder,
    "-socket",
    place.socket,
    ...(what.debug ? ["-debug"] : []),
    "serve",
  ];
  const env = Object.entries({
    ...sys.environment(),
    ...(bootstrap.ttrpcAddress ? { TTRPC_ADDRESS: bootstrap.ttrpcAddress } : {}),
  }).map(([name, value]) => `${name}=${value}`);
  let pid: number;
  try {
    pid = sys.spawn({
      path: sys.readlink("/proc/self/exe") ?? "/proc/self/exe",
      argv,
      env,
      fds: [none, none, none, tell],
      setsid: true,
    });
  } finally {
    sys.close(none);
    sys.close(tell);
  }
  try {
    prepare(sys, pid, bootstrap);
    const parts: Uint8Array[] = [];
    for (;;) {
      const chunk = await sys.read(ready, 65536);
      if (chunk.length === 0) break;
      parts.push(chunk);
    }
    const said = Buffer.concat(parts).toString();
    if (said === "serving" || said === "busy") return said;
    throw new BerthError("internal", said === "" ? "the shim ended before it served" : said, {
      stage: "shim",
    });
  } catch (error) {
    sys.kill(pid, SIGKILL);
    throw error;
  } finally {
    sys.close(ready);
  }
}

/** Sets the cgroup and the OOM score of the serving process. */
function prepare(sys: Sys, pid: number, { shimCgroup }: Bootstrap): void {
  if (shimCgroup !== undefined) {
    for (const folder of shimCgroupFolders(sys, shimCgroup))
      sys.writeExisting(`${folder}/cgroup.procs`, String(pid));
  }
  // One above containerd's: the shim is killed first.
  const parent = /^PPid:\s*(\d+)/m.exec(sys.readText("/proc/self/status"))?.[1];
  const score = Number(sys.readTextIfAny(`/proc/${parent}/oom_score_adj`) ?? "0");
  try {
    sys.writeExisting(`/proc/${pid}/oom_score_adj`, String(Math.min(score + 1, 1000)));
  } catch (error) {
    // Not allowed without privileges: the score stays.
    if ((error as BerthError).code !== "permission_denied") throw error;
  }
}
