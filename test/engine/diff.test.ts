/** Differences between mounts, by the Diff service: any two, applied to what they were taken from. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { Diff } from "@berth/api/diff";
import { connect, type SnapshotMount } from "@berth/client";
import { linux } from "@berth/sys";
import { cannotRun, Folder, startBerthd } from "../support/daemons.ts";

const skip = cannotRun();

const sh = (script: string, cwd: string) =>
  execFileSync("/bin/sh", ["-ec", script], { cwd, encoding: "utf8" });

/** Every file with type, mode, owner, device, size, time and contents; of folders, the times follow from these. */
const listing = (folder: string) =>
  sh(
    `find . -mindepth 1 \\( -type d -printf '%P %M %U %G\\n' -o -printf '%P %M %U %G %s %T@ %l\\n' \\) | sort
     find . -type f -print0 | sort -z | xargs -0 -r sha256sum; find . -type b -o -type c | sort | xargs -r stat -c '%n %t %T'`,
    folder,
  );

test("what turns any mounts into any others is a layer, and applied it does", { skip }, async (t) => {
  const folder = new Folder();
  const daemon = await startBerthd(folder.path);
  const client = connect({ address: daemon.socket });
  t.after(async () => {
    client.close();
    await daemon.stop();
    await folder.remove();
  });
  const labels = { "containerd.io/gc.root": "now" };
  const diff = client.connection.client(Diff);
  const compare = async (left: SnapshotMount[], right: SnapshotMount[]) => {
    const request = { left, right, mediaType: "application/vnd.oci.image.layer.v1.tar", labels };
    const found = (await diff.diff(request)).diff!;
    assert.equal((await diff.diff(request)).diff!.digest, found.digest, "the same bytes again");
    return found;
  };
  const bind = (source: string): SnapshotMount => ({
    type: "bind",
    source,
    target: "",
    options: ["rbind", "rw"],
  });
  const view = async (mounts: SnapshotMount[], work: (path: string) => void) => {
    const at = join(folder.path, "view");
    mkdirSync(at, { recursive: true });
    const { type, source, options } = mounts[0]!;
    if (type === "bind") work(source);
    else {
      linux.mount(source, at, type, 0, options.filter((o) => !["rw", "ro"].includes(o)).join(","));
      try {
        work(at);
      } finally {
        await linux.umount(at);
      }
    }
  };
  const base = `mkdir -m 750 d; echo one > d/file; echo x > gone; mkdir -p deep/er; echo y > deep/er/f; ln gone link
    ln -s /etc/passwd away; mkfifo p; mknod dev c 1 3; mkdir again; echo old > again/old; chown 5:6 d/file`;
  const changes = `rm gone; echo two > d/file; rm -r deep/er; ln d/file d/linked; rm -r again; mkdir again; echo new > again/new
    rm away; mkdir away; echo z > away/inside; mknod -m 600 blk b 7 9; setcap cap_net_raw+ep d/file 2>/dev/null || true`;

  for (const snapshotter of ["native", "overlayfs"]) {
    const { raw } = client.snapshots;
    const prepare = async (key: string, parent: string) =>
      (await raw.prepare({ snapshotter, key, parent, labels })).mounts;
    const first = await prepare("first", "");
    await view(first, (at) => sh(base, at));
    await raw.commit({ snapshotter, name: "base", key: "first", labels });
    const second = await prepare("second", "base");
    await view(second, (at) => sh(changes, at));
    const below = (await raw.view({ snapshotter, key: "below", parent: "base", labels })).mounts;
    await raw.commit({ snapshotter, name: "changed", key: "second", labels });
    const seen = (await raw.view({ snapshotter, key: "seen", parent: "changed", labels })).mounts;
    let wanted = "";
    await view(seen, (at) => (wanted = listing(at)));

    // The whole of it, from nothing, and from a copy of the parent that shares no file with it.
    const empty = join(folder.path, `${snapshotter}-empty`);
    const copy = join(folder.path, `${snapshotter}-copy`);
    mkdirSync(empty);
    await view(below, (at) => execFileSync("cp", ["-a", at, copy]));
    for (const [left, at] of [
      [[], empty],
      [below, copy],
    ] as const) {
      await diff.apply({ diff: await compare([...left], seen), mounts: [bind(at)] });
      assert.equal(listing(at), wanted, `${snapshotter}, onto ${at}`);
      const [one, other] = ["d/file", "d/linked"].map((name) => statSync(join(at, name)).ino);
      assert.equal(one, other, "hard links stay");
    }
    // And back: what was left on the right.
    await diff.apply({ diff: await compare([bind(copy)], below), mounts: [bind(copy)] });
    await view(below, (at) => assert.equal(listing(copy), listing(at), `${snapshotter}, back`));
  }

  const refused: [SnapshotMount[], RegExp][] = [
    [
      [{ type: "erofs", source: "/x", target: "", options: [] }],
      /right: type is "erofs", expected overlay or bind/,
    ],
    [[bind("/tmp"), bind("/tmp")], /right: found 2 mounts, expected at most one/],
    [
      [{ type: "overlay", source: "", target: "", options: ["lowerdir=/a:/b", "redirect_dir=on"] }],
      /right: found the overlay option redirect_dir=on/,
    ],
  ];
  for (const [right, why] of refused) await assert.rejects(compare([], right), why);
});
