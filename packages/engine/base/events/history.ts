/**
 * The retained events: the latest ones in memory, more of them in files of the state folder, which survive a crash of
 * the daemon. Both are bounded by size. Numbers never go back: an upper bound is written to the database ahead of
 * time, in case the files are lost (a reboot empties their folder).
 */
import * as fs from "node:fs";
import { isCode, log } from "@berth/base";
import { makeFolder } from "../core/folder.ts";
import type { Database } from "../store/database.ts";
import { Segment, type StoredEvent } from "./segment.ts";

/** Limits of the history. */
export interface HistoryLimits {
  /** Bytes of events in memory. */
  memory: number;
  /** Bytes of one file, and the number of files. */
  segment: number;
  segments: number;
}

const LIMITS: HistoryLimits = { memory: 256 << 10, segment: 1 << 20, segments: 4 };
/** Memory overhead of an event beyond its bytes. */
const OVERHEAD = 128;
/** After a failed write, files are not written for this long, in milliseconds. */
const RETRY_MS = 10_000;
/** Numbers reserved ahead of time. */
const RESERVE = 1_000_000;

/** The retained events, in order. */
export class EventHistory {
  readonly #folder: string | undefined;
  readonly #limits: HistoryLimits;
  #recent: StoredEvent[] = [];
  #recentBytes = 0;
  #segments: Segment[] = [];
  #newest = 0;
  #retryAt = 0;

  /** Opens the files in `folder`, creating it; without one, events are kept in memory only. */
  constructor(folder?: string, limits: Partial<HistoryLimits> = {}) {
    this.#folder = folder;
    this.#limits = { ...LIMITS, ...limits };
    if (folder === undefined) return;
    makeFolder(folder, "folder of the event log", 0o700);
    const found = fs
      .readdirSync(folder)
      .flatMap((name) => Segment.open(folder, name) ?? [])
      .sort((a, b) => a.first - b.first);
    for (const segment of found) {
      const before = this.#segments.at(-1);
      // A gap means that the older files are from an earlier run whose later events are missing.
      if (before !== undefined && before.last + 1 !== segment.first) this.#drop();
      this.#segments.push(segment);
    }
    this.#newest = this.#segments.at(-1)?.last ?? 0;
  }

  /** Number of the last event; 0 if there never was one. */
  get newest(): number {
    return this.#newest;
  }

  /** Number of the oldest kept event; {@link newest} + 1 if there is none. */
  get oldest(): number {
    const none = this.#newest + 1;
    return Math.min(this.#segments[0]?.first ?? none, this.#recent[0]?.sequence ?? none);
  }

  /** Continues the numbering after `number`. Only before the first event. */
  startAfter(number: number): void {
    if (this.#newest === 0) this.#newest = number;
  }

  /** Appends events whose numbers follow {@link newest}. Never throws: unwritable events are kept in memory only. */
  append(events: readonly StoredEvent[]): void {
    const last = events.at(-1);
    if (last === undefined) return;
    try {
      this.#write(events);
    } catch (error) {
      log.warn("the event log could not be written: what it had is dropped", { error: String(error) });
      this.#drop();
      this.#retryAt = performance.now() + RETRY_MS;
    }
    this.#newest = last.sequence;
    for (const event of events) this.#remember(event);
  }

  #write(events: readonly StoredEvent[]): void {
    if (this.#folder === undefined || performance.now() < this.#retryAt) return;
    let segment = this.#segments.at(-1);
    if (segment === undefined || segment.size >= this.#limits.segment) {
      segment = Segment.create(this.#folder, events[0]!.sequence);
      this.#segments.push(segment);
      while (this.#segments.length > this.#limits.segments) this.#segments.shift()!.remove();
    }
    segment.append(events);
  }

  #remember(event: StoredEvent): void {
    this.#recent.push(event);
    this.#recentBytes += event.bytes.length + OVERHEAD;
    let gone = 0;
    while (this.#recentBytes > this.#limits.memory && gone < this.#recent.length - 1)
      this.#recentBytes -= this.#recent[gone++]!.bytes.length + OVERHEAD;
    if (gone > 0) this.#recent.splice(0, gone);
  }

  #drop(): void {
    for (const segment of this.#segments.splice(0))
      try {
        segment.remove();
      } catch (error) {
        log.warn("a file of the event log could not be removed", { error: String(error) });
      }
  }

  /** A batch of events after number `after`, at least one if there is one. Undefined if they are no longer kept. */
  read(after: number): readonly StoredEvent[] | undefined {
    const first = this.#recent[0]?.sequence;
    if (first !== undefined && after + 1 >= first) return this.#recent.slice(after + 1 - first);
    if (after + 1 < this.oldest) return undefined;
    return this.#segments.find(({ last }) => last > after)?.read(after) ?? [];
  }

  close(): void {
    for (const segment of this.#segments.splice(0)) segment.close();
  }
}

/** Opens the daemon's history: the files in `folder`, and the reserved numbers in `db`. */
export function openHistory(db: Database, folder: string): { history: EventHistory; reserve: () => void } {
  const history = new EventHistory(folder);
  const row = db.get("SELECT value FROM settings WHERE name = 'event-sequence'");
  let reserved = row === undefined ? 0 : Number(row.value);
  history.startAfter(reserved);
  const reserve = () => {
    if (history.newest + RESERVE / 2 < reserved) return;
    const next = history.newest + RESERVE;
    const sql = "INSERT OR REPLACE INTO settings (name, value) VALUES ('event-sequence', ?)";
    try {
      db.transaction(() => db.run(sql, String(next)));
      reserved = next;
    } catch (error) {
      // Half of the previous reservation is left: the next event retries.
      if (!isCode(error, "resource_exhausted")) throw error;
    }
  };
  reserve();
  return { history, reserve };
}
