/**
 * berthd: the daemon's command.
 *
 *     berthd [--config FILE] [--root DIR] [--state DIR] [--address SOCKET] [--log-level LEVEL] [--version] [--help]
 *     berthd config check|default|dump|migrate [FILE]
 *     berthd --address SOCKET publish --topic TOPIC --namespace NAMESPACE
 */
import { parseArgs } from "node:util";
import { CONTAINERD_API } from "@berth/api/wireVersion";
import { BerthError, COMMIT, configureLog, log, VERSION } from "@berth/base";
import type { Config, ConfigFlags } from "./config/config.ts";

const USAGE = `Usage: berthd [flags]

  --config FILE      settings (TOML); default /etc/berth/config.toml if it exists
  --root DIR         blobs, snapshots and metadata; default /var/lib/berth
  --state DIR        sockets and running containers; default /run/berth
  --address SOCKET   unix socket to serve on; default berth.sock in the state directory
  --log-level LEVEL  trace, debug, info, warn or error; default info
  --version          print the version and exit
  --help             print this and exit
  --doctor           do not serve: print as JSON what an earlier daemon left over, and exit
    --fix            and remove it
    --temporary DIR  where clients make their FIFOs, besides /tmp

berthd config check|default|dump|migrate [FILE]
                     checks and shows files of settings, in berth's form or containerd's

berthd --address SOCKET publish --topic TOPIC --namespace NAMESPACE
                     sends the event on standard input to a berthd that serves; used by shims
`;

/** Time for what is still at work once the daemon is closed, in milliseconds. */
const EXIT_MS = 1000;

/** Runs the daemon until SIGTERM or SIGINT; returns the exit code: 0, 1 for failures, 2 for invalid flags. */
export async function main(argv: readonly string[]): Promise<number> {
  if (argv.includes("publish"))
    return ended(async () => {
      const { publish } = await import("./publish.ts");
      await publish(argv);
    });
  if (argv[0] === "config")
    return ended(async () => {
      const { configCommand } = await import("./config/command.ts");
      process.stdout.write(configCommand(argv.slice(1)));
    });
  let values: Record<string, string | boolean | undefined>;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        config: { type: "string", short: "c" },
        root: { type: "string" },
        state: { type: "string" },
        address: { type: "string", short: "a" },
        "log-level": { type: "string", short: "l" },
        version: { type: "boolean" },
        help: { type: "boolean" },
        doctor: { type: "boolean" },
        fix: { type: "boolean" },
        temporary: { type: "string" },
      },
    }));
  } catch (error) {
    process.stderr.write(`berthd: ${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (values.version) {
    process.stdout.write(`berthd ${VERSION} ${COMMIT} (API of containerd ${CONTAINERD_API})\n`);
    return 0;
  }
  const given = values as { [flag: string]: string | undefined };
  return ended(() => (values.doctor ? examine(given, values.fix === true) : run(given)));
}

/** Exit code of `work`: 0, or 1 once its error was printed. */
async function ended(work: () => Promise<void>): Promise<number> {
  try {
    await work();
    return 0;
  } catch (thrown) {
    const error = BerthError.from(thrown);
    process.stderr.write(`berthd: ${error.message}\n${error.hint === undefined ? "" : `  ${error.hint}\n`}`);
    if (error.code === "internal" && error.stack !== undefined) log.debug(error.stack);
    return 1;
  }
}

async function examine(values: { [flag: string]: string | undefined }, fix: boolean): Promise<void> {
  const { examineOffline } = await import("../work/doctor/offline.ts");
  const { temporary } = values;
  const found = await examineOffline(await settings(values), fix, temporary === undefined ? [] : [temporary]);
  const findings = found.findings.map(({ apply: _, ...finding }) => finding);
  process.stdout.write(`${JSON.stringify({ ...found, findings })}\n`);
}

/** Merges the file's settings with the flags, and configures the logger. */
async function settings(values: { [flag: string]: string | undefined }): Promise<Config> {
  const { configFile, configOf, readConfig } = await import("./config/config.ts");
  const flags: ConfigFlags = {};
  if (values.root !== undefined) flags.root = values.root;
  if (values.state !== undefined) flags.state = values.state;
  if (values.address !== undefined) flags.address = values.address;
  if (values["log-level"] !== undefined) flags.logLevel = values["log-level"];
  const file = configFile(values.config);
  const { settings, ignored } = readConfig(file);
  const config = configOf(settings, flags);
  configureLog({ level: config["log.level"], format: config["log.format"] });
  if (ignored.length > 0)
    log.warn("settings of containerd that mean nothing to berth are ignored", {
      file,
      keys: ignored.length,
      hint: `berthd config check ${file} names them`,
    });
  return config;
}

async function run(values: { [flag: string]: string | undefined }): Promise<void> {
  const [{ startDaemon }, config] = await Promise.all([import("./daemon.ts"), settings(values)]);
  if (config.oom_score !== 0) {
    const { setOomScore } = await import("./oom-score.ts");
    setOomScore(config.oom_score);
  }
  const daemon = await startDaemon(config);
  await new Promise<void>((resolve) => {
    const stop = (signal: string) => {
      log.info("stopping; containers keep running", { signal });
      resolve();
    };
    process.once("SIGTERM", stop);
    process.once("SIGINT", stop);
    // A closing terminal must not take the daemon with it.
    process.on("SIGHUP", () => {});
    process.on("SIGPIPE", () => {});
  });
  await daemon.close();
  // Somebody who does not answer, such as a collector of traces, must not keep the process.
  setTimeout(() => process.exit(), EXIT_MS).unref();
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
