/** The tables of the metadata database. Times are nanoseconds since the epoch as text; labels are JSON. */

/** Version of the schema below; older databases are migrated to it. */
export const SCHEMA_VERSION = 4;

/** The tables, in an order in which none refers to a later one. */
export const TABLES = [
  "namespaces",
  "content",
  "ingests",
  "images",
  "snapshots",
  "remote_snapshots",
  "containers",
  "leases",
  "lease_resources",
  "activations",
  "sandboxes",
  "settings",
] as const;

// An activation's mounts are below the folder that its number names. info is a containerd.types.ActivationInfo, NULL while
// they are being made; lease is "" for none.
const ACTIVATIONS = `
CREATE TABLE activations (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  ns TEXT NOT NULL, name TEXT NOT NULL, lease TEXT NOT NULL, labels TEXT NOT NULL, info BLOB,
  created TEXT NOT NULL, updated TEXT NOT NULL,
  UNIQUE (ns, name)
) STRICT;`;

// record is a containerd.types.Sandbox.
const SANDBOXES = `
CREATE TABLE sandboxes (
  ns TEXT NOT NULL, id TEXT NOT NULL, record BLOB NOT NULL,
  PRIMARY KEY (ns, id)
) STRICT, WITHOUT ROWID;`;

// What a proxy snapshotter calls a snapshot, by its number, where that is not what berth calls it.
const REMOTE_SNAPSHOTS = `
CREATE TABLE remote_snapshots (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL
) STRICT;`;

/** What leads from the version before to the one that is the key. */
export const MIGRATIONS: ReadonlyMap<number, string> = new Map([
  [2, ACTIVATIONS],
  [3, SANDBOXES],
  [4, REMOTE_SNAPSHOTS],
]);

/** Creates the tables. Every object belongs to a namespace; blobs on disk are shared between namespaces. */
export const SCHEMA = `
CREATE TABLE namespaces (
  name TEXT PRIMARY KEY, labels TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE content (
  ns TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, labels TEXT NOT NULL,
  created TEXT NOT NULL, updated TEXT NOT NULL,
  PRIMARY KEY (ns, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX content_by_digest ON content (digest);
-- An ingest's bytes are in the file that its number names.
CREATE TABLE ingests (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  ns TEXT NOT NULL, ref TEXT NOT NULL, expected TEXT NOT NULL, total INTEGER NOT NULL,
  started TEXT NOT NULL, leased INTEGER NOT NULL,
  UNIQUE (ns, ref)
) STRICT;
CREATE TABLE images (
  ns TEXT NOT NULL, name TEXT NOT NULL, target TEXT NOT NULL, labels TEXT NOT NULL,
  created TEXT NOT NULL, updated TEXT NOT NULL,
  PRIMARY KEY (ns, name)
) STRICT, WITHOUT ROWID;
-- A snapshot's files are in the folder that its number names.
CREATE TABLE snapshots (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  ns TEXT NOT NULL, snapshotter TEXT NOT NULL, name TEXT NOT NULL, parent TEXT NOT NULL, kind INTEGER NOT NULL,
  labels TEXT NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL,
  size INTEGER, inodes INTEGER,
  UNIQUE (ns, snapshotter, name)
) STRICT;
CREATE INDEX snapshots_by_parent ON snapshots (ns, snapshotter, parent);
-- record is a containerd.services.containers.v1.Container.
CREATE TABLE containers (
  ns TEXT NOT NULL, id TEXT NOT NULL, record BLOB NOT NULL,
  PRIMARY KEY (ns, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE leases (
  ns TEXT NOT NULL, id TEXT NOT NULL, labels TEXT NOT NULL, created TEXT NOT NULL,
  PRIMARY KEY (ns, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE lease_resources (
  ns TEXT NOT NULL, lease TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL,
  PRIMARY KEY (ns, lease, type, id),
  FOREIGN KEY (ns, lease) REFERENCES leases (ns, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
${ACTIVATIONS}${SANDBOXES}${REMOTE_SNAPSHOTS}
CREATE TABLE settings (
  name TEXT PRIMARY KEY, value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`;
