#!/usr/bin/env node
/**
 * A hook of the OCI runtime specification: lets in only containers that say whose they are, and keeps a record of them.
 *
 * The runtime runs it with the container's state on standard input. When it ends with another code than 0, the container
 * is not made, and the runtime's error shows what it wrote to standard error.
 */
import { appendFileSync } from "node:fs";
import { json } from "node:stream/consumers";
import type { State } from "@berth/oci";

const OWNER = "org.example.owner";

const [record] = process.argv.slice(2);
const { id, status, pid, bundle, annotations = {} } = (await json(process.stdin)) as State;
const owner = annotations[OWNER];
if (record === undefined || owner === undefined) {
  console.error(
    record === undefined ? "usage: hook.ts RECORD" : `container ${id} lacks the annotation ${OWNER}`,
  );
  process.exitCode = 1;
} else {
  appendFileSync(record, `${JSON.stringify({ id, owner, status, pid, bundle })}\n`);
}
