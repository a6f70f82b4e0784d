import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { type ApplyTarget, LayerApplier, stepsOf } from "./apply.ts";
import { TarParser } from "./tar.ts";
import { TAR_END, type TarFile, tarHeader, tarPadding } from "./tar-writer.ts";

const uid = process.getuid!();
const gid = process.getgid!();

type File = Omit<TarFile, "size"> & { data?: string };

/** Applies entries to a new folder; `work` examines the result. */
function applied(
  files: File[],
  work: (root: string) => void,
  more: Partial<ApplyTarget> = {},
  before?: (root: string) => void,
): void {
  const base = fs.mkdtempSync(join(tmpdir(), "berth-apply-"));
  const root = join(base, "root");
  fs.mkdirSync(root);
  try {
    before?.(root);
    const applier = new LayerApplier({ root, parents: [], whiteouts: "delete", ...more });
    try {
      const parser = new TarParser(applier);
      for (const { data = "", ...file } of files) {
        const bytes = Buffer.from(data);
        parser.push(
          Buffer.concat([
            tarHeader({ uid, gid, ...file, size: bytes.length }),
            bytes,
            tarPadding(bytes.length),
          ]),
        );
      }
      parser.push(TAR_END);
      parser.finish();
      applier.finish();
    } finally {
      applier.close();
    }
    work(root);
  } finally {
    fs.rmSync(base, { recursive: true, force: true });
  }
}

const read = (root: string, path: string) => fs.readFileSync(join(root, path), "utf8");

test("files, folders, links, modes and times", () => {
  const files: File[] = [
    { name: "./", type: "5", mode: 0o750, mtime: 100 },
    { name: "d/", type: "5", mode: 0o700, mtime: 200 },
    {
      name: "d/f",
      data: "hello",
      mode: 0o640,
      mtime: 300,
      pax: new Map([["mtime", Buffer.from("300.123456789")]]),
    },
    { name: "d/h", type: "1", linkname: "d/f" },
    { name: "d/s", type: "2", linkname: "../nowhere" },
    { name: "implied/deep/f", data: "x" },
    { name: "p", type: "6", mode: 0o600 },
  ];
  applied(files, (root) => {
    assert.equal(read(root, "d/f"), "hello");
    assert.equal(fs.statSync(join(root, "d/f")).mode & 0o7777, 0o640);
    assert.equal(fs.statSync(join(root, "d/f"), { bigint: true }).mtimeNs, 300_123_456_789n);
    assert.equal(fs.statSync(join(root, "d/h")).ino, fs.statSync(join(root, "d/f")).ino);
    assert.equal(fs.readlinkSync(join(root, "d/s")), "../nowhere");
    assert.equal(read(root, "implied/deep/f"), "x");
    assert.equal(fs.statSync(join(root, "implied")).mode & 0o777, 0o755);
    assert.ok(fs.statSync(join(root, "p")).isFIFO());
    assert.equal(fs.statSync(join(root, "d")).mtimeMs, 200_000);
    assert.deepEqual([fs.statSync(root).mode & 0o777, fs.statSync(root).mtimeMs], [0o750, 100_000]);
  });
});

test("later entries replace earlier ones of any kind", () => {
  const files: File[] = [
    { name: "a", data: "1" },
    { name: "a", data: "2" },
    { name: "b/", type: "5", mode: 0o755 },
    { name: "b/x", data: "x" },
    { name: "b", data: "file now" },
    { name: "c", type: "2", linkname: "a" },
    { name: "c/", type: "5", mode: 0o755 },
    { name: "c/y", data: "y" },
  ];
  applied(files, (root) => {
    assert.equal(read(root, "a"), "2");
    assert.equal(read(root, "b"), "file now");
    assert.equal(read(root, "c/y"), "y");
  });
});

test("whiteouts delete an entry, and opaque folders all of theirs", () => {
  const files: File[] = [
    { name: ".wh.gone" },
    { name: "dir/new", data: "new" },
    { name: "dir/.wh..wh..opq" },
    { name: ".wh..wh.plnk", data: "aufs" },
  ];
  applied(
    files,
    (root) => {
      assert.deepEqual(fs.readdirSync(root).sort(), ["dir", "kept"]);
      assert.deepEqual(fs.readdirSync(join(root, "dir")), ["new"]);
    },
    {},
    (root) => {
      for (const name of ["gone", "kept"]) fs.writeFileSync(join(root, name), "");
      fs.mkdirSync(join(root, "dir/old"), { recursive: true });
    },
  );
});

test("no entry escapes from the folder", () => {
  for (const name of ["../x", "a/../../x", "/../x"]) assert.throws(() => stepsOf(name), /points outside/);
  assert.deepEqual(stepsOf("/a/./b/../c/"), ["a", "c"]);
  assert.throws(
    () => applied([{ name: "l", type: "1", linkname: "../../etc/passwd" }], () => {}),
    /points outside/,
  );
  const files: File[] = [
    { name: "up", type: "2", linkname: "../../.." },
    { name: "up/inside", data: "x" },
    { name: "abs", type: "2", linkname: "/sub" },
    { name: "sub/", type: "5", mode: 0o755 },
    { name: "abs/inside", data: "y" },
    // A link replaces a folder that was used before.
    { name: "swap/", type: "5", mode: 0o755 },
    { name: "swap/a", data: "1" },
    { name: "swap", type: "2", linkname: "/" },
    { name: "swap/b", data: "2" },
  ];
  applied(files, (root) => {
    assert.equal(read(root, "inside"), "x");
    assert.equal(read(root, "sub/inside"), "y");
    assert.equal(read(root, "b"), "2");
    assert.ok(!fs.existsSync(join(root, "../inside")));
    assert.ok(!fs.existsSync(join(root, "../b")));
  });
});

test("files needed from lower layers are copied, or requested", () => {
  const files: File[] = [
    { name: "etc/f", data: "x" },
    { name: "h", type: "1", linkname: "bin/tool" },
  ];
  const lower = fs.mkdtempSync(join(tmpdir(), "berth-lower-"));
  fs.mkdirSync(join(lower, "etc"), { mode: 0o711 });
  fs.mkdirSync(join(lower, "bin"));
  fs.writeFileSync(join(lower, "bin/tool"), "tool", { mode: 0o755 });
  try {
    applied(
      files,
      (root) => {
        assert.equal(fs.statSync(join(root, "etc")).mode & 0o777, 0o711);
        assert.equal(read(root, "h"), "tool");
        assert.equal(fs.statSync(join(root, "h")).ino, fs.statSync(join(root, "bin/tool")).ino);
      },
      { parents: [lower], whiteouts: "overlay" },
    );
    assert.throws(
      () => applied(files, () => {}, { parents: undefined, whiteouts: "overlay" }),
      (e: Error & { stage?: string }) => e.stage === "needs parents",
    );
  } finally {
    fs.rmSync(lower, { recursive: true, force: true });
  }
});

test("a hard link to a deeply nested file is created in the right place, also if its folders are new", () => {
  const deep = Array.from({ length: 200 }, (_, n) => `d${n}`).join("/");
  const flat = Array.from({ length: 150 }, (_, n) => ({ name: `flat${n}/f`, data: "x" }));
  applied(
    [
      { name: "place/first", data: "1" },
      { name: `${deep}/target`, data: "deep" },
      ...flat,
      { name: "place/link", type: "1", linkname: `${deep}/target` },
    ],
    (root) => {
      assert.equal(read(root, "place/link"), "deep");
      assert.equal(fs.statSync(join(root, "place/link")).ino, fs.statSync(join(root, deep, "target")).ino);
      assert.deepEqual(fs.readdirSync(join(root, "place")).sort(), ["first", "link"]);
    },
  );
});

test("a link's target that replaces a file on its path does not move the link", () => {
  // The target's path contains a file that has to become a folder; meanwhile the link's own folder must stay open.
  const deep = Array.from({ length: 200 }, (_, n) => `e${n}`).join("/");
  const below = fs.mkdtempSync(join(tmpdir(), "berth-below-"));
  try {
    fs.mkdirSync(join(below, deep), { recursive: true });
    fs.writeFileSync(join(below, deep, "target"), "below");
    applied(
      [
        { name: "place/first", data: "1" },
        { name: "e0", data: "in the way" },
        { name: "place/link", type: "1", linkname: `${deep}/target` },
      ],
      (root) => {
        assert.equal(read(root, "place/link"), "below");
        assert.deepEqual(fs.readdirSync(join(root, "place")).sort(), ["first", "link"]);
      },
      { parents: [below], whiteouts: "overlay" },
    );
  } finally {
    fs.rmSync(below, { recursive: true, force: true });
  }
});
