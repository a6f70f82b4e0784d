/** The daemon: opens the stores, recovers from a crash, and serves. */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { eventTypes, timestamp } from "@berth/api";
import { isCode, log, present } from "@berth/base";
import { type RunningServer, serve } from "@berth/grpc";
import type { TaskShim } from "@berth/shim";
import { linux, realSys } from "@berth/sys";
import { makeFolder, restrict } from "../base/core/folder.ts";
import { checkOpenFiles } from "../base/core/open-files.ts";
import { EventBus } from "../base/events/event-bus.ts";
import { openHistory } from "../base/events/history.ts";
import { Recorder } from "../base/operations/recorder.ts";
import { Watchdog } from "../base/operations/watchdog.ts";
import { Backup } from "../base/store/backup.ts";
import { Database } from "../base/store/database.ts";
import { lockDirectory } from "../base/store/locks.ts";
import { ContainerStore } from "../objects/containers/container-store.ts";
import { logSize } from "../objects/containers/log-file.ts";
import { ContentStore } from "../objects/content/content-store.ts";
import { Collector, type Sweeper } from "../objects/gc/collector.ts";
import { ImageStore } from "../objects/images/image-store.ts";
import { deleteActivation, listActivations } from "../objects/mounts/rows.ts";
import { SandboxStore } from "../objects/sandboxes/sandbox-store.ts";
import { SnapshotStore } from "../objects/snapshots/snapshot-store.ts";
import { removeUnclaimed } from "../objects/snapshots/unclaimed.ts";
import { LayerPool } from "../work/layers/pool.ts";
import { StreamProcessors } from "../work/layers/processors.ts";
import { Lifecycle } from "../work/lifecycle/lifecycle.ts";
import { ActivationFolders } from "../work/mounts/activation-folders.ts";
import { Checkpoints } from "../work/tasks/checkpoints.ts";
import { describeRuntime } from "../work/tasks/runtime.ts";
import { TaskManager } from "../work/tasks/task-manager.ts";
import { recoverTransfers } from "../work/transfer/recover.ts";
import { StreamManager } from "../work/transfer/stream-manager.ts";
import type { Config } from "./config/config.ts";
import { tcpOptions } from "./config/tcp.ts";
import { CallMetrics } from "./metrics/call-metrics.ts";
import { CONTENT_TYPE } from "./metrics/exposition.ts";
import { serveMetrics } from "./metrics/listener.ts";
import { Metrics } from "./metrics/metrics.ts";
import { coreParts, optionalParts, servicePlugin } from "./plugins/catalog.ts";
import { PluginRegistry } from "./plugins/registry.ts";
import { containersService } from "./services/containers.ts";
import { contentService } from "./services/content.ts";
import { diffService } from "./services/diff.ts";
import { doctorService } from "./services/doctor.ts";
import { eventsService, numberedEventsService } from "./services/events.ts";
import { garbageService } from "./services/garbage.ts";
import { healthService } from "./services/health.ts";
import { imagesService } from "./services/images.ts";
import { introspectionService } from "./services/introspection.ts";
import { leasesService } from "./services/leases.ts";
import { mountsService } from "./services/mounts.ts";
import { namespacesService } from "./services/namespaces.ts";
import { operationsService } from "./services/operations.ts";
import { sandboxControllerService } from "./services/sandbox-controller.ts";
import { sandboxStoreService } from "./services/sandbox-store.ts";
import { snapshotsService } from "./services/snapshots.ts";
import { streamingService } from "./services/streaming.ts";
import { supervisorService } from "./services/supervisor.ts";
import { tasksService } from "./services/tasks.ts";
import { transferService } from "./services/transfer.ts";
import { versionService } from "./services/version.ts";
import { serveShims } from "./shim-socket.ts";
import { proxySnapshotters, snapshotDrivers } from "./snapshotters.ts";
import { makeSandboxes, makeShims } from "./task-shims.ts";
import { exportTraces } from "./traces.ts";

/** Directory modes: root only; and one that everyone may traverse, but not list. */
const PRIVATE = 0o700;
const PASSABLE = 0o711;

/** A running daemon. */
export interface Daemon {
  readonly config: Config;
  /** Stops serving and closes everything; containers keep running. */
  close(): Promise<void>;
}

/** Parts provided by the embedder. */
export interface DaemonParts {
  /** Creates the Task service over the state directory. Default: keepers, and the shims of other runtimes beside them. */
  makeShim?: (config: Config) => TaskShim | Promise<TaskShim>;
}

/** Starts the daemon; resolves when it serves requests. */
export async function startDaemon(config: Config, parts: DaemonParts = {}): Promise<Daemon> {
  const undo: (() => unknown)[] = [];
  const close = async () => {
    for (const action of undo.reverse()) await action();
    undo.length = 0;
  };
  try {
    const server = await open(config, parts, undo);
    undo.push(() => server.close());
    return { config, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function open(config: Config, parts: DaemonParts, undo: (() => unknown)[]): Promise<RunningServer> {
  const { root, state } = config;
  // Containers' data (variables, files, images) is private. Clients allowed to use the socket must traverse the state
  // directory; so must the root of a container with a user namespace, whose bundle another's shim prepares there.
  process.umask(0o022);
  checkOpenFiles();
  makeFolder(root, "root directory", root === state ? PASSABLE : PRIVATE);
  makeFolder(state, "state directory", PASSABLE);
  for (const name of ["content", "snapshots", "logs", "checkpoints"]) restrict(join(root, name), PRIVATE);
  makeFolder(dirname(config["grpc.address"]), "the socket's directory");
  undo.push(lockDirectory(root, "root"));
  if (state !== root) undo.push(lockDirectory(state, "state"));

  const plugins = new PluginRegistry(config.disabled_plugins, config.required_plugins);
  for (const plugin of coreParts(root, config["content.sharing"])) plugins.need(plugin);

  const recorder = new Recorder();
  recorder.start();
  undo.push(() => recorder.stop());
  const stopTraces = await exportTraces();
  if (stopTraces !== undefined) undo.push(stopTraces);
  const watchdog = new Watchdog(recorder);
  watchdog.start();
  undo.push(() => watchdog.close());

  const database = join(root, "metadata.db");
  const db = Database.open(database);
  undo.push(() => db.close());
  const backup = new Backup(db, database);
  undo.push(() => backup.close());
  const { history, reserve } = openHistory(db, join(state, "events"));
  const events = new EventBus(history, reserve);
  undo.push(() => events.close());
  const content = new ContentStore(db, events, join(root, "content"), config["content.sharing"]);
  const remotes = await proxySnapshotters(db, config, plugins);
  undo.push(() => {
    for (const remote of remotes) remote.close();
  });
  const snapshots = new SnapshotStore(db, events, snapshotDrivers(config, plugins), remotes);
  const images = new ImageStore(db, events);
  const containers = new ContainerStore(db, events);
  const sandboxes = new SandboxStore(db);
  const pool = new LayerPool(config["limits.unpackers"] || undefined);
  undo.push(() => pool.close());
  const processors = new StreamProcessors(config.stream_processors, join(root, "processed"));
  const folders = new ActivationFolders(join(state, "mounts"));
  const activations = once(async () => {
    const { Activations } = await import("../work/mounts/activations.ts");
    return new Activations(db, folders, join(root, "snapshots"));
  });
  const collector = new Collector(db, sweeperOf({ db, content, images, snapshots, folders }), {
    pauseThreshold: config["gc.pause_threshold"],
    deletionThreshold: config["gc.deletion_threshold"],
    scheduleDelay: config["gc.schedule_delay"],
  });
  undo.push(() => collector.close());
  const streams = new StreamManager();

  unlessFull("transfers of the last daemon", () => recoverTransfers(db, snapshots));
  unlessFull("snapshots without a container", () => removeUnclaimed(db, snapshots, containers));
  unlessFull("blobs without a record", () => content.cleanup());
  unlessFull("snapshots without a record", () => snapshots.cleanup());
  if (listActivations(db).length > 0 || folders.numbers().length > 0) {
    const { recoverActivations } = await import("../work/mounts/recover.ts");
    await recoverActivations(db, folders);
  }
  const controller = once(async () => {
    const shims = await makeSandboxes(config, ({ namespace, id, exitStatus, exitedAt }) =>
      events.emit(namespace, "/sandboxes/exit", eventTypes.SandboxExitSchema, {
        sandboxId: id,
        exitStatus,
        exitedAt: timestamp(exitedAt),
      }),
    );
    undo.push(() => shims.close());
    await shims.recover();
    return shims;
  });
  if (existsSync(join(state, "sandboxes"))) await controller();
  const shim = await (parts.makeShim ?? makeShims)(config);
  const tasks = new TaskManager(shim, {
    db,
    containers,
    snapshots,
    activations,
    sandboxes,
    controller,
    events,
    logs: join(root, "logs"),
    checkpoints: new Checkpoints(content, pool, join(root, "checkpoints")),
    builtIn: config["runtimes.built_in"],
    rotation: { bytes: config["logs.max_size"], files: config["logs.max_files"] },
  });
  undo.push(() => tasks.close());
  await tasks.recover();
  const lifecycle = new Lifecycle({ db, containers, events, tasks });
  undo.push(() => lifecycle.close());
  lifecycle.recover();
  const { monitor, supervisor } = lifecycle;

  const calls = new CallMetrics();
  const metrics = new Metrics({ db, containers, shim, events, recorder, monitor, calls });
  metrics.start();
  undo.push(() => metrics.close());

  const all = [
    versionService(),
    introspectionService({
      plugins: () => plugins.list(),
      uuid: daemonId(db),
      runtimeInfo: (runtime, options) => describeRuntime(runtime, options, config["runtimes.built_in"]),
    }),
    namespacesService(db, events),
    contentService(content, collector),
    imagesService(images, collector),
    snapshotsService(snapshots, collector),
    diffService({ content, pool, processors }),
    mountsService(db, activations),
    containersService(containers, (ns, id) => tasks.removeRecord(ns, id), collector),
    tasksService(tasks),
    sandboxStoreService(sandboxes),
    sandboxControllerService(sandboxes, controller, events),
    supervisorService(supervisor, collector),
    leasesService(db, collector),
    garbageService({
      db,
      collector,
      snapshots,
      containers,
      logSize: (ns, record) => logSize(join(root, "logs"), ns, record),
    }),
    eventsService(events),
    numberedEventsService(events),
    streamingService(streams),
    transferService({
      downloads: config["limits.downloads"],
      insecureRegistries: config["registry.insecure"],
      verifiers: {
        binDir: config["verifiers.bin_dir"],
        max: config["verifiers.max"],
        timeout: config["verifiers.timeout"],
      },
      hostFolders: config["registry.config_path"].split(":").filter(Boolean),
      db,
      content,
      images,
      snapshots,
      pool,
      streams,
      collector,
      processors,
    }),
    operationsService(recorder),
    doctorService({
      sys: realSys,
      db,
      history,
      root,
      state,
      removeTask: (ns, id) => supervisor.forget(ns, id),
    }),
  ];
  for (const plugin of optionalParts()) plugins.add(plugin);
  const served = all.filter((service) => {
    const plugin = servicePlugin(service);
    return plugin === undefined || plugins.add(plugin);
  });
  const health = healthService(served.map((s) => s.desc.typeName));
  plugins.add(servicePlugin(health)!);
  plugins.check();
  if (config["metrics.address"] !== "")
    undo.push(await serveMetrics(config["metrics.address"], () => metrics.text()));
  const debug = config["debug.address"];
  if (debug !== undefined) {
    const { serveDebug } = await import("./debug.ts");
    undo.push(
      await serveDebug(debug, {
        operations: () =>
          recorder.inFlight().map(({ stage }) => ({ name: stage.name, ms: performance.now() - stage.begin })),
      }),
    );
  }
  undo.push(await serveShims(config, (envelope) => tasks.forward(envelope)));
  const tcp = tcpOptions(config);
  const server = await serve({
    ...present({ tcp }),
    path: config["grpc.address"],
    uid: config["grpc.uid"],
    gid: config["grpc.gid"],
    maxMessageBytes: config["grpc.max_message_bytes"],
    maxConnections: config["grpc.max_connections"],
    peerOf: (fd) => linux.peerPid(fd),
    calls,
    beforeAnswer: () => db.settled(),
    pages: { "/metrics": { type: CONTENT_TYPE, text: () => metrics.text() } },
    services: [...served, health],
  });
  monitor.start();
  backup.start();
  collector.start(config["gc.startup_delay"]);
  if (!db.writable)
    log.error(
      "the file system is full: what is there is served, and nothing can be made until there is room",
      {
        root,
      },
    );
  log.info("berthd is serving", {
    address: config["grpc.address"],
    ...present({ tcp: tcp && `${tcp.host}:${server.tcpPort}` }),
    root,
    state,
  });
  return server;
}

/** The result of `make`, which is called by the first who needs it. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

/** The daemon's identity, created once per root directory. */
function daemonId(db: Database): string {
  const found = db.get("SELECT value FROM settings WHERE name = 'uuid'");
  if (found !== undefined) return found.value as string;
  const uuid = randomUUID();
  unlessFull("the daemon's identity", () =>
    db.transaction(() => db.run("INSERT INTO settings (name, value) VALUES ('uuid', ?)", uuid)),
  );
  return uuid;
}

/**
 * Runs startup work that may be skipped: on a full disk it is left to the next start, and this daemon serves what it
 * has.
 */
function unlessFull(what: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!isCode(error, "resource_exhausted")) throw error;
    log.warn(`left as they are until there is room: ${what}`, { error: String(error) });
  }
}

function sweeperOf(stores: {
  db: Database;
  content: ContentStore;
  images: ImageStore;
  snapshots: SnapshotStore;
  folders: ActivationFolders;
}): Sweeper {
  const { db, content, images, snapshots, folders } = stores;
  return {
    removeActivation: (number) => {
      deleteActivation(db, number);
      db.afterSync(() => folders.retire(number));
    },
    removeContent: (ns, digest) => content.removeRow(ns, digest),
    removeImage: (ns, name) => images.delete(ns, name),
    removeIngest: (ns, ref) => content.removeIngestRow(ns, ref),
    removeSnapshot: (ns, snapshotter, name) => snapshots.removeRow({ ns, snapshotter }, name),
    ingestInUse: (ns, ref, started) => content.ingestInUse(ns, ref, started),
    settled: async () => {
      await Promise.all([snapshots.settled(), folders.settled()]);
    },
  };
}
