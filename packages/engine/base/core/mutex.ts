/** Locks by name, for work that must not overlap. */

/** Concurrent work of one kind, and its count. */
interface Group {
  kind: string;
  size: number;
  readonly over: PromiseWithResolvers<void>;
}

/** Serializes work on the same key. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<unknown>>();
  readonly #groups = new Map<string, Group>();

  /** Whether `key` is held or waited for. */
  busy(key: string): boolean {
    return this.#tails.has(key);
  }

  /** Like {@link run}, but joins running work of the same kind: a repeated request. */
  async runWith<T>(key: string, kind: string, work: () => Promise<T>): Promise<T> {
    const group = this.#groups.get(key);
    if (group?.kind === kind) return this.#join(key, group, work);
    let result: Promise<T> | undefined;
    await this.run(key, async () => {
      const own: Group = { kind, size: 0, over: Promise.withResolvers() };
      this.#groups.set(key, own);
      result = this.#join(key, own, work);
      result.catch(() => {});
      await own.over.promise;
    });
    return result!;
  }

  async #join<T>(key: string, group: Group, work: () => Promise<T>): Promise<T> {
    group.size++;
    try {
      return await work();
    } finally {
      if (--group.size === 0) {
        this.#groups.delete(key);
        group.over.resolve();
      }
    }
  }

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    const tail = mine.catch(() => {});
    this.#tails.set(key, tail);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }
}
