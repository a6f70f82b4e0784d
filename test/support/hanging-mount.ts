/** A FUSE file system that never answers a request: its callers block in the kernel, and signals do not end that. */
import { mkdirSync } from "node:fs";
import { linux, realSys } from "@berth/sys";

/** Operations of the FUSE protocol (linux/fuse.h). */
const [LOOKUP, GETATTR, INIT] = [1, 3, 26];
/** FORGET, INTERRUPT, BATCH_FORGET. */
const UNANSWERED: ReadonlySet<number> = new Set([2, 36, 42]);
const ENOSYS = 38;
const MNT_FORCE = 1;
const O_RDWR = 2;
/** Larger than the kernel's largest request. */
const REQUEST = 1 << 17;
/** Size of struct fuse_out_header. */
const HEADER = 16;

/** struct fuse_init_out: version 7.31, writes of a page. */
function initOut(): Buffer {
  const out = Buffer.alloc(64);
  out.writeUInt32LE(7, 0);
  out.writeUInt32LE(31, 4);
  out.writeUInt32LE(4096, 20);
  return out;
}

/** struct fuse_attr_out of a folder, valid for a minute. */
function folderAttributes(): Buffer {
  const out = Buffer.alloc(104);
  out.writeBigUInt64LE(60n, 0);
  out.writeBigUInt64LE(1n, 16);
  out.writeUInt32LE(0o040755, 76);
  out.writeUInt32LE(2, 80);
  return out;
}

/** The mounted file system. */
export class HangingMount {
  readonly path: string;
  readonly #looked = Promise.withResolvers<void>();
  #fd: number | undefined;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /** Mounts it on a new folder. */
  static async make(path: string): Promise<HangingMount> {
    mkdirSync(path);
    const fd = realSys.open("/dev/fuse", O_RDWR);
    const made = new HangingMount(path, fd);
    const options = `fd=${fd},rootmode=40000,user_id=0,group_id=0,allow_other`;
    linux.mount("berth-test", path, "fuse", 0, options);
    void made.#serve(fd).catch(() => {});
    return made;
  }

  /** Answers requests about the folder itself; lookups in it hang. */
  async #serve(fd: number): Promise<void> {
    for (;;) {
      const request = Buffer.from(await realSys.read(fd, REQUEST));
      const operation = request.readUInt32LE(4);
      if (operation === LOOKUP) this.#looked.resolve();
      if (operation === LOOKUP || UNANSWERED.has(operation)) continue;
      const body = operation === INIT ? initOut() : operation === GETATTR ? folderAttributes() : undefined;
      const answer = Buffer.alloc(HEADER + (body?.length ?? 0));
      answer.writeUInt32LE(answer.length, 0);
      answer.writeInt32LE(body === undefined ? -ENOSYS : 0, 4);
      request.copy(answer, 8, 8, 16);
      body?.copy(answer, HEADER);
      realSys.write(fd, answer);
    }
  }

  /** Resolves when a process waits for an answer. */
  asked(): Promise<void> {
    return this.#looked.promise;
  }

  /** Aborts all requests: their callers get an error. */
  async release(): Promise<void> {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    // By force: that aborts all requests, and the read of the next one.
    await linux.umount(this.path, MNT_FORCE | linux.MNT_DETACH);
    realSys.close(fd);
  }
}
