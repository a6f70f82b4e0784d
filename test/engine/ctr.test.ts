/**
 * Debian's own ctr against berthd and against Debian's containerd: the same commands must print the same.
 *
 * Expected differences are replaced first: times, pids, addresses. berth's additions (its labels) are removed.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { after } from "node:test";
import {
  cannotRun,
  type Daemon,
  Folder,
  type Ran,
  run,
  startBerthd,
  startContainerd,
  startRegistry,
} from "../support/daemons.ts";
import { busyboxLayer, dockerArchive, makeImage, ociArchive, tar } from "../support/images.ts";

const skip = cannotRun("/usr/bin/ctr", "/usr/bin/containerd", "/usr/bin/docker-registry", "/usr/bin/script");
const NAME = "docker.io/library/bb:1";

/** Output with run-specific values replaced. */
function plain(text: string): string {
  return (
    text
      .split("\n")
      .map((line) => line.trimEnd().replace(/\s+/g, " "))
      .map((line) => line.replace(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^\s"]*/g, "TIME"))
      .map((line) =>
        line.replace(/elapsed: [\d.]+\s?m?s/g, "elapsed: TIME").replace(/[\d.]+ (?:[KM]iB|B)\/s/g, "SPEED"),
      )
      // Labels are maps: their order is meaningless.
      .map((line) => line.replace(/\S+=\S+,\S+/g, (labels) => labels.split(",").sort().join(",")))
      .join("\n")
      .trim()
  );
}

/** Sorted lines: listings come in no particular order. */
function lines(text: string): string[] {
  return plain(text).split("\n").sort();
}

test("ctr prints the same", { skip: skip ?? false }, async (t) => {
  const folder = new Folder();
  const registry = await startRegistry(folder.path);
  const ours = await startBerthd(folder.path);
  const theirs = await startContainerd(folder.path);
  after(async () => {
    for (const daemon of [ours, theirs]) {
      for (const id of ["d1", "t1"]) {
        await daemon.ctr("tasks", "kill", "-s", "KILL", id);
        await daemon.ctr("tasks", "rm", "-f", id);
      }
      await daemon.stop();
    }
    await registry.stop();
    await folder.remove();
  });

  /** Runs a command on both daemons; both must exit the same way. */
  const both = async (...args: string[]): Promise<{ our: Ran; their: Ran }> => {
    const [our, their] = await Promise.all([ours.ctr(...args), theirs.ctr(...args)]);
    assert.equal(our.code, their.code, `ctr ${args.join(" ")}:\n${our.stderr}\n--\n${their.stderr}`);
    return { our, their };
  };
  /** Runs a command on both; both must print the same. */
  const same = async (...args: string[]): Promise<Ran> => {
    const { our, their } = await both(...args);
    assert.deepEqual(lines(our.stdout), lines(their.stdout), `ctr ${args.join(" ")}`);
    assert.deepEqual(errors(our), errors(their), `ctr ${args.join(" ")}`);
    return our;
  };
  const errors = (ran: Ran) => lines(ran.stderr).map((line) => line.replace(/time="[^"]*"/, "time"));

  await t.test("version and plugins", async () => {
    const { our } = await both("version");
    assert.match(our.stdout, /Server:\n {2}Version: {2}v\d+\.\d+\.\d+\+berth\./);
    const kinds = (ran: Ran) =>
      new Set(ran.stdout.split("\n").flatMap((line) => (/\bok\b/.test(line) ? [line.split(/\s+/)[0]] : [])));
    const { our: mine, their } = await both("plugins", "ls");
    for (const kind of ["io.containerd.content.v1", "io.containerd.snapshotter.v1", "io.containerd.grpc.v1"])
      assert.ok(kinds(mine).has(kind) && kinds(their).has(kind), kind);
    assert.match(mine.stdout, /snapshotter\.v1\s+overlayfs\s+linux\/\w+\s+ok/);
  });

  await t.test("namespaces", async () => {
    await same("namespaces", "create", "blue", "a=b");
    await same("namespaces", "create", "blue");
    await same("namespaces", "label", "blue", "c=d");
    await same("namespaces", "label", "blue", "a=");
    await same("namespaces", "ls");
    await same("namespaces", "rm", "blue");
    await same("namespaces", "rm", "blue");
    await same("namespaces", "create", "not valid");
  });

  const base = busyboxLayer();
  const top = tar(
    { name: "etc/", type: "5", mode: 0o755 },
    { name: "etc/.wh.group" },
    { name: "etc/hello", data: "hi\n" },
  );
  const image = makeImage([base, top]);
  const oci = join(folder.path, "oci.tar");
  const docker = join(folder.path, "docker.tar");
  writeFileSync(oci, ociArchive(image, NAME));
  writeFileSync(docker, dockerArchive(image, [base, top], "bb:docker"));

  await t.test("images: import, ls, tag, label, check, rm", async () => {
    await same("images", "import", oci);
    await same("images", "import", docker);
    await same("images", "ls");
    await same("images", "ls", "-q", "name~=docker$");
    await same("images", "ls", 'name=="nothing"');
    await both("images", "ls", "name=");
    await same("images", "tag", NAME, "docker.io/library/bb:2");
    await same("images", "tag", NAME, "docker.io/library/bb:2");
    await same("images", "tag", "none", "x");
    await same("images", "label", NAME, "a=b");
    await same("images", "check");
    await same("images", "rm", "docker.io/library/bb:2", "docker.io/library/bb:docker");
    await same("images", "rm", "nothing");
    await same("images", "ls");
  });

  await t.test("content, snapshots, leases", async () => {
    const ages = (text: string) =>
      lines(text.replace(/\t?(Less than a second|\d+ seconds?|About a minute)\t?/g, " AGE "));
    // Content of the removed images is collected a moment later.
    await new Promise((resolve) => setTimeout(resolve, 700));
    const { our, their } = await both("content", "ls");
    assert.deepEqual(ages(our.stdout), ages(their.stdout));
    const digest = our.stdout.split("\n")[1]!.split(/\s/)[0]!;
    await same("content", "get", digest);
    await same("content", "label", digest, "x=y");
    await same("content", "get", `sha256:${"0".repeat(64)}`);
    await same("content", "active");
    await same("snapshots", "ls");
    const parent = lines((await same("snapshots", "ls")).stdout)
      .find((line) => / sha256:.* Committed/.test(line))!
      .split(" ")[0]!;
    await both("snapshots", "prepare", "work", parent);
    await same("snapshots", "info", "nothing");
    await same("snapshots", "ls");
    await same("snapshots", "rm", parent);
    await same("snapshots", "commit", "work2", "work");
    await same("snapshots", "ls");
    await same("snapshots", "rm", "work2");
    await same("snapshots", "rm", "work2");
    await same("leases", "create", "--id", "l1", "a=b");
    const leases = await both("leases", "ls", "-q");
    assert.equal(leases.our.stdout, leases.their.stdout);
    await same("leases", "rm", "l1");
    await same("leases", "ls", "-q");
  });

  await t.test("images pull --plain-http", async () => {
    const name = `${registry.host}/test/bb:1`;
    assert.equal((await ours.ctr("images", "tag", NAME, name)).code, 0);
    const pushed = await ours.ctr("images", "push", "--plain-http", name);
    assert.equal(pushed.code, 0, pushed.stderr);
    await ours.ctr("images", "rm", name);
    await both("images", "pull", "--plain-http", name);
    await same("images", "ls");
    const missing = await both("images", "pull", "--plain-http", `${registry.host}/test/none:1`);
    assert.notEqual(missing.our.code, 0);
    await same("images", "rm", name);
  });

  await t.test("containers", async () => {
    await same("containers", "create", NAME, "c1", "/bin/true");
    await same("containers", "ls");
    await same("containers", "ls", "-q", "id==c1");
    await same("containers", "label", "c1", "k=v");
    const clean = (ran: Ran) => {
      const info = JSON.parse(ran.stdout);
      for (const key of ["CreatedAt", "UpdatedAt"]) delete info[key];
      return info;
    };
    const { our, their } = await both("containers", "info", "c1");
    assert.deepEqual(clean(our), clean(their));
    await same("containers", "create", NAME, "c1", "/bin/true");
    await same("containers", "rm", "c1");
    await same("containers", "rm", "c1");
    await same("containers", "info", "c1");
    await same("containers", "ls");
  });

  // The two daemons have different processes with the same names: run one after the other.
  const inTurn = async (...args: string[]): Promise<{ our: Ran; their: Ran }> => {
    const our = await ours.ctr(...args);
    const their = await theirs.ctr(...args);
    assert.equal(our.code, their.code, `ctr ${args.join(" ")}:\n${our.stderr}\n--\n${their.stderr}`);
    return { our, their };
  };
  const sameInTurn = async (...args: string[]): Promise<Ran> => {
    const { our, their } = await inTurn(...args);
    assert.deepEqual(lines(our.stdout), lines(their.stdout), `ctr ${args.join(" ")}`);
    assert.deepEqual(errors(our), errors(their), `ctr ${args.join(" ")}`);
    return our;
  };

  await t.test("run --rm, exit codes, environment, mounts", async () => {
    assert.equal((await sameInTurn("run", "--rm", NAME, "t1", "/bin/echo", "hello")).stdout, "hello\n");
    await sameInTurn("run", "--rm", NAME, "t1", "/bin/cat", "/etc/hello");
    await sameInTurn("run", "--rm", NAME, "t1", "/bin/sh", "-c", "echo out; echo err >&2; exit 42");
    await sameInTurn(
      "run",
      "--rm",
      "--env",
      "A=B",
      "--cwd",
      "/tmp",
      NAME,
      "t1",
      "/bin/sh",
      "-c",
      "echo $A $PWD",
    );
    await sameInTurn(
      "run",
      "--rm",
      "--mount",
      `type=bind,src=${folder.path},dst=/mnt,options=rbind:ro`,
      NAME,
      "t1",
      "/bin/sh",
      "-c",
      "ls /mnt | head -n 1; echo x > /mnt/y",
    );
    const mapped = ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"];
    const reopen = "cat /proc/self/uid_map; stat -c %u /bin/sh; echo again > /dev/stdout";
    // runc 1.1 cannot mount its root below a folder that others may not enter, such as this test's.
    const { stdout, stderr } = await ours.ctr("run", "--rm", ...mapped, NAME, "t1", "/bin/sh", "-c", reopen);
    assert.match(stdout, /0 +100000 +65536\n0\nagain\n/, stderr);
    const { our } = await inTurn("run", "--rm", NAME, "t1", "/bin/nothing");
    assert.match(our.stderr, /no such file or directory|not found/i);
    await sameInTurn("containers", "ls");
    await sameInTurn("snapshots", "ls");
  });

  await t.test("run -t: a terminal of the right size", async () => {
    const inTerminal = (daemon: Daemon) => {
      // ctr sets the size after the task has started: the container waits for it.
      const script = "sleep 0.3; /bin/busybox tty; /bin/busybox stty size; exit 3";
      const command = `stty rows 33 cols 99; ctr -a ${daemon.socket} run --rm -t ${NAME} t1 /bin/sh -c '${script}'`;
      return run("/usr/bin/script", ["-qec", command, "/dev/null"]);
    };
    const our = await inTerminal(ours);
    assert.equal(our.code, 3, our.stdout);
    assert.match(our.stdout, /\/dev\/pts\/0\s+33 99/);
    const their = await inTerminal(theirs);
    assert.equal(our.stdout, their.stdout);
  });

  await t.test("snapshots diff and usage", async () => {
    const script = "echo a > /etc/new; rm /etc/hello; ln /etc/new /etc/new2; ln -s x /etc/y; mkdir /tmp/p";
    await sameInTurn("run", NAME, "t1", "/bin/sh", "-c", script);
    await same("snapshots", "usage");
    const list = async (daemon: Daemon) => {
      const pipe = `ctr -a ${daemon.socket} snapshots diff t1 | gzip -d | tar tvf - --full-time`;
      // tar pads the time column if a fraction of a second ends in zeros.
      return (await run("/bin/sh", ["-c", pipe])).stdout.replace(/\d{4}-\d\d-\d\d \S+ +/g, "TIME ");
    };
    const ourList = await list(ours);
    assert.match(ourList, /etc\/\.wh\.hello/);
    assert.equal(ourList, await list(theirs));
    await inTurn("tasks", "rm", "t1");
    await inTurn("containers", "rm", "t1");
  });

  await t.test("run -d, tasks ls, exec, ps, metrics, pause, resume, kill, rm", async () => {
    await sameInTurn("run", "-d", NAME, "d1", "/bin/sleep", "300");
    const noPid = (text: string) => lines(text.replace(/\b\d{2,}\b/g, "PID"));
    const samePids = async (...args: string[]) => {
      const { our, their } = await inTurn(...args);
      assert.deepEqual(noPid(our.stdout), noPid(their.stdout), `ctr ${args.join(" ")}`);
    };
    await samePids("tasks", "ls");
    await sameInTurn("tasks", "exec", "--exec-id", "e1", "d1", "/bin/echo", "from exec");
    await sameInTurn("tasks", "exec", "--exec-id", "e2", "d1", "/bin/sh", "-c", "exit 7");
    await samePids("tasks", "ps", "d1");
    const names = (ran: Ran) => ran.stdout.split("\n").map((line) => line.split(/\s+/)[0]);
    const metrics = await inTurn("tasks", "metrics", "d1");
    assert.deepEqual(names(metrics.our), names(metrics.their));
    // runc 1.1 cannot pause on every machine with hybrid cgroups; berth can.
    for (const [verb, state] of [
      ["pause", "PAUSED"],
      ["resume", "RUNNING"],
    ] as const) {
      const { code, stderr } = await ours.ctr("tasks", verb, "d1");
      assert.equal(code, 0, stderr);
      assert.match((await ours.ctr("tasks", "ls")).stdout, new RegExp(`d1\\s+\\d+\\s+${state}`));
    }
    await inTurn("containers", "rm", "d1");
    await sameInTurn("run", "-d", NAME, "d1", "/bin/true");
    await sameInTurn("tasks", "kill", "-s", "KILL", "d1");
    await new Promise((resolve) => setTimeout(resolve, 300));
    await samePids("tasks", "ls");
    await inTurn("tasks", "rm", "d1");
    await sameInTurn("tasks", "ls");
    await sameInTurn("tasks", "kill", "d1");
    await sameInTurn("containers", "rm", "d1");
    await sameInTurn("containers", "ls");
  });

  await t.test("events", async () => {
    const watch = async (daemon: Daemon) => {
      const child = spawn("/usr/bin/ctr", ["-a", daemon.socket, "events"], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let text = "";
      child.stdout.on("data", (chunk) => (text += chunk));
      await new Promise((resolve) => setTimeout(resolve, 300));
      await daemon.ctr("run", "--rm", NAME, "t1", "/bin/true");
      await new Promise((resolve) => setTimeout(resolve, 500));
      child.kill();
      await once(child, "exit");
      return text
        .split("\n")
        .flatMap((line) => / default (\/\S+)/.exec(line)?.[1] ?? [])
        .sort();
    };
    assert.deepEqual(await watch(ours), await watch(theirs));
  });
});
