/** A reporter for node's test runner that writes how many tests passed, failed and were skipped, as JSON. */

interface TestEvent {
  type: string;
  data: {
    name: string;
    file?: string;
    skip?: unknown;
    todo?: unknown;
    details?: { type?: string; error?: { message?: string; cause?: { message?: string } } };
  };
}

export default async function* count(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const counts = { passed: 0, failed: 0, skipped: 0, failures: [] as string[] };
  for await (const { type, data } of source) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    // A file in which no test has the chosen name stands for itself.
    const isFile = data.file?.endsWith(data.name) && /\.test\.ts$/.test(data.name);
    if (type === "test:fail") {
      // A suite or file fails because a test in it did, which is counted; one that fails by itself has no such test.
      if (data.details?.type === "suite") continue;
      counts.failed++;
      const error = data.details?.error;
      counts.failures.push(
        `${data.file ?? ""}: ${data.name}: ${error?.cause?.message ?? error?.message ?? ""}`,
      );
    } else if (data.details?.type === "suite" || isFile) continue;
    else if (data.skip !== undefined && data.skip !== false) counts.skipped++;
    else counts.passed++;
  }
  yield JSON.stringify(counts);
}
