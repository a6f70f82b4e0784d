/** Creates containers through the API, without a command for each. */
import type { BerthClient, Container } from "@berth/client";
import type { Spec } from "@berth/oci";
import type { Lane } from "./lane.ts";

/** Creates containers by id, with arguments for the process, from the lane's image. */
export async function containerMaker(
  on: Lane,
  client: BerthClient,
): Promise<(id: string, args: string[]) => Promise<{ container: Container; spec: Spec }>> {
  const [image] = await client.images.list();
  const resolved = await client.images.resolve(image!);
  const model = await client.containers.get(await on.must("create", "--name", "model", on.image, "true"));
  const spec = model.spec();
  await on.must("rm", "model");
  return async (id, args) => {
    const cgroupsPath = `/${on.namespace}/${id}`;
    const own = { ...spec, process: { ...spec.process!, args }, linux: { ...spec.linux, cgroupsPath } };
    // A gc root: until the container's record refers to it, the collector could remove it.
    await client.snapshots.prepare(id, resolved.chainId, { "containerd.io/gc.root": "test" });
    const container = await client.containers.insert({
      id,
      spec: own,
      snapshotter: "overlayfs",
      snapshotKey: id,
    });
    return { container, spec: own };
  };
}
