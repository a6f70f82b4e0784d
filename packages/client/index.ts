/** The door of `packages/client`: see {@link connect}. */
export { PROCESS_TYPE, pack, packJson, SPEC_TYPE, typeNameOf, unpack } from "@berth/api/any";
export { LEASE_HEADER } from "@berth/api/headers";
export { CONTAINERD_LABEL, LABEL } from "@berth/api/labels";
export { parseRestartPolicy, type RestartPolicy, restartPolicyText } from "@berth/api/restartPolicy";
export { dateOf, nanoseconds } from "@berth/api/time";
export { versionsIn } from "@berth/api/wireVersion";
export { DEFAULT_ADDRESS, socketPath } from "./address.ts";
export { BerthClient, type ClientOptions, connect } from "./client.ts";
export { attachedIO } from "./containers/attached-io.ts";
export { Container, type LogOptions, type StopOptions } from "./containers/container.ts";
export { Containers, type NewRecord, RUNTIME } from "./containers/containers.ts";
export { type CreateContainer, userLabels } from "./containers/create.ts";
export { logPathFor, logRoot } from "./containers/log-path.ts";
export { availableCapabilities } from "./containers/machine.ts";
export { isContainerName } from "./containers/names.ts";
export { layersOf, readRootfsFile } from "./containers/rootfs-files.ts";
export type { OnOutput, RunContainer, RunResult } from "./containers/run.ts";
export { type BlobInfo, Content } from "./content.ts";
export { type Examination, examine, type HostCheck, type LeakFinding } from "./doctor.ts";
export { type DaemonEvent, Events, type FollowOptions, type NumberedEvent } from "./events.ts";
export type { ExitStatus } from "./exit.ts";
export { type Amount, type DiskUsage, type Explanation, Garbage, type ObjectName } from "./garbage.ts";
export {
  type Image,
  Images,
  type PlatformOptions,
  type PullOptions,
  type PullPolicy,
  type ResolvedImage,
} from "./images.ts";
export { type Lease, Leases } from "./leases.ts";
export type { LogEntry } from "./logs/cri.ts";
export { type ReadLogOptions, readLog } from "./logs/read-log.ts";
export { Namespaces } from "./namespaces.ts";
export { type Operation, type OperationStage, Operations } from "./operations.ts";
export { type SnapshotInfo, type SnapshotMount, Snapshots } from "./snapshots.ts";
export { type FifoOptions, Fifos } from "./stdio.ts";
export { type ProcessState, type ProcessStatus, Task, type TaskIO, TaskProcess, Tasks } from "./tasks.ts";
export type { OnProgress, Progress } from "./transfer.ts";
export { type Usage, usageOf } from "./usage.ts";
