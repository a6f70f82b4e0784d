/**
 * Traces by OTLP: where the environment names a collector, as OpenTelemetry's specification says, every operation is sent
 * there as a trace, its stages as spans.
 */
import { log, subscribeStages } from "@berth/base";
import type { StageExporter } from "./trace-exporter.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether the environment asks for traces; a value that it does not support is named in the log. */
function wanted(env: Environment): boolean {
  const endpoint = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || env.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (!endpoint || env.OTEL_SDK_DISABLED?.toLowerCase() === "true") return false;
  const checks: [name: string, value: string | undefined, supported: string][] = [
    ["OTEL_TRACES_EXPORTER", env.OTEL_TRACES_EXPORTER, "otlp"],
    [
      "OTEL_EXPORTER_OTLP_PROTOCOL",
      env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL || env.OTEL_EXPORTER_OTLP_PROTOCOL,
      "http/protobuf",
    ],
  ];
  const other = checks.find(([, value, supported]) => value && value !== supported);
  if (other === undefined) return true;
  const [name, found, expected] = other;
  if (found !== "none") log.warn("no traces are sent", { variable: name, found, expected });
  return false;
}

/** Sends traces from now on, if the environment asks for it; the result sends the rest and stops. */
export async function exportTraces(
  env: Environment = process.env,
): Promise<(() => Promise<void>) | undefined> {
  if (!wanted(env)) return undefined;
  // A bundle of its own: few daemons load it.
  const { startExporter } = (await import(new URL("./trace-exporter.ts", import.meta.url).href)) as {
    startExporter: () => StageExporter;
  };
  const exporter = startExporter();
  const unsubscribe = subscribeStages(({ kind, stage }) =>
    kind === "begin" ? exporter.begin(stage) : exporter.end(stage),
  );
  return async () => {
    unsubscribe();
    await exporter.close();
  };
}
