import assert from "node:assert/strict";
import test from "node:test";
import { containers } from "@berth/api";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import type { Labels } from "../../base/core/names.ts";
import { now, rfc3339 } from "../../base/core/time.ts";
import { Database } from "../../base/store/database.ts";
import { insertContent } from "../content/rows.ts";
import { insertImage } from "../images/rows.ts";
import { createLease, holdResource } from "../leases/rows.ts";
import { insertSnapshot } from "../snapshots/rows.ts";
import { Graph } from "./graph.ts";

const digestOf = (n: number) => `sha256:${String(n).padStart(64, "0")}`;
const HOUR = 3_600_000_000_000n;

/** A namespace as data. Numbers are indices of objects. */
interface Model {
  blobs: { labels: Label[] }[];
  snapshots: { parent: number; labels: Label[] }[];
  images: { target: number; labels: Label[] }[];
  containers: { snapshot: number; labels: Label[] }[];
  leases: { flat: boolean; expires: -1 | 0 | 1; resources: Target[] }[];
}
type Kind = "content" | "snapshots" | "images";
interface Target {
  kind: Kind;
  n: number;
}
type Label = { is: "ref" | "bref"; to: Target } | { is: "root" } | { is: "expire"; in: -1 | 1 };

const index = fc.nat(3);
const target = fc.record({ kind: fc.constantFrom<Kind>("content", "snapshots", "images"), n: index });
const label = fc.oneof(
  { weight: 4, arbitrary: fc.record({ is: fc.constantFrom("ref" as const, "bref" as const), to: target }) },
  { weight: 1, arbitrary: fc.constant({ is: "root" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      is: fc.constant("expire" as const),
      in: fc.constantFrom(-1 as const, 1 as const),
    }),
  },
);
const labels = fc.array(label, { maxLength: 3 });
const list = <T>(of: fc.Arbitrary<T>) => fc.array(of, { maxLength: 4 });
const model: fc.Arbitrary<Model> = fc.record({
  blobs: list(fc.record({ labels })),
  snapshots: list(fc.record({ parent: fc.integer({ min: -1, max: 2 }), labels })),
  images: list(fc.record({ target: index, labels })),
  containers: list(fc.record({ snapshot: index, labels })),
  leases: list(
    fc.record({
      flat: fc.boolean(),
      expires: fc.constantFrom(-1 as const, 0 as const, 1 as const),
      resources: list(target),
    }),
  ),
});

const nodeOf = ({ kind, n }: Target) =>
  kind === "content" ? `content/${digestOf(n)}` : kind === "images" ? `images/i${n}` : `snapshots/s/s${n}`;

/** A parent comes before its child. */
const parentOf = (m: Model, n: number) => {
  const { parent } = m.snapshots[n]!;
  return parent >= 0 && parent < n ? parent : undefined;
};

function textOf(given: readonly Label[], at: bigint): Labels {
  const out: Labels = {};
  for (const [i, label] of given.entries()) {
    if (label.is === "root") out["containerd.io/gc.root"] = "yes";
    else if (label.is === "expire") out["containerd.io/gc.expire"] = rfc3339(at + BigInt(label.in) * HOUR);
    else {
      const { kind, n } = label.to;
      const value = kind === "content" ? digestOf(n) : kind === "images" ? `i${n}` : `s${n}`;
      const name = kind === "snapshots" ? `snapshot.s/${i}` : `${kind === "images" ? "image" : kind}.${i}`;
      out[`containerd.io/gc.${label.is}.${name}`] = value;
    }
  }
  return out;
}

function store(m: Model, at: bigint): Database {
  const db = new Database(":memory:");
  const times = { created: "1", updated: "1" };
  for (const [n, b] of m.blobs.entries())
    insertContent(db, "n", { digest: digestOf(n), size: 1, labels: textOf(b.labels, at), ...times });
  for (const [n, s] of m.snapshots.entries()) {
    const parent = parentOf(m, n);
    insertSnapshot(
      db,
      { ns: "n", snapshotter: "s" },
      {
        name: `s${n}`,
        parent: parent === undefined ? "" : `s${parent}`,
        kind: 3,
        labels: textOf(s.labels, at),
        created: "1",
      },
    );
  }
  for (const [n, i] of m.images.entries()) {
    const target = { mediaType: "m", digest: digestOf(i.target), size: 1 };
    insertImage(db, "n", { name: `i${n}`, target, labels: textOf(i.labels, at), ...times });
  }
  for (const [n, c] of m.containers.entries()) {
    const snapshot = { snapshotter: "s", snapshotKey: `s${c.snapshot}` };
    const record = create(containers.ContainerSchema, {
      id: `c${n}`,
      labels: textOf(c.labels, at),
      ...snapshot,
    });
    const bytes = toBinary(containers.ContainerSchema, record);
    db.run("INSERT INTO containers (ns, id, record) VALUES ('n', ?, ?)", `c${n}`, bytes);
  }
  for (const [n, l] of m.leases.entries()) {
    const leaseLabels: Labels = l.flat ? { "containerd.io/gc.flat": "yes" } : {};
    if (l.expires !== 0) leaseLabels["containerd.io/gc.expire"] = rfc3339(at + BigInt(l.expires) * HOUR);
    createLease(db, "n", { id: `l${n}`, labels: leaseLabels, created: "1" });
    for (const { kind, n: id } of l.resources) {
      const type = kind === "snapshots" ? "snapshots/s" : kind;
      const name = kind === "content" ? digestOf(id) : kind === "images" ? `i${id}` : `s${id}`;
      holdResource(db, "n", `l${n}`, { type, id: name });
    }
  }
  return db;
}

/** What is kept, by applying the rules until nothing changes. */
function expected(m: Model): Set<string> {
  const kept = new Set<string>();
  const whole = new Set<string>();
  const has = (ls: readonly Label[], is: (l: Label) => boolean) => ls.some(is);
  /** The last of several expirations is the label's value. */
  const expires = (ls: readonly Label[]) => ls.findLast((l) => l.is === "expire");
  const lasting = (ls: readonly Label[]) => has(ls, (l) => l.is === "root") || expires(ls)?.in === 1;
  const objects = [
    ...m.blobs.map((b, n) => ({
      node: nodeOf({ kind: "content", n }),
      labels: b.labels,
      root: lasting(b.labels),
      base: [] as Target[],
    })),
    ...m.snapshots.map((s, n) => {
      const parent = parentOf(m, n);
      const base: Target[] = parent === undefined ? [] : [{ kind: "snapshots", n: parent }];
      return { node: nodeOf({ kind: "snapshots", n }), labels: s.labels, root: lasting(s.labels), base };
    }),
    ...m.images.map((i, n) => ({
      node: nodeOf({ kind: "images", n }),
      labels: i.labels,
      root: expires(i.labels)?.in !== -1,
      base: [{ kind: "content", n: i.target }] as Target[],
    })),
    ...m.containers.map((c, n) => ({
      node: `containers/c${n}`,
      labels: c.labels,
      root: true,
      base: [{ kind: "snapshots", n: c.snapshot }] as Target[],
    })),
  ];
  const byNode = new Map(objects.map((o) => [o.node, o]));
  for (const o of objects) if (o.root) whole.add(o.node);
  for (const l of m.leases)
    if (l.expires !== -1)
      for (const resource of l.resources) {
        if (!l.flat) whole.add(nodeOf(resource));
        else
          for (const todo = [nodeOf(resource)]; todo.length > 0; ) {
            const node = todo.pop()!;
            kept.add(node);
            todo.push(...(byNode.get(node)?.base ?? []).map(nodeOf));
          }
      }
  for (let before = -1; before !== whole.size; ) {
    before = whole.size;
    for (const o of objects) {
      const refs = o.labels.flatMap((l) => (l.is === "ref" ? [nodeOf(l.to)] : []));
      if (whole.has(o.node)) for (const node of [...refs, ...o.base.map(nodeOf)]) whole.add(node);
      if (o.labels.some((l) => l.is === "bref" && whole.has(nodeOf(l.to)))) whole.add(o.node);
    }
  }
  for (const node of whole) kept.add(node);
  return new Set([...kept].filter((node) => byNode.has(node)));
}

test("what a graph reaches is what the rules keep", () => {
  const at = now();
  fc.assert(
    fc.property(model, (m) => {
      const db = store(m, at);
      try {
        const graph = new Graph(db, "n", at);
        const existing = [
          ...m.blobs.map((_, n) => nodeOf({ kind: "content", n })),
          ...m.snapshots.map((_, n) => nodeOf({ kind: "snapshots", n })),
          ...m.images.map((_, n) => nodeOf({ kind: "images", n })),
          ...m.containers.map((_, n) => `containers/c${n}`),
        ];
        const reached = graph.reachable();
        assert.deepEqual(existing.filter((node) => reached.has(node)).sort(), [...expected(m)].sort());
        for (const node of existing) {
          const chain = graph.chainTo(node);
          assert.equal(chain !== undefined, reached.has(node), node);
          if (chain !== undefined) assert.equal(chain.at(-1), node);
        }
      } finally {
        db.close();
      }
    }),
    { numRuns: 1500 },
  );
});
