/**
 * The registry of the daemon's parts as containerd's plugins: what is left out by the settings, what could not be loaded
 * and what that takes with it. Introspection answers from it.
 */
import { BerthError, log } from "@berth/base";

/** A plugin as Introspection shows it. */
export interface Plugin {
  type: string;
  id: string;
  /** Types of the plugins that it uses: one of each has to be there. */
  requires?: readonly string[];
  platforms?: readonly { os: string; architecture: string }[];
  exports?: Readonly<Record<string, string>>;
  capabilities?: readonly string[];
  /** Why it is unavailable. */
  problem?: string;
}

/** "TYPE.ID", as settings name plugins. */
const uriOf = ({ type, id }: Plugin): string => `${type}.${id}`;

/** Plugins by type and id, in the order in which they were loaded. */
export class PluginRegistry {
  readonly #disabled: readonly string[];
  readonly #required: readonly string[];
  readonly #plugins = new Map<string, Plugin>();
  /** Plugins that the settings leave out. */
  readonly #leftOut = new Map<string, Plugin>();

  /** Each of `disabled` and `required` is "TYPE.ID", or an id alone. */
  constructor(disabled: readonly string[] = [], required: readonly string[] = []) {
    this.#disabled = disabled;
    this.#required = required;
  }

  /**
   * Calls `init`, unless the settings leave the plugin out, or a plugin that it requires is not there; undefined then, or
   * if `init` throws. `problemOf` tells why what was made cannot be used.
   */
  load<T>(plugin: Plugin, init: () => T, problemOf?: (made: T) => string | undefined): T | undefined {
    if (names(this.#disabled, plugin)) {
      this.#leftOut.set(uriOf(plugin), plugin);
      return undefined;
    }
    const missing = (plugin.requires ?? []).find((type) => !this.#has(type));
    if (missing !== undefined) return this.#fail(plugin, `requires ${missing}: ${this.#whyNone(missing)}`);
    try {
      const made = init();
      const problem = problemOf?.(made);
      this.#plugins.set(uriOf(plugin), problem === undefined ? plugin : { ...plugin, problem });
      return made;
    } catch (error) {
      return this.#fail(plugin, BerthError.from(error).message);
    }
  }

  /** Records a part that is there; false if it is left out, or what it requires is not there. */
  add(plugin: Plugin): boolean {
    return this.load(plugin, () => true) ?? false;
  }

  /** Records a part that cannot be left out. */
  need(plugin: Plugin): void {
    if (names(this.#disabled, plugin))
      throw new BerthError(
        "invalid_argument",
        `disabled_plugins: found ${uriOf(plugin)}, which berthd cannot leave out`,
        { stage: "plugins" },
      );
    this.#plugins.set(uriOf(plugin), plugin);
  }

  #fail(plugin: Plugin, problem: string): undefined {
    log.warn("a plugin could not be loaded", { plugin: uriOf(plugin), why: problem });
    this.#plugins.set(uriOf(plugin), { ...plugin, problem });
    return undefined;
  }

  #has(type: string): boolean {
    return this.list().some((plugin) => plugin.type === type && plugin.problem === undefined);
  }

  #whyNone(type: string): string {
    const failed = this.list().filter((plugin) => plugin.type === type);
    const leftOut = [...this.#leftOut.values()].filter((plugin) => plugin.type === type);
    const reasons = [
      ...failed.map(({ id, problem }) => `${id} could not be loaded (${problem})`),
      ...leftOut.map(({ id }) => `${id} is one of disabled_plugins`),
    ];
    return reasons.join(", ") || "there is none";
  }

  /** "failed_precondition" if a required plugin is not there; warns of names in the settings that no plugin has. */
  check(): void {
    const all = [...this.#plugins.values(), ...this.#leftOut.values()];
    for (const name of this.#required) {
      const found = all.find((plugin) => names([name], plugin));
      if (found !== undefined && found.problem === undefined && this.#plugins.has(uriOf(found))) continue;
      const why = found === undefined ? "there is none of this name" : (found.problem ?? "it is disabled");
      throw new BerthError("failed_precondition", `required_plugins: ${name} was not loaded: ${why}`, {
        stage: "plugins",
      });
    }
    for (const name of this.#disabled)
      if (!all.some((plugin) => names([name], plugin)))
        log.debug("disabled_plugins: berth has no such plugin", { plugin: name });
  }

  /** All that were not left out. */
  list(): readonly Plugin[] {
    return [...this.#plugins.values()];
  }
}

/** Whether one of the settings' names means `plugin`. */
function names(list: readonly string[], plugin: Plugin): boolean {
  return list.includes(uriOf(plugin)) || list.includes(plugin.id);
}
