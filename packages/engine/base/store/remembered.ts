/** Decoded rows, kept from one list to the next: most do not change in between. */

/** Values by key, each with the row that it was made from. */
export class Remembered<Row, Value> {
  readonly #max: number;
  readonly #isSame: (a: Row, b: Row) => boolean;
  readonly #kept = new Map<string, { row: Row; value: Value }>();

  /** Keeps at most `max` values. */
  constructor(max: number, isSame: (a: Row, b: Row) => boolean) {
    this.#max = max;
    this.#isSame = isSame;
  }

  /** The value of a row; it is made anew only if the row differs from the one before. */
  get(key: string, row: Row, make: (row: Row) => Value): Value {
    const found = this.#kept.get(key);
    if (found !== undefined && this.#isSame(found.row, row)) return found.value;
    const value = make(row);
    if (this.#kept.size >= this.#max) this.#kept.clear();
    this.#kept.set(key, { row, value });
    return value;
  }
}
