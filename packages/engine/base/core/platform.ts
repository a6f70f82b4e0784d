/** Platforms in Go's and the image-spec's words. */
import { arch } from "node:os";
import type { types } from "@berth/api";

const GO_ARCH: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", arm: "arm", arm64: "arm64" };

/** This machine's architecture as Go calls it. */
export function goArchitecture(): string {
  return GO_ARCH[arch()] ?? arch();
}

/** What a platform is recognised by. */
export type PlatformWish = Pick<types.Platform, "os" | "architecture" | "variant">;

/** This machine. */
export function hostPlatform(): PlatformWish {
  return { os: "linux", architecture: goArchitecture(), variant: "" };
}

/** Tells whether an image for `offered` runs where `wanted` is asked for. */
export function platformMatches(wanted: PlatformWish, offered: Partial<PlatformWish> | undefined): boolean {
  if (offered === undefined) return true;
  const norm = (p: Partial<PlatformWish>) => {
    const architecture =
      p.architecture === "x86_64" ? "amd64" : p.architecture === "aarch64" ? "arm64" : p.architecture;
    // arm64 has only one variant that is in use.
    const variant = architecture === "arm64" && p.variant === "v8" ? "" : (p.variant ?? "");
    return { os: p.os, architecture, variant };
  };
  const a = norm(wanted);
  const b = norm(offered);
  return a.os === b.os && a.architecture === b.architecture && (a.variant === "" || a.variant === b.variant);
}
