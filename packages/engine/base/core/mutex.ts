/** Locks by name, for work that must not overlap. */

/** Concurrent work of one kind, and its count. */
interface Party {
  kind: string;
  size: number;
  readonly over: PromiseWithResolvers<void>;
}

/** Serializes work on the same key. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<unknown>>();
  readonly #parties = new Map<string, Party>();

  /** Whether `key` is held or waited for. */
  busy(key: string): boolean {
    return this.#tails.has(key);
  }

  /** Like {@link run}, but joins running work of the same kind: a repeated request. */
  async runWith<T>(key: string, kind: string, work: () => Promise<T>): Promise<T> {
    const party = this.#parties.get(key);
    if (party?.kind === kind) return this.#join(key, party, work);
    let result: Promise<T> | undefined;
    await this.run(key, async () => {
      const own: Party = { kind, size: 0, over: Promise.withResolvers() };
      this.#parties.set(key, own);
      result = this.#join(key, own, work);
      result.catch(() => {});
      await own.over.promise;
    });
    return result!;
  }

  async #join<T>(key: string, party: Party, work: () => Promise<T>): Promise<T> {
    party.size++;
    try {
      return await work();
    } finally {
      if (--party.size === 0) {
        this.#parties.delete(key);
        party.over.resolve();
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
