/** Client of systemd's manager (org.freedesktop.systemd1(5)), limited to transient units. */
import { BerthError } from "@berth/base";
import type { Sys } from "@berth/sys";
import { Bus, DBusError } from "./bus.ts";
import type { DBusValue, Variant } from "./types.ts";

const NAME = "org.freedesktop.systemd1";
const PATH = "/org/freedesktop/systemd1";
const MANAGER = "org.freedesktop.systemd1.Manager";
const TIMEOUT_MS = 30_000;

/** A property of a unit. */
export type Property = readonly [name: string, value: Variant];

interface Address {
  path: string;
  hello: boolean;
}

/** Parses a D-Bus address list to the first unix socket: "unix:path=/a", "unix:abstract=b" (with a leading NUL). */
export function parseAddress(address: string | undefined): string | undefined {
  for (const entry of (address ?? "").split(";")) {
    const match = /^unix:(?:.*,)?(path|abstract)=([^,]*)/.exec(entry);
    if (match === null) continue;
    const name = match[2]!.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    return match[1] === "path" ? name : `\0${name}`;
  }
  return undefined;
}

/** Addresses of the manager: first its private socket, which works without a bus. */
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

  /** Connects to the caller's manager: the system's for root. "failed_precondition" if systemd is not running. */
  static async connect(sys: Sys, timeoutMs = TIMEOUT_MS): Promise<Manager> {
    const failures: string[] = [];
    for (const { path, hello } of addresses(sys)) {
      try {
        const manager = new Manager(await Bus.connect(sys, path, { hello, timeoutMs }));
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

  /** Subscribes to JobRemoved; on a bus, signals are only sent to subscribers. */
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

  /** Waits for a job to finish; returns its result, "done" for success. */
  async #waitForJob(job: string, unit: string): Promise<string> {
    const signal = await this.#bus.signal(
      `the job for ${unit}`,
      (m) => m.interface === MANAGER && m.member === "JobRemoved" && m.body[1] === job,
    );
    return String(signal.body[3]);
  }

  /** Starts a transient unit, and waits until it is active. */
  async startTransient(unit: string, properties: readonly Property[]): Promise<void> {
    const [job] = await this.#call("StartTransientUnit", "ssa(sv)a(sa(sv))", [
      unit,
      "replace",
      [...properties],
      [],
    ]);
    const result = await this.#waitForJob(String(job), unit);
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

  /** Stops a unit, if it exists, and resets its failed state. */
  async stop(unit: string): Promise<void> {
    try {
      const [job] = await this.#call("StopUnit", "ss", [unit, "replace"]);
      await this.#waitForJob(String(job), unit);
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

  /** Sets properties of an active unit, until the next boot. */
  async setProperties(unit: string, properties: readonly Property[]): Promise<void> {
    await this.#call("SetUnitProperties", "sba(sv)", [unit, true, [...properties]]);
  }

  /** systemd's major version: 252 for "252.39-1~deb12u2"; 0 if it cannot be parsed. */
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

  async #property(path: string, iface: string, name: string): Promise<DBusValue> {
    const [value] = await this.#bus.call({
      destination: NAME,
      path,
      interface: "org.freedesktop.DBus.Properties",
      member: "Get",
      signature: "ss",
      body: [iface, name],
    });
    return (value as Variant).value;
  }
}

/** Whether an error is systemd's D-Bus error of this name. */
export function isDBusError(error: unknown, name: string): boolean {
  return error instanceof DBusError && error.dbusName === `${NAME}.${name}`;
}
