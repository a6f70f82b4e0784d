/** Writes tar headers: ustar, with pax records where ustar is too small. */

/** Fields of a header. */
export interface TarFile {
  name: string;
  /** Type flag of ustar; default "0", a file. */
  type?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  size: number;
  /** Seconds since the epoch; default 0, for reproducible archives. */
  mtime?: number;
  linkname?: string;
  major?: number;
  minor?: number;
  /** Additional pax records, for instance SCHILY.xattr.*. */
  pax?: ReadonlyMap<string, Uint8Array>;
}

const BLOCK = 512;

/** The two empty blocks that end an archive. */
export const TAR_END = Buffer.alloc(2 * BLOCK);

/** Padding after `size` bytes of data. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

/** Header block(s) of an entry; followed by its data and {@link tarPadding}. */
export function tarHeader(file: TarFile): Buffer {
  const records = new Map(file.pax ?? []);
  const name = Buffer.from(file.name);
  const link = Buffer.from(file.linkname ?? "");
  if (name.length > 100) records.set("path", name);
  if (link.length > 100) records.set("linkpath", link);
  if (file.size >= 8 ** 11) records.set("size", Buffer.from(String(file.size)));
  for (const key of ["uid", "gid"] as const)
    if ((file[key] ?? 0) >= 8 ** 7) records.set(key, Buffer.from(String(file[key])));
  const main = block(file, name, link);
  if (records.size === 0) return main;
  const body = Buffer.concat([...records].map(([key, value]) => paxRecord(key, value)));
  const head = block(
    { name: "pax", type: "x", size: body.length },
    Buffer.from("././@PaxHeader"),
    Buffer.alloc(0),
  );
  return Buffer.concat([head, body, tarPadding(body.length), main]);
}

function block(file: TarFile, name: Buffer, link: Buffer): Buffer {
  const out = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number) =>
    out.write((value % 8 ** (length - 1)).toString(8).padStart(length - 1, "0"), at, "latin1");
  name.copy(out, 0, 0, 100);
  octal(file.mode ?? 0o644, 100, 8);
  octal(file.uid ?? 0, 108, 8);
  octal(file.gid ?? 0, 116, 8);
  octal(file.size, 124, 12);
  octal(file.mtime ?? 0, 136, 12);
  out.fill(0x20, 148, 156);
  out.write(file.type ?? "0", 156, "latin1");
  link.copy(out, 157, 0, 100);
  out.write("ustar\x0000", 257, "latin1");
  octal(file.major ?? 0, 329, 8);
  octal(file.minor ?? 0, 337, 8);
  let sum = 0;
  for (const byte of out) sum += byte;
  out.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return out;
}

function paxRecord(key: string, value: Uint8Array): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  // The length includes its own digits.
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}
