/** systemd's manager, as far as a container runtime needs it (org.freedesktop.systemd1(5)). */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import { Bus, DBusError } from "./bus.ts";
import type { DBusValue, Variant } from "./wire.ts";

const NAME = "org.freedesktop.systemd1";
const PATH = "/org/freedesktop/systemd1";
const MANAGER = "org.freedesktop.systemd1.Manager";
const LIMIT_MS = 30_000;

/** A unit's property: its name and value. */
export type Property = readonly [name: string, value: Variant];

interface Address {
  path: string;
  hello: boolean;
}

/** "unix:path=/a", "unix:abstract=b"; the first that can be used of a list. */
export function parseAddress(address: string | undefined): string | undefined {
  for (const one of (address ?? "").split(";")) {
    const match = /^unix:(?:.*,)?(path|abstract)=([^,]*)/.exec(one);
    if (match === null) continue;
    const name = match[2]!.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    return match[1] === "path" ? name : `\0${name}`;
  }
  return undefined;
}

/** Where the manager may be reached: its own socket first, which needs no bus. */
function addresses(sys: Sys): Address[] {
  if (sys.uid() === 0) {
    const bus = parseAddress(sys.env("DBUS_SYSTEM_BUS_ADDRESS")) ?? "/run/dbus/system_bus_socket";
    return [
      { path: "/run/systemd/private", hello: false },
      { path: bus, hello: true },
    ];
  }
  const folder = sys.env("XDG_RUNTIME_DIR") || `/run/user/${sys.uid()}`;
  const bus = parseAddress(sys.env("DBUS_SESSION_BUS_ADDRESS")) ?? `${folder}/bus`;
  return [
    { path: `${folder}/systemd/private`, hello: false },
    { path: bus, hello: true },
  ];
}

/** A connection to the manager. */
export class Manager {
  readonly #bus: Bus;
  private constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** "failed_precondition" where systemd does not run. */
  static async connect(sys: Sys, limitMs = LIMIT_MS): Promise<Manager> {
    const failures: string[] = [];
    for (const { path, hello } of addresses(sys)) {
      try {
        const manager = new Manager(await Bus.connect(sys, path, { hello, limitMs }));
        if (hello) await manager.#subscribe();
        return manager;
      } catch (error) {
        failures.push(BerthError.from(error).message);
      }
    }
    throw new BerthError("failed_precondition", `systemd cannot be reached: ${failures.join("; ")}`, {
      stage: "systemd",
      hint: "the systemd cgroup driver needs a running systemd; leave --systemd-cgroup out to use cgroupfs",
    });
  }

  /** On a bus, signals come to those who ask for them. */
  async #subscribe(): Promise<void> {
    const rule = `type='signal',interface='${MANAGER}',member='JobRemoved'`;
    const bus = "org.freedesktop.DBus";
    await this.#bus.call({
      destination: bus,
      path: "/org/freedesktop/DBus",
      interface: bus,
      member: "AddMatch",
      signature: "s",
      body: [rule],
    });
    await this.#call("Subscribe", "", []);
  }

  close(): void {
    this.#bus.close();
  }

  #call(member: string, signature: string, body: readonly DBusValue[]): Promise<DBusValue[]> {
    return this.#bus.call({ destination: NAME, path: PATH, interface: MANAGER, member, signature, body });
  }

  /** Waits until a job is done; its result, "done" for success. */
  async #finish(job: string, unit: string): Promise<string> {
    const signal = await this.#bus.signal(
      `the job for ${unit}`,
      (m) => m.interface === MANAGER && m.member === "JobRemoved" && m.body[1] === job,
    );
    return String(signal.body[3]);
  }

  /** Starts a unit that no file describes, and waits until it is up. */
  async startTransient(unit: string, properties: readonly Property[]): Promise<void> {
    const [job] = await this.#call("StartTransientUnit", "ssa(sv)a(sa(sv))", [
      unit,
      "replace",
      [...properties],
      [],
    ]);
    const result = await this.#finish(String(job), unit);
    if (result !== "done")
      throw new BerthError(
        "failed_precondition",
        `systemd could not start ${unit}: its job ended with "${result}"`,
        {
          stage: "systemd",
          hint: `see journalctl -u ${unit}`,
        },
      );
  }

  /** Stops a unit, if there is one, and forgets that it failed. */
  async stop(unit: string): Promise<void> {
    try {
      const [job] = await this.#call("StopUnit", "ss", [unit, "replace"]);
      await this.#finish(String(job), unit);
    } catch (error) {
      if (!isDBusError(error, "NoSuchUnit")) throw error;
    }
    await this.resetFailed(unit);
  }

  async resetFailed(unit: string): Promise<void> {
    try {
      await this.#call("ResetFailedUnit", "s", [unit]);
    } catch (error) {
      if (!(error instanceof DBusError)) throw error;
    }
  }

  /** Changes a unit while it runs, and for this boot only. */
  async setProperties(unit: string, properties: readonly Property[]): Promise<void> {
    await this.#call("SetUnitProperties", "sba(sv)", [unit, true, [...properties]]);
  }

  /** The version: "252.39-1~deb12u2" is 252; 0 when it cannot be read. */
  async version(): Promise<number> {
    const value = await this.#property(PATH, MANAGER, "Version");
    return Number(/\d+/.exec(String(value))?.[0] ?? 0);
  }

  /** Path of a unit's cgroup below the mount points. */
  async controlGroup(unit: string): Promise<string> {
    const [path] = await this.#call("GetUnit", "s", [unit]);
    const kind = unit.endsWith(".slice") ? "Slice" : "Scope";
    return String(await this.#property(String(path), `${NAME}.${kind}`, "ControlGroup"));
  }

  async #property(path: string, of: string, name: string): Promise<DBusValue> {
    const [value] = await this.#bus.call({
      destination: NAME,
      path,
      interface: "org.freedesktop.DBus.Properties",
      member: "Get",
      signature: "ss",
      body: [of, name],
    });
    return (value as Variant).value;
  }
}

/** Tells whether systemd answered with this error of its own. */
export function isDBusError(error: unknown, name: string): boolean {
  return error instanceof DBusError && error.dbusName === `${NAME}.${name}`;
}
