/** The snapshotters of the settings: berth's own, and other programs'. */
import type { Database } from "../base/store/database.ts";
import { BtrfsDriver } from "../objects/snapshots/btrfs.ts";
import type { SnapshotDriver } from "../objects/snapshots/driver.ts";
import { NativeDriver } from "../objects/snapshots/native.ts";
import { OverlayDriver } from "../objects/snapshots/overlayfs.ts";
import type { RemoteSnapshots } from "../objects/snapshots/remote.ts";
import type { Config } from "./config/config.ts";
import { snapshotterPlugin } from "./plugins/catalog.ts";
import type { PluginRegistry } from "./plugins/registry.ts";

/** The snapshotters that the settings do not leave out; the default is first. */
export function snapshotDrivers(config: Config, plugins: PluginRegistry): SnapshotDriver[] {
  const load = (id: string, root: string, make: () => SnapshotDriver) =>
    // Another program's of the same name takes its place.
    Object.hasOwn(config.proxy_plugins, id)
      ? []
      : (plugins.load(snapshotterPlugin(id, root), make, ({ unusable }) =>
          // Clients take every other message for a failure of the daemon.
          unusable === undefined ? undefined : `${unusable}: skip plugin`,
        ) ?? []);
  const overlayfs = config["overlayfs.root"];
  const native = config["native.root"];
  const btrfs = config["btrfs.root"];
  const options = {
    mountOptions: config["overlayfs.mount_options"],
    syncRemove: config["overlayfs.sync_remove"],
    upperdirLabel: config["overlayfs.upperdir_label"],
  };
  return [
    load("overlayfs", overlayfs, () => new OverlayDriver(overlayfs, options)),
    load("native", native, () => new NativeDriver(native)),
    load("btrfs", btrfs, () => new BtrfsDriver(btrfs)),
  ].flat();
}

/** Snapshotters that are other programs. */
export async function proxySnapshotters(
  db: Database,
  config: Config,
  plugins: PluginRegistry,
): Promise<RemoteSnapshots[]> {
  const proxies = Object.entries(config.proxy_plugins);
  if (proxies.length === 0) return [];
  const { RemoteSnapshots } = await import("../objects/snapshots/remote.ts");
  return proxies.flatMap(([name, { address, exports }]) => {
    const plugin = { ...snapshotterPlugin(name, ""), exports: { ...exports, proxy: address } };
    return plugins.load(plugin, () => new RemoteSnapshots(db, name, address)) ?? [];
  });
}
