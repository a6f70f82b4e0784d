/** The door of `packages/client`: see {@link connect}. */
export { type PackedAny, PROCESS_TYPE, pack, packJson, SPEC_TYPE, typeOf, unpack } from "./any.ts";
export { BerthClient, type ClientOptions, connect, DEFAULT_ADDRESS, socketPath } from "./client.ts";
export { Container, Containers, type NewContainer, RUNTIME, type StopWishes } from "./containers.ts";
export { type BlobInfo, Content } from "./content.ts";
export { type Examination, examine, type HostCheck, type LeakFinding } from "./doctor.ts";
export { type DaemonEvent, Events, type FollowOptions, type NumberedEvent } from "./events.ts";
export type { ExitStatus } from "./exit.ts";
export { type Image, Images, type PullOptions, type ResolvedImage } from "./images.ts";
export { LEASE_HEADER, type Lease, Leases } from "./leases.ts";
export { Namespaces } from "./namespaces.ts";
export { type Operation, type OperationStage, Operations } from "./operations.ts";
export { type SnapshotInfo, type SnapshotMount, Snapshots } from "./snapshots.ts";
export { Fifos, type FifoWishes } from "./stdio.ts";
export { type ProcessState, type ProcessStatus, Task, type TaskIO, TaskProcess, Tasks } from "./tasks.ts";
export { dateOf, nanosecondsOf } from "./time.ts";
export type { OnProgress, Progress } from "./transfer.ts";
export { type Usage, usageOf } from "./usage.ts";
