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

test("written archives can be read, in chunks of any size", () => {
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
  // No pax record here: the short name fits.
  assert.deepEqual(
    parse(bytes).map((e) => e.entry.name),
    [long],
  );
});

test("corruption is reported", () => {
  const good = archive({ name: "a", size: 3, data: Buffer.from("abc") });
  assert.throws(() => parse(good.subarray(0, 514)), /middle of an entry/);
  const bad = Buffer.from(good);
  bad[0] = 0x62;
  assert.throws(() => parse(bad), /checksum/);
  assert.throws(() => parse(archive({ name: "s", type: "S", size: 0 })), /sparse/);
  assert.throws(() => parse(archive({ name: "v", type: "V", size: 0 })), /type "V"/);
  assert.throws(() => parse(Buffer.from("this is no archive ".repeat(40))), /not a valid tar/);
});

/** A pax or GNU header with its data. */
function meta(type: string, data: Buffer): Buffer {
  return Buffer.concat([tarHeader({ name: "meta", type, size: data.length }), data, tarPadding(data.length)]);
}

function record(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

test("the total of global headers is limited, with an error", () => {
  const parser = new TarParser({ entry: () => {}, data: () => {}, end: () => {} });
  const pile = () => {
    for (let n = 0; n < 1000; n++) parser.push(meta("g", record(`comment.${n}`, "x".repeat(1000))));
  };
  assert.throws(pile, /global pax headers say more than 65536 bytes together/);
  const small = Buffer.concat([meta("g", record("comment", "made by git")), TAR_END]);
  assert.deepEqual(parse(small), []);
});

test("a name too long for any file system is refused with its length", () => {
  for (const [type, what] of [
    ["L", /header of type L has 500001 bytes, at most 4097 are taken/],
    ["K", /header of type K has 500001 bytes/],
  ] as const)
    assert.throws(() => parse(meta(type, Buffer.from(`${"a".repeat(500_000)}\0`))), what);
  const entry = archive({ name: "x", size: 0 });
  const path = Buffer.concat([meta("x", record("path", "b".repeat(5000))), entry]);
  assert.throws(() => parse(path), /the name of "b{40}\.\.\." has 5000 bytes, at most 4096 are possible/);
  const longest = "c".repeat(4096);
  assert.equal(parse(Buffer.concat([meta("L", Buffer.from(`${longest}\0`)), entry]))[0]!.entry.name, longest);
});

test("pax headers of many entries do not accumulate in memory", () => {
  const parser = new TarParser({ entry: () => {}, data: () => {}, end: () => {} });
  const header = meta("x", record("comment", "y".repeat(1_000_000)));
  parser.push(header);
  const before = process.memoryUsage().rss;
  for (let n = 0; n < 2000; n++) parser.push(header);
  const grown = process.memoryUsage().rss - before;
  assert.ok(grown < 300 << 20, `2 GB of headers took ${grown >> 20} MB`);
});
