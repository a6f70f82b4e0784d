/** What a program prints. */

/** Most of a program's output that is kept, in characters. */
const MAX_OUTPUT = 16 << 10;

/** Collects the beginning of an output, and reads the rest away. */
export function collectOutput(stream: NodeJS.ReadableStream): () => string {
  let text = "";
  stream.on("data", (chunk: Buffer) => {
    if (text.length < MAX_OUTPUT) text += chunk.toString("utf8").slice(0, MAX_OUTPUT - text.length);
  });
  return () => text;
}
