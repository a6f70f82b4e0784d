/**
 * Turns host FIFOs in an image into pipes. CRIU dumps a FIFO as an external file, but on restore opens it by a path in the
 * container, while it takes pipes from its caller. So the FIFO's entry in files.img and the type of its descriptors in
 * fdinfo-*.img are rewritten. Either runtime can restore the result.
 *
 * An image is two magic numbers and entries, each a length and a message (CRIU's images/*.proto: file_entry, fifo_entry,
 * reg_file_entry, pipe_entry, fdinfo_entry).
 */
import { BerthError } from "@berth/base";
import { MessageReader, MessageWriter } from "@berth/protobuf";
import { linux, type Sys } from "@berth/sys";

const HEADER = 8;
const TYPE = { pipe: 2, fifo: 3 };
/** Fields of file_entry. */
const FILE = { type: 1, id: 2, reg: 3, fifo: 17, pipe: 18 };
const STATUS_FLAGS = 3 | linux.O_NONBLOCK | linux.O_APPEND;
const EXTERNAL = /^file\[[0-9a-f]+:[0-9a-f]+\]$/;

function entriesOf(image: Uint8Array, path: string): Uint8Array[] {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const out: Uint8Array[] = [];
  for (let at = HEADER; at < image.length; ) {
    const size = at + 4 <= image.length ? view.getUint32(at, true) : image.length;
    if (size > image.length - at - 4)
      throw new BerthError("data_loss", `${path}: an entry is cut off at byte ${at}`, {
        stage: "criu",
        path,
      });
    out.push(image.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  return out;
}

function imageOf(header: Uint8Array, entries: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(HEADER + entries.reduce((sum, entry) => sum + 4 + entry.length, 0));
  out.set(header.subarray(0, HEADER));
  let at = HEADER;
  for (const entry of entries) {
    new DataView(out.buffer).setUint32(at, entry.length, true);
    out.set(entry, at + 4);
    at += 4 + entry.length;
  }
  return out;
}

/** Rewrites files.img: external FIFOs become pipes. Also returns the pipe ids (inode numbers) by the FIFOs' file ids. */
export function pipesForFifos(
  image: Uint8Array,
  path: string,
): { image: Uint8Array; pipes: Map<number, number> } {
  const entries = entriesOf(image, path);
  const files = entries.map((entry) => new MessageReader(entry));
  const regular = new Map(files.map((file) => [file.number(FILE.id), file.message(FILE.reg)]));
  const pipes = new Map<number, number>();
  const changed = entries.map((entry, i) => {
    const file = files[i]!;
    const fifo = file.message(FILE.fifo);
    const source = fifo && regular.get(fifo.number(3));
    if (file.number(FILE.type) !== TYPE.fifo || !fifo || !EXTERNAL.test(source?.text(6) ?? "")) return entry;
    const id = file.number(FILE.id);
    const pipe = fifo.number(2);
    pipes.set(id, pipe);
    const body = new MessageWriter()
      .number(1, id)
      .number(2, pipe)
      .number(3, source!.number(2) & STATUS_FLAGS)
      .bytes(4, source!.bytes(5));
    return new MessageWriter()
      .number(FILE.type, TYPE.pipe)
      .number(FILE.id, id)
      .message(FILE.pipe, body)
      .finish();
  });
  return { image: imageOf(image, changed), pipes };
}

/** Rewrites fdinfo-*.img: sets the type of those files' descriptors. */
export function pipeDescriptors(
  image: Uint8Array,
  path: string,
  pipes: ReadonlyMap<number, number>,
): Uint8Array {
  const entries = entriesOf(image, path).map((entry) => {
    const info = new MessageReader(entry);
    if (!pipes.has(info.number(1))) return entry;
    const out = new MessageWriter().number(1, info.number(1)).number(2, info.number(2)).number(3, TYPE.pipe);
    return out.number(4, info.number(4)).bytes(5, info.bytes(5)).finish();
  });
  return imageOf(image, entries);
}

/** Rewrites a new image in place; returns the inode numbers of the FIFOs that became pipes. */
export function replaceFifos(sys: Sys, folder: string): Set<number> {
  const path = `${folder}/files.img`;
  if (sys.stat(path) === undefined) return new Set();
  const { image, pipes } = pipesForFifos(sys.readFile(path), path);
  if (pipes.size === 0) return new Set();
  for (const name of sys.list(folder) ?? []) {
    if (!/^fdinfo-\d+\.img$/.test(name)) continue;
    const file = `${folder}/${name}`;
    sys.replaceFile(file, pipeDescriptors(sys.readFile(file), file, pipes));
  }
  sys.replaceFile(path, image);
  return new Set(pipes.values());
}
