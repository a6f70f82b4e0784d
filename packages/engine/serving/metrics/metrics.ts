/**
 * The daemon's metrics. Between scrapes it only counts events and finished stages; containers are examined during a
 * scrape.
 */
import { WIRE_VERSION } from "@berth/api/wireVersion";
import { COMMIT, type StageEvent, subscribeStages, VERSION } from "@berth/base";
import type { TaskShim } from "@berth/shim";
import type { EventBus } from "../../base/events/event-bus.ts";
import type { Recorder } from "../../base/operations/recorder.ts";
import type { Database } from "../../base/store/database.ts";
import type { ContainerStore } from "../../objects/containers/container-store.ts";
import type { RestartMonitor } from "../../work/lifecycle/restart-monitor.ts";
import type { CallMetrics } from "./call-metrics.ts";
import { containerMetrics } from "./container-metrics.ts";
import { Counter, Histogram, type Sample, samplesText } from "./exposition.ts";

/** Sources read during a scrape. */
export interface MetricsParts {
  db: Database;
  containers: ContainerStore;
  shim: TaskShim;
  events: EventBus;
  recorder: Recorder;
  monitor: RestartMonitor;
  calls: CallMetrics;
}

/** Counts from {@link start} to {@link close}. */
export class Metrics {
  readonly #parts: MetricsParts;
  readonly #operations = new Histogram("berth_operation_seconds", "Time that operations took.");
  readonly #stages = new Histogram("berth_stage_seconds", "Time that the stages of operations took.");
  readonly #failures = new Counter("berth_operation_failures_total", "Operations that ended with an error.");
  readonly #events = new Counter("berth_events_total", "Events that were published, by topic.");
  readonly #stops: (() => void)[] = [];

  constructor(parts: MetricsParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#stops.push(
      subscribeStages((event) => this.#onStage(event)),
      this.#parts.events.listen(({ envelope }) => this.#events.add({ topic: envelope.topic })),
    );
  }

  close(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }

  #onStage({ kind, stage }: StageEvent): void {
    if (kind !== "end" || stage.end === undefined) return;
    const { name, parent } = stage;
    const seconds = (stage.end - stage.begin) / 1000;
    if (parent === undefined) {
      this.#operations.add(name, () => ({ operation: name }), seconds);
      if (stage.error !== undefined) this.#failures.add({ operation: name });
      return;
    }
    let root = parent;
    while (root.parent !== undefined) root = root.parent;
    const operation = root.name;
    this.#stages.add(`${operation}\n${name}`, () => ({ operation, stage: name }), seconds);
  }

  /** The exposition in Prometheus' text format. */
  async text(): Promise<string> {
    const { db, shim, events, recorder, monitor, calls } = this.#parts;
    const namespaces = db.all("SELECT name FROM namespaces").map(({ name }) => name as string);
    const gauge = (name: string, help: string, value: number) =>
      samplesText(name, help, "gauge", [{ labels: {}, value }]);
    const version = { version: VERSION, revision: COMMIT };
    const memory = process.memoryUsage();
    return [
      samplesText("berth_build_info", "The daemon's version.", "gauge", [{ labels: version, value: 1 }]),
      samplesText("berth_containers", "Containers by namespace and state.", "gauge", this.#containers()),
      gauge("berth_containers_restarting", "Containers that wait for their next start.", monitor.waiting),
      gauge("berth_operations_in_flight", "Operations that are at work.", recorder.inFlight().length),
      samplesText("berth_event_sequence", "Number of the last event.", "counter", [
        { labels: {}, value: events.sequence },
      ]),
      this.#events.text(),
      this.#operations.text(),
      this.#stages.text(),
      this.#failures.text(),
      samplesText("containerd_build_info_total", "The version of containerd's API.", "counter", [
        { labels: { revision: COMMIT, version: WIRE_VERSION }, value: 1 },
      ]),
      calls.text(),
      await containerMetrics(shim, namespaces),
      gauge("process_resident_memory_bytes", "Resident memory of the daemon.", memory.rss),
      gauge("process_start_time_seconds", "When the daemon was started.", performance.timeOrigin / 1000),
    ].join("");
  }

  #containers(): Sample[] {
    const { db, containers, shim } = this.#parts;
    const counts = new Map<string, Sample>();
    const count = (namespace: string, state: string) => {
      const key = `${namespace} ${state}`;
      const found = counts.get(key) ?? { labels: { namespace, state }, value: 0 };
      found.value++;
      counts.set(key, found);
    };
    for (const { name: ns } of db.all("SELECT name FROM namespaces") as { name: string }[]) {
      const tasks = new Map(shim.list(ns).map((task) => [task.id, task.status]));
      // Ids suffice; records are not decoded.
      for (const id of containers.ids(ns)) count(ns, tasks.get(id) ?? "none");
    }
    return [...counts.values()];
  }
}
