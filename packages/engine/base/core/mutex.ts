/** Locks by name, for work that must not overlap. */

/** Work that is done together, and how much of it is under way. */
interface Party {
  kind: string;
  size: number;
  readonly over: PromiseWithResolvers<void>;
}

/** Runs work on the same key one after the other. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<unknown>>();
  readonly #parties = new Map<string, Party>();

  /** Tells whether somebody holds or waits for `key`. */
  busy(key: string): boolean {
    return this.#tails.has(key);
  }

  /** As {@link run}, but together with work of the same kind that is being done right now: a request that is made again. */
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
