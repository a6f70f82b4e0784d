/** The difference of any two mounts: their folders are walked, merged where they are an overlay's. */
import { makeChanges } from "../layers/changes.ts";
import { TreeFolder } from "../layers/merged.ts";
import { type MountFolders, stackOf } from "./folders.ts";

/** Yields the layer that turns `left` into `right`; undefined is an empty tree. */
export async function* compareFolders(
  left: MountFolders | undefined,
  right: MountFolders | undefined,
  newest: bigint | undefined,
): AsyncGenerator<Uint8Array> {
  const before = treeOf(left);
  try {
    const after = treeOf(right);
    try {
      yield* makeChanges(before, after, newest);
    } finally {
      after.close();
    }
  } finally {
    before.close();
  }
}

function treeOf(folders: MountFolders | undefined): TreeFolder {
  return TreeFolder.root(folders === undefined ? [] : stackOf(folders), folders?.overlay);
}
