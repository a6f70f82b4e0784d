import assert from "node:assert/strict";
import test from "node:test";
import { type TarEntry, TarParser } from "./tar.ts";
import { TAR_END, type TarFile, tarHeader, tarPadding } from "./tar-writer.ts";

function archive(...files: (TarFile & { data?: Buffer })[]): Buffer {
  return Buffer.concat([
    ...files.flatMap((f) => [tarHeader(f), f.data ?? Buffer.alloc(0), tarPadding(f.data?.length ?? 0)]),
    TAR_END,
  ]);
}

function parse(bytes: Buffer, cut = bytes.length): { entry: TarEntry; data: Buffer }[] {
  const out: { entry: TarEntry; data: Buffer }[] = [];
  let ends = 0;
  const parser = new TarParser({
    entry: (entry) => out.push({ entry, data: Buffer.alloc(0) }),
    data: (chunk) => {
      const last = out.at(-1)!;
      last.data = Buffer.concat([last.data, chunk]);
    },
    end: () => ends++,
  });
  for (let at = 0; at < bytes.length; at += cut) parser.push(bytes.subarray(at, at + cut));
  parser.finish();
  assert.equal(ends, out.length);
  return out;
}

const long = `${"d".repeat(90)}/${"e".repeat(90)}/file`;

test("what is written is read, in pieces of any size", () => {
  const bytes = archive(
    { name: "dir/", type: "5", mode: 0o755, size: 0 },
    { name: "dir/a", size: 5, data: Buffer.from("hello"), uid: 1, gid: 2, mode: 0o4755, mtime: 7 },
    {
      name: long,
      size: 0,
      pax: new Map([
        ["SCHILY.xattr.user.x", Buffer.from([0, 255, 10])],
        ["mtime", Buffer.from("3.5")],
      ]),
    },
    { name: "l", type: "2", linkname: `/${"t".repeat(150)}`, size: 0 },
    { name: "null", type: "3", major: 1, minor: 3, size: 0, uid: 3_000_000 },
  );
  for (const cut of [bytes.length, 512, 100, 1]) {
    const [dir, a, deep, link, dev] = parse(bytes, cut);
    assert.equal(dir!.entry.type, "directory");
    assert.equal(a!.data.toString(), "hello");
    assert.deepEqual(
      [a!.entry.uid, a!.entry.gid, a!.entry.mode, a!.entry.mtime],
      [1, 2, 0o4755, 7_000_000_000n],
    );
    assert.equal(deep!.entry.name, long);
    assert.equal(deep!.entry.mtime, 3_500_000_000n);
    assert.deepEqual([...deep!.entry.xattrs!.get("user.x")!], [0, 255, 10]);
    assert.equal(link!.entry.linkname.length, 151);
    assert.deepEqual(
      [dev!.entry.type, dev!.entry.major, dev!.entry.minor, dev!.entry.uid],
      ["char", 1, 3, 3_000_000],
    );
  }
});

test("GNU long names", () => {
  const bytes = archive(
    { name: "././@LongLink", type: "L", size: long.length + 1, data: Buffer.from(`${long}\0`) },
    { name: long.slice(0, 100), size: 0 },
  );
  // The writer adds nothing here: the short name fits.
  assert.deepEqual(
    parse(bytes).map((e) => e.entry.name),
    [long],
  );
});

test("damage is named", () => {
  const good = archive({ name: "a", size: 3, data: Buffer.from("abc") });
  assert.throws(() => parse(good.subarray(0, 514)), /middle of an entry/);
  const bad = Buffer.from(good);
  bad[0] = 0x62;
  assert.throws(() => parse(bad), /checksum/);
  assert.throws(() => parse(archive({ name: "s", type: "S", size: 0 })), /sparse/);
  assert.throws(() => parse(archive({ name: "v", type: "V", size: 0 })), /type "V"/);
  assert.throws(() => parse(Buffer.from("this is no archive ".repeat(40))), /not a valid tar/);
});
