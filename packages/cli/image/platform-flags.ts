/** --platform and --all-platforms. */
import type { PlatformOptions } from "@berth/client";
import { bool, text, usageError } from "../flags.ts";

/** The flags of commands that handle images of several platforms. */
export const PLATFORM_FLAGS = {
  platform: text("OS/ARCH[/VARIANT]", "Another platform than this machine's"),
  allPlatforms: bool("All platforms"),
};

/** What the flags ask for. */
export function platformOptions(flags: {
  platform: string | undefined;
  allPlatforms: boolean;
}): PlatformOptions {
  if (flags.platform !== undefined && flags.allPlatforms)
    throw usageError("--platform and --all-platforms exclude each other");
  const platform = flags.platform === undefined ? undefined : platformOf(flags.platform);
  return { platform, allPlatforms: flags.allPlatforms };
}

function platformOf(value: string): { os: string; architecture: string; variant?: string } {
  const [os, architecture, variant, ...more] = value.split("/");
  if (!os || !architecture || more.length > 0)
    throw usageError(`--platform: found "${value}", expected OS/ARCH[/VARIANT], for instance linux/arm64`);
  return { os, architecture, ...(variant ? { variant } : {}) };
}
