/**
 * A node of a namespace's graph: "content/<digest>", "snapshots/<snapshotter>/<name>", "ingests/<ref>", "mounts/<name>",
 * "images/<name>", "containers/<id>", "sandboxes/<id>" or
 * "leases/<id>".
 */
export type NodeName = string;

export const contentNode = (digest: string): NodeName => `content/${digest}`;
export const snapshotNode = (snapshotter: string, name: string): NodeName =>
  `snapshots/${snapshotter}/${name}`;
export const ingestNode = (ref: string): NodeName => `ingests/${ref}`;
export const mountNode = (name: string): NodeName => `mounts/${name}`;
export const imageNode = (name: string): NodeName => `images/${name}`;
export const containerNode = (id: string): NodeName => `containers/${id}`;
export const sandboxNode = (id: string): NodeName => `sandboxes/${id}`;
export const leaseNode = (id: string): NodeName => `leases/${id}`;

/** What a node is: the first part of its name. */
export const nodeKind = (node: NodeName): string => node.slice(0, node.indexOf("/"));
