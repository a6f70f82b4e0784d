import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { Fifos } from "./stdio.ts";

async function text(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all).toString();
}

// A shell stands in for the daemon: it opens the other ends.
function shell(script: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile("sh", ["-c", script, "sh", ...args], (error, stdout) =>
      error ? reject(error) : resolve(stdout),
    );
  });
}

test("all output arrives, and ends when the writer closes", async () => {
  await using fifos = await Fifos.create({ stdin: false, stdout: true, stderr: true });
  const out = text(fifos.read(fifos.stdout));
  const err = text(fifos.read(fifos.stderr));
  await shell('exec 3>"$1" 4>"$2"; echo hello >&3; echo oops >&4', fifos.stdout, fifos.stderr);
  fifos.release();
  assert.equal(await out, "hello\n");
  assert.equal(await err, "oops\n");
});

test("input arrives and ends", async () => {
  await using fifos = await Fifos.create({ stdin: true, stdout: false, stderr: false });
  assert.equal(fifos.stdout, "");
  const mark = await Fifos.create({ stdin: false, stdout: true, stderr: false });
  const opened = mark.read(mark.stdout).next();
  const reading = shell('exec 3<"$1"; echo >"$2"; cat <&3', fifos.stdin, mark.stdout);
  const input = fifos.writer();
  await input.write(Buffer.from("one "));
  await input.write(Buffer.from("two"));
  // The reader signals it: once it has written the mark, `exec 3<` has happened.
  await opened;
  input.end();
  assert.equal(await reading, "one two");
  mark.close();
});

test("closing ends pending reads, and removes the folder", async () => {
  const fifos = await Fifos.create({ stdin: true, stdout: true, stderr: true });
  const out = text(fifos.read(fifos.stdout));
  fifos.close();
  assert.equal(await out, "");
  assert.equal(existsSync(fifos.folder), false);
});
