/** Ids and names of new containers. */
import { randomBytes, randomInt } from "node:crypto";

const ADJECTIVES =
  "amber brave bright calm clever crisp eager early fair fleet gentle glad golden hardy keen kind light lively lucky \
mellow merry misty modest nimble noble patient plain proud quick quiet ready rosy shiny silent silver smooth snug \
stable steady still stout sunny swift tidy trusty warm wise witty young";
const NOUNS =
  "anchor barge beacon bollard bow bridge buoy cabin canvas captain channel chart cleat clipper compass coral crane \
crew current cutter deck dinghy dock estuary ferry galley gull harbor haven heron hull jetty keel ketch lagoon \
lantern lighthouse locker mast mooring oar otter pelican pennant pier pilot porthole quay raft reef rigging rudder \
sail schooner sextant shoal skiff sloop spar stern surf tide tiller tugboat wake wharf windlass yawl";

const pick = (words: string): string => {
  const all = words.split(" ");
  return all[randomInt(all.length)]!;
};

/** A new container id: 64 hexadecimal digits. */
export function newId(): string {
  return randomBytes(32).toString("hex");
}

/** A random name of an adjective and a noun. */
export function randomName(): string {
  return `${pick(ADJECTIVES)}_${pick(NOUNS)}_${randomBytes(2).toString("hex")}`;
}

/** Whether a text is a valid container name, by docker's rule. */
export function isContainerName(text: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(text);
}
