/** Parses docker's mount flags (-v, --mount, --tmpfs) into mounts of the specification. */
import { BerthError } from "@berth/base";
import type { Mount } from "../runtime/mount.ts";

/** A parsed mount, and whether its source has to be created first. */
export interface MountRequest {
  mount: Mount;
  /** -v creates a missing source directory; --mount does not. */
  createSource: boolean;
}

const PROPAGATION = ["rprivate", "private", "rshared", "shared", "rslave", "slave"];

/** Parses `-v SOURCE:DESTINATION[:OPTIONS]`; SOURCE must be absolute (named volumes are refused). */
export function parseVolume(text: string): MountRequest {
  const parts = text.split(":");
  const fail = (expected: string): never => {
    throw new BerthError("invalid_argument", `--volume: found ${JSON.stringify(text)}, expected ${expected}`);
  };
  if (parts.length < 2) fail("SOURCE:DESTINATION (anonymous volumes are not supported)");
  if (parts.length > 3) fail("SOURCE:DESTINATION[:OPTIONS]");
  const [source, destination, words] = parts as [string, string, string?];
  if (!source.startsWith("/")) fail("an absolute path before the colon (named volumes are not supported)");
  if (!destination.startsWith("/")) fail("an absolute path in the container after the colon");
  if (/^\/+$/.test(destination)) fail('a destination other than "/"');
  const options = ["rbind"];
  let propagation = "rprivate";
  for (const word of words === undefined ? [] : words.split(",")) {
    if (word === "ro" || word === "readonly") options.push("ro");
    else if (word === "rro") options.push("rro");
    else if (PROPAGATION.includes(word)) propagation = word;
    else if (word === "rw" || word === "rbind") continue;
    else if (word === "bind") options[0] = "bind";
    else if (word === "noexec" || word === "nosuid" || word === "nodev") options.push(word);
    else fail(`options of ro, rro, rw, bind, rbind, noexec, nosuid, nodev, ${PROPAGATION.join(", ")}`);
  }
  return {
    mount: { destination, type: "bind", source, options: [...options, propagation] },
    createSource: true,
  };
}

/** Parses `--tmpfs DESTINATION[:OPTIONS]`; options as in mount(8). */
export function parseTmpfs(text: string): MountRequest {
  const colon = text.indexOf(":");
  const destination = colon < 0 ? text : text.slice(0, colon);
  const words =
    colon < 0
      ? []
      : text
          .slice(colon + 1)
          .split(",")
          .filter((w) => w !== "");
  if (!destination.startsWith("/") || /^\/+$/.test(destination))
    throw new BerthError(
      "invalid_argument",
      `--tmpfs: found ${JSON.stringify(text)}, expected an absolute path other than "/"`,
    );
  // docker's defaults; "exec" and the like override them because the last one wins.
  return {
    mount: {
      destination,
      type: "tmpfs",
      source: "tmpfs",
      options: ["noexec", "nosuid", "nodev", ...words],
    },
    createSource: false,
  };
}

/** Parses `--mount type=bind|tmpfs,source=...,target=...[,readonly]...`. */
export function parseMount(text: string): MountRequest {
  const fail = (expected: string): never => {
    throw new BerthError("invalid_argument", `--mount: found ${JSON.stringify(text)}, expected ${expected}`);
  };
  let type = "volume";
  let source: string | undefined;
  let target: string | undefined;
  let propagation = "rprivate";
  let size: string | undefined;
  let mode: string | undefined;
  let recursive = true;
  const options: string[] = [];
  for (const field of text.split(",")) {
    const at = field.indexOf("=");
    const key = at < 0 ? field : field.slice(0, at);
    const value = at < 0 ? "" : field.slice(at + 1);
    if (key === "type") type = value;
    else if (key === "source" || key === "src") source = value;
    else if (key === "target" || key === "destination" || key === "dst") target = value;
    else if (key === "readonly" || key === "ro") {
      if (value === "" || value === "true" || value === "1") options.push("ro");
      else if (value !== "false" && value !== "0") fail("readonly=true or readonly=false");
    } else if (key === "bind-propagation") {
      if (!PROPAGATION.includes(value)) fail(`bind-propagation of ${PROPAGATION.join(", ")}`);
      propagation = value;
    } else if (key === "bind-nonrecursive") recursive = value === "false";
    else if (key === "tmpfs-size") size = value;
    else if (key === "tmpfs-mode") mode = value;
    else fail(`known fields (it has "${key}")`);
  }
  if (!target?.startsWith("/") || /^\/+$/.test(target))
    return fail('target=, an absolute path other than "/"');
  if (type === "tmpfs") {
    if (source) fail("no source with type=tmpfs");
    const own = ["noexec", "nosuid", "nodev", ...options];
    if (size !== undefined) own.push(`size=${size}`);
    if (mode !== undefined) own.push(`mode=${mode}`);
    return {
      mount: { destination: target, type: "tmpfs", source: "tmpfs", options: own },
      createSource: false,
    };
  }
  if (type !== "bind") fail("type=bind or type=tmpfs (volumes are not supported)");
  if (!source?.startsWith("/")) return fail("source=, an absolute path");
  return {
    mount: {
      destination: target,
      type: "bind",
      source,
      options: [recursive ? "rbind" : "bind", ...options, propagation],
    },
    createSource: false,
  };
}
