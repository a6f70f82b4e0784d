import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { linux } from "@berth/sys";
import { LayerApplier } from "./apply.ts";
import { makeChanges } from "./changes.ts";
import { TreeFolder } from "./merged.ts";
import { TarParser } from "./tar.ts";

function folder(t: TestContext): string {
  const path = fs.mkdtempSync(join(tmpdir(), "berth-changes-"));
  t.after(() => fs.rmSync(path, { recursive: true, force: true }));
  return path;
}

type Tree = readonly string[];
const PREFIX = "user.overlay.";

/** The layer that turns one tree into the other; a tree of several folders is an overlay. */
async function layerOf(left: Tree, right: Tree): Promise<Buffer> {
  const [before, after] = [left, right].map((tree) =>
    TreeFolder.root(tree, tree.length > 1 ? PREFIX : undefined),
  ) as [TreeFolder, TreeFolder];
  try {
    const chunks: Uint8Array[] = [];
    for await (const chunk of makeChanges(before, after)) chunks.push(chunk);
    return Buffer.concat(chunks);
  } finally {
    before.close();
    after.close();
  }
}

function apply(root: string, layer: Buffer): void {
  const applier = new LayerApplier({ root, parents: [], whiteouts: "delete" });
  try {
    const parser = new TarParser(applier);
    parser.push(layer);
    parser.finish();
    applier.finish();
  } finally {
    applier.close();
  }
}

function names(layer: Buffer): string[] {
  const out: string[] = [];
  const parser = new TarParser({
    entry: ({ name, type }) => out.push(`${type} ${name}`),
    data() {},
    end() {},
  });
  parser.push(layer);
  parser.finish();
  return out;
}

/** What a layer can carry of a tree; names of the same file share a group. */
function describe(root: string): unknown[] {
  const groups = new Map<bigint, string>();
  const visit = (path: string): unknown[] =>
    fs
      .readdirSync(join(root, path))
      .sort()
      .flatMap((name) => {
        const at = join(path, name);
        const full = join(root, at);
        const stat = fs.lstatSync(full, { bigint: true });
        const { mode, uid, gid, rdev, ino } = stat;
        const attributes = linux
          .llistxattr(full)
          .filter((a) => a.startsWith("user."))
          .map((a) => [a, Buffer.from(linux.lgetxattr(full, a)!).toString("hex")]);
        if (stat.isDirectory()) return [[at, mode, uid, gid, attributes], ...visit(at)];
        if (!groups.has(ino)) groups.set(ino, at);
        const content = stat.isSymbolicLink()
          ? fs.readlinkSync(full)
          : stat.isFile()
            ? createHash("sha256").update(fs.readFileSync(full)).digest("hex")
            : "";
        return [[at, mode, uid, gid, rdev, stat.mtimeNs, attributes, content, groups.get(ino)]];
      });
  return visit("");
}

/** Numbers from a seed. */
function random(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

/** Whether a path below the root is of folders only: a test must not write through a link. */
function isFolder(root: string, path: string): boolean {
  const steps = path.split("/").map((_, i, all) => join(root, ...all.slice(0, i + 1)));
  return steps.every((step) => fs.lstatSync(step, { throwIfNoEntry: false })?.isDirectory());
}

/** Changes a tree at random, with times of whole seconds or not. */
function change(root: string, pick: (limit: number) => number, times: number): void {
  const places = ["", "a", "b", "a/c", "b/d", "a/c/e"];
  for (let i = 0; i < times; i++) {
    const place = places[pick(places.length)]!;
    const path = join(root, place, "abcdefgh"[pick(8)]!);
    if (!isFolder(root, place)) continue;
    const there = fs.lstatSync(path, { throwIfNoEntry: false });
    const removed = () => fs.rmSync(path, { recursive: true, force: true });
    switch (pick(9)) {
      case 0:
        removed();
        break;
      case 1:
      case 2:
        removed();
        fs.mkdirSync(path, { mode: 0o700 | pick(0o100) });
        break;
      case 3:
        removed();
        fs.symlinkSync(["/etc/passwd", "..", "a", "nowhere"][pick(4)]!, path);
        break;
      case 4: {
        const other = places[pick(places.length)]!;
        const from = join(root, other, "abcdefgh"[pick(8)]!);
        if (!isFolder(root, other)) break;
        if (!fs.lstatSync(from, { throwIfNoEntry: false })?.isFile() || there !== undefined) break;
        fs.linkSync(from, path);
        break;
      }
      case 5:
        if (there?.isFile()) fs.chmodSync(path, 0o600 | pick(0o100));
        break;
      case 6:
        if (there?.isFile() || there?.isDirectory())
          linux.lsetxattr(path, "user.test", Buffer.from(String(pick(3))));
        break;
      default: {
        if (there?.isDirectory()) break;
        // Written in place, as cp -a keeps hard links.
        if (there !== undefined && !there.isFile()) removed();
        fs.writeFileSync(path, "x".repeat(pick(4)) + pick(3));
        const time = 1_700_000_000n * 1_000_000_000n + BigInt(i + pick(2)) * (pick(2) ? 1n : 1_000_000_000n);
        linux.utimensat(linux.AT_FDCWD, path, time, time, 0);
      }
    }
  }
}

test("a layer turns one tree into another, and is the same each time", async (t) => {
  for (let seed = 1; seed <= 150; seed++) {
    const base = fs.mkdtempSync(join(folder(t), "case-"));
    const [left, right] = [join(base, "left"), join(base, "right")];
    fs.mkdirSync(left);
    const pick = random(seed);
    change(left, pick, 40);
    execFileSync("cp", ["-a", left, right]);
    change(right, pick, 20);
    const layer = await layerOf([left], [right]);
    assert.ok(layer.equals(await layerOf([left], [right])), `seed ${seed}: two layers differ`);
    apply(left, layer);
    assert.deepEqual(describe(left), describe(right), `seed ${seed}`);
    const full = await layerOf([], [right]);
    const empty = join(base, "empty");
    fs.mkdirSync(empty);
    apply(empty, full);
    assert.deepEqual(describe(empty), describe(right), `seed ${seed}, from nothing`);
    assert.deepEqual(names(await layerOf([right], [right])), [], "nothing has changed");
  }
});

test("what is gone becomes a whiteout, below the folder that it was in", async (t) => {
  const root = folder(t);
  const [left, right] = [join(root, "left"), join(root, "right")];
  fs.mkdirSync(join(left, "a/b/c"), { recursive: true });
  fs.writeFileSync(join(left, "a/b/c/file"), "x");
  fs.writeFileSync(join(left, "a/kept"), "x");
  execFileSync("cp", ["-a", left, right]);
  fs.rmSync(join(right, "a/b/c"), { recursive: true });
  assert.deepEqual(names(await layerOf([left], [right])), [
    "directory a/",
    "directory a/b/",
    "file a/b/.wh.c",
  ]);
});

test("a new name of an unchanged file brings its other names along", async (t) => {
  const root = folder(t);
  const [left, right] = [join(root, "left"), join(root, "right")];
  fs.mkdirSync(left);
  fs.writeFileSync(join(left, "one"), "x");
  fs.linkSync(join(left, "one"), join(left, "two"));
  execFileSync("cp", ["-a", left, right]);
  fs.linkSync(join(right, "one"), join(right, "three"));
  // The contents come with the name that is new.
  const layer = names(await layerOf([left], [right]));
  assert.deepEqual(layer, ["file three", "hardlink one", "hardlink two"]);
});

test("contents are compared where times are whole seconds, only then", async (t) => {
  const root = folder(t);
  const [left, right] = [join(root, "left"), join(root, "right")];
  for (const [side, text] of [
    [left, "one"],
    [right, "two"],
  ] as const) {
    fs.mkdirSync(side);
    for (const [name, time] of [
      ["coarse", 5_000_000_000n],
      ["fine", 5_000_000_001n],
    ] as const) {
      fs.writeFileSync(join(side, name), text);
      linux.utimensat(linux.AT_FDCWD, join(side, name), time, time, 0);
    }
  }
  assert.deepEqual(names(await layerOf([left], [right])), ["file coarse"]);
});

test("folders of an overlay are merged: whiteouts, opaque folders, files over folders", async (t) => {
  const root = folder(t);
  const [top, middle, low] = [join(root, "top"), join(root, "middle"), join(root, "low")];
  for (const each of [top, middle, low]) fs.mkdirSync(join(each, "d"), { recursive: true });
  const whiteout = (path: string) => linux.mknodat(linux.AT_FDCWD, path, linux.S_IFCHR, linux.makedev(0, 0));
  const write = (...paths: string[]) => {
    for (const path of paths) {
      fs.mkdirSync(join(root, path, ".."), { recursive: true });
      fs.writeFileSync(join(root, path), path);
    }
  };
  write("low/d/hidden", "low/d/shown", "low/opaque/below", "low/mixed/below", "low/gone", "low/back/old");
  write("middle/opaque/above", "top/opaque/first", "middle/mixed", "top/mixed/new", "top/back/new");
  linux.lsetxattr(join(middle, "opaque"), `${PREFIX}opaque`, Buffer.from("y"));
  whiteout(join(top, "d/hidden"));
  whiteout(join(middle, "gone"));
  whiteout(join(middle, "back"));
  const layer = await layerOf([], [top, middle, low]);
  assert.deepEqual(names(layer), [
    "directory back/",
    "file back/new",
    "directory d/",
    "file d/shown",
    "directory mixed/",
    "file mixed/new",
    "directory opaque/",
    "file opaque/above",
    "file opaque/first",
  ]);
  linux.lsetxattr(join(top, "d"), `${PREFIX}redirect`, Buffer.from("/elsewhere"));
  await assert.rejects(
    layerOf([], [top, middle, low]),
    /^BerthError: d: found user.overlay.redirect=\/elsewhere/,
  );
});

test("a name that is not UTF-8 is refused, not left out", async (t) => {
  const root = folder(t);
  fs.writeFileSync(Buffer.concat([Buffer.from(`${root}/x`), Buffer.from([0xff])]), "");
  await assert.rejects(layerOf([], [root]), /found a name that is not UTF-8 \(78ff\)/);
});
