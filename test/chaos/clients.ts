/** Clients that run random commands and check the results against their expectations. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Lane, testImage } from "../crash/lane.ts";
import { ociArchive } from "../support/images.ts";
import { sleep } from "../support/until.ts";
import { COMMANDS, FAULTS, REFUSALS, type State } from "./expected.ts";
import type { Random } from "./random.ts";

/** Containers used by one client only. */
const OWN = 3;
/** Names contended by all clients. */
const SHARED = ["shared-a", "shared-b"] as const;
/** Timeout of a command, in milliseconds, including the daemon's downtime. */
const RESYNC_MS = 20_000;

/** Result of a command. */
interface Answer {
  code: number;
  out: string;
  err: string;
  /** The error's reason, as printed by `berth --debug`; "" without an error. */
  reason: string;
}

/** State shared by all clients. */
export interface SharedState {
  lane: Lane;
  /** Violations are recorded here. */
  findings: string[];
  /** Number of commands, and of those that succeeded. */
  counts: { commands: number; succeeded: number; interrupted: number; refused: number };
  over: boolean;
}

/** A client with its containers and their expected states. */
export class ChaosClient {
  readonly #shared: SharedState;
  readonly #random: Random;
  readonly #name: string;
  readonly #states = new Map<string, State>();
  /** The client's own image; no other has its layers. */
  readonly #image: string;
  #hasImage: boolean | undefined = false;

  constructor(shared: SharedState, number: number, random: Random) {
    this.#shared = shared;
    this.#random = random;
    this.#name = `client-${number}`;
    this.#image = `docker.io/library/own-${number}:1`;
    for (let n = 0; n < OWN; n++) this.#states.set(`${this.#name}-${n}`, "absent");
    const archive = join(shared.lane.folder, `${this.#name}.tar`);
    writeFileSync(archive, ociArchive(testImage(`mark-${number}`), this.#image));
  }

  /** Containers that must exist at the end, with their states. */
  get expected(): ReadonlyMap<string, State> {
    return this.#states;
  }

  /** Whether its image must exist at the end; undefined if unknown. */
  get image(): { name: string; there: boolean | undefined } {
    return { name: this.#image, there: this.#hasImage };
  }

  async run(): Promise<void> {
    while (!this.#shared.over) {
      const what = this.#random.next();
      if (what < 0.68) await this.#ownContainer();
      else if (what < 0.88) await this.#sharedContainer();
      else if (what < 0.96) await this.#autoRemoved();
      else await this.#ownImage();
    }
    for (const name of this.#states.keys())
      if (this.#states.get(name) === "unknown") await this.#resync(name);
  }

  async #berth(...args: string[]): Promise<Answer> {
    const { counts, lane } = this.#shared;
    const ran = await lane.berth("--debug", ...args);
    const reason = /^facts: \{"code":"(\w+)"/m.exec(ran.err)?.[1] ?? "";
    counts.commands++;
    if (ran.code === 0) counts.succeeded++;
    else if (FAULTS.has(reason)) counts.interrupted++;
    else counts.refused++;
    if (ran.code === -1) this.#find(`${args.join(" ")} did not end`);
    if (reason !== "" && !FAULTS.has(reason) && !REFUSALS.has(reason))
      this.#find(`${args.join(" ")}: ${reason}: ${ran.err.trim()}`);
    return { ...ran, reason };
  }

  #find(what: string): void {
    this.#shared.findings.push(`${new Date().toISOString()} ${this.#name}: ${what}`);
  }

  async #ownContainer(): Promise<void> {
    const name = this.#random.of([...this.#states.keys()]);
    const command = this.#random.of(COMMANDS);
    const before = this.#states.get(name)!;
    const words = command.words(name, this.#shared.lane.image);
    const answer = await this.#berth(...words);
    const after = command.leadsTo[before];
    if (FAULTS.has(answer.reason) || answer.code === -1) await this.#resync(name);
    else if (before === "unknown") await this.#resync(name);
    // Whether a process is waiting that can be killed or frozen is not visible.
    else if (before === "unstarted" && after === undefined) await this.#resync(name);
    else if (answer.code === 0) {
      if (after === undefined) this.#find(`${words.join(" ")} succeeded although ${name} was ${before}`);
      else if (words[0] === "exec" && answer.out !== "added\n")
        this.#find(`${words.join(" ")} printed ${JSON.stringify(answer.out)}`);
      this.#states.set(name, after ?? "unknown");
      if (this.#random.chance(0.5)) await this.#verify(name, words);
    } else if (after !== undefined) {
      this.#find(`${words.join(" ")} failed although ${name} was ${before}: ${answer.err.trim()}`);
      await this.#resync(name);
    }
  }

  /** The daemon's view of a container, waiting for one that is being started. */
  async #observe(name: string): Promise<State | undefined> {
    for (const deadline = performance.now() + RESYNC_MS; performance.now() < deadline; await sleep(50)) {
      const { code, out, reason } = await this.#berth("inspect", name);
      if (code === 0) return JSON.parse(out)[0].State.Status as State;
      if (reason === "not_found") return "absent";
    }
    return undefined;
  }

  async #resync(name: string): Promise<void> {
    const state = await this.#observe(name);
    if (state === undefined) this.#find(`nobody says what became of ${name}`);
    // One that is about to be restarted will run.
    const seen: Readonly<Record<string, State>> = { restarting: "unknown", created: "unstarted" };
    this.#states.set(name, seen[state ?? "restarting"] ?? state!);
  }

  async #verify(name: string, after: readonly string[]): Promise<void> {
    const expected = this.#states.get(name)!;
    const found = await this.#observe(name);
    if (found === expected || expected === "unknown" || (found === "created" && expected === "unstarted"))
      return;
    this.#find(`after ${after.join(" ")} ${name} is ${found}, expected ${expected}`);
    this.#states.set(name, "unknown");
  }

  async #sharedContainer(): Promise<void> {
    const { words } = this.#random.of(COMMANDS);
    await this.#berth(...words(this.#random.of(SHARED), this.#shared.lane.image));
  }

  /** An attached, auto-removed container; sometimes its client is killed. */
  async #autoRemoved(): Promise<void> {
    const { lane } = this.#shared;
    const label = ["--rm", "--label", "chaos=fleeting"];
    if (this.#random.chance(0.5)) {
      const { code, out, err, reason } = await this.#berth(
        "run",
        ...label,
        lane.image,
        "sh",
        "-c",
        "echo hi; exit 3",
      );
      if (FAULTS.has(reason)) return;
      if (code !== 3 || out !== "hi\n")
        this.#find(`run --rm: exit ${code}, ${JSON.stringify(out)}: ${err.trim()}`);
      return;
    }
    await lane.berthKilled(
      this.#random.between(5, 200),
      "run",
      ...label,
      lane.image,
      "sh",
      "-c",
      "sleep 0.1",
    );
  }

  async #ownImage(): Promise<void> {
    const { lane } = this.#shared;
    const load = this.#hasImage !== true;
    const words = load ? ["load", "-q", "-i", join(lane.folder, `${this.#name}.tar`)] : ["rmi", this.#image];
    const { code, err, reason } = await this.#berth(...words);
    if (code === 0) this.#hasImage = load;
    else if (FAULTS.has(reason)) this.#hasImage = undefined;
    // A load may miss its stream, when the daemon was started anew in between: that says nothing of the image.
    else if (this.#hasImage === undefined)
      this.#hasImage = reason === "not_found" && !load ? false : undefined;
    else this.#find(`${words.join(" ")}: ${err.trim()}`);
  }
}
