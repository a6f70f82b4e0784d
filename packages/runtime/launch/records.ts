/** Records sent by berth-init; the layout is defined in native/init/report.h. */

/** A record; the meaning of `a`, `b` and `detail` depends on its kind. */
export type InitRecord = {
  kind: "pid" | "failed" | "warning" | "mark" | "ready" | "exit";
  a: number;
  b: number;
  /** CLOCK_MONOTONIC in milliseconds. */
  timeMs: number;
  detail: Uint8Array;
};

const KINDS: readonly (InitRecord["kind"] | undefined)[] = [
  undefined,
  "pid",
  "failed",
  "warning",
  "mark",
  "ready",
  "exit",
];
const HEADER = 24;
const MAX_DETAIL = 1024;

/** Parses a byte stream into records; the bytes of an incomplete record are kept for the next call. */
export class RecordParser {
  #rest: Uint8Array = new Uint8Array(0);

  push(bytes: Uint8Array): InitRecord[] {
    const all = new Uint8Array(this.#rest.length + bytes.length);
    all.set(this.#rest);
    all.set(bytes, this.#rest.length);
    const out: InitRecord[] = [];
    const view = new DataView(all.buffer);
    let at = 0;
    while (all.length - at >= HEADER) {
      const length = view.getUint32(at + 4, true);
      const kind = KINDS[view.getUint32(at, true)];
      if (kind === undefined || length > MAX_DETAIL) break;
      if (all.length - at < HEADER + length) break;
      out.push({
        kind,
        a: view.getInt32(at + 8, true),
        b: view.getInt32(at + 12, true),
        timeMs: Number(view.getBigInt64(at + 16, true)) / 1e6,
        detail: all.slice(at + HEADER, at + HEADER + length),
      });
      at += HEADER + length;
    }
    this.#rest = all.slice(at);
    return out;
  }
}
