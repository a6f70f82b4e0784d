/** Optional properties that are omitted rather than set to undefined, as `exactOptionalPropertyTypes` requires. */

type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/**
 * The properties that have a value: `{ path, ...present({ hint }) }` has no `hint` where that is undefined.
 *
 * @example present({ a: 1, b: undefined }) // { a: 1 }
 */
export function present<T extends object>(properties: T): Present<T> {
  const found: Record<string, unknown> = {};
  for (const key in properties) {
    const value = properties[key];
    if (value !== undefined) found[key] = value;
  }
  return found as Present<T>;
}
