/** Builds small images for the engine's tests, as OCI and docker archives, from Debian's busybox-static. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { gzipSync, zstdCompressSync } from "node:zlib";
import {
  TAR_END,
  type TarFile,
  tarHeader,
  tarPadding,
} from "../../packages/engine/work/layers/tar-writer.ts";

/** A file in an archive. */
export type ArchiveFile = Omit<TarFile, "size"> & { data?: Buffer | string };

/** A tar archive of the files. */
export function tar(...files: ArchiveFile[]): Buffer {
  const parts: Buffer[] = [];
  for (const { data, ...file } of files) {
    const bytes = data === undefined ? Buffer.alloc(0) : Buffer.from(data);
    parts.push(tarHeader({ ...file, size: bytes.length }), bytes, tarPadding(bytes.length));
  }
  return Buffer.concat([...parts, TAR_END]);
}

/** `sha256:` and the hash of the bytes. */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Compression of the layers of a test image. */
export type LayerCompression = "gzip" | "zstd" | "none";

/** An image in memory. */
export interface TestImage {
  manifest: Buffer;
  config: Buffer;
  layers: { bytes: Buffer; diffId: string; mediaType: string }[];
}

function pack(bytes: Buffer, how: LayerCompression): { bytes: Buffer; mediaType: string } {
  const base = "application/vnd.oci.image.layer.v1.tar";
  if (how === "gzip") return { bytes: gzipSync(bytes), mediaType: `${base}+gzip` };
  if (how === "zstd") return { bytes: zstdCompressSync(bytes), mediaType: `${base}+zstd` };
  return { bytes, mediaType: base };
}

const HOST = process.arch === "arm64" ? "arm64" : "amd64";

/** Builds an image from layers (tar archives) and a config. */
export function makeImage(
  layers: Buffer[],
  how: LayerCompression = "gzip",
  config: object = {},
  architecture = HOST,
): TestImage {
  const packed = layers.map((layer) => ({ ...pack(layer, how), diffId: sha256(layer) }));
  const configBytes = Buffer.from(
    JSON.stringify({
      created: "2024-01-01T00:00:00Z",
      architecture,
      os: "linux",
      config: { Env: ["PATH=/bin"], Cmd: ["/bin/sh"], ...config },
      rootfs: { type: "layers", diff_ids: packed.map((l) => l.diffId) },
      history: packed.map(() => ({ created: "2024-01-01T00:00:00Z", created_by: "test" })),
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: {
        mediaType: "application/vnd.oci.image.config.v1+json",
        digest: sha256(configBytes),
        size: configBytes.length,
      },
      layers: packed.map((l) => ({ mediaType: l.mediaType, digest: sha256(l.bytes), size: l.bytes.length })),
    }),
  );
  return { manifest, config: configBytes, layers: packed };
}

/** The image as a named OCI archive. */
export function ociArchive(image: TestImage, name: string): Buffer {
  const blob = (bytes: Buffer) => ({ name: `blobs/sha256/${sha256(bytes).slice(7)}`, data: bytes });
  const index = JSON.stringify({
    schemaVersion: 2,
    manifests: [
      {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        digest: sha256(image.manifest),
        size: image.manifest.length,
        annotations: {
          "io.containerd.image.name": name,
          "org.opencontainers.image.ref.name": name.split(":").at(-1),
        },
      },
    ],
  });
  return tar(
    { name: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' },
    { name: "index.json", data: index },
    blob(image.manifest),
    blob(image.config),
    ...image.layers.map((l) => blob(l.bytes)),
  );
}

/** An image of several platforms, as an archive whose index names its index. */
export function platformsArchive(
  images: readonly { architecture: string; os?: string; image: TestImage }[],
  name: string,
): { archive: Buffer; index: string } {
  const manifests = images.map(({ architecture, os = "linux", image: { manifest } }) => ({
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: sha256(manifest),
    size: manifest.length,
    platform: { os, architecture },
  }));
  const mediaType = "application/vnd.oci.image.index.v1+json";
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
  const annotations = { "io.containerd.image.name": name };
  const entry = { mediaType, digest: sha256(index), size: index.length, annotations };
  const blob = (data: Buffer) => ({ name: `blobs/sha256/${sha256(data).slice(7)}`, data });
  const parts = images.flatMap(({ image }) => [
    image.manifest,
    image.config,
    ...image.layers.map(({ bytes }) => bytes),
  ]);
  const archive = tar(
    { name: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' },
    { name: "index.json", data: JSON.stringify({ schemaVersion: 2, manifests: [entry] }) },
    ...[index, ...parts].map(blob),
  );
  return { archive, index: sha256(index) };
}

/** The image as `docker save` (before OCI) writes it: layers are uncompressed. */
export function dockerArchive(image: TestImage, plainLayers: Buffer[], name: string): Buffer {
  const config = `${sha256(image.config).slice(7)}.json`;
  const folders = plainLayers.map((layer) => sha256(layer).slice(7));
  return tar(
    { name: config, data: image.config },
    ...folders.flatMap((folder, i) => [
      { name: `${folder}/`, type: "5", mode: 0o755 },
      { name: `${folder}/layer.tar`, data: plainLayers[i]! },
    ]),
    {
      name: "manifest.json",
      data: JSON.stringify([
        { Config: config, RepoTags: [name], Layers: folders.map((f) => `${f}/layer.tar`) },
      ]),
    },
  );
}

/** A root file system with busybox and its applets. */
export function busyboxLayer(): Buffer {
  const applets = [
    "sh",
    "echo",
    "cat",
    "ls",
    "sleep",
    "true",
    "false",
    "id",
    "ps",
    "mkdir",
    "rm",
    "env",
    "hostname",
  ];
  return tar(
    { name: "bin/", type: "5", mode: 0o755 },
    { name: "bin/busybox", mode: 0o755, data: readFileSync("/bin/busybox") },
    ...applets.map((applet) => ({ name: `bin/${applet}`, type: "2", linkname: "busybox" })),
    ...["dev", "proc", "sys", "etc", "root", "run", "var"].map((d) => ({
      name: `${d}/`,
      type: "5",
      mode: 0o755,
    })),
    { name: "tmp/", type: "5", mode: 0o1777 },
    { name: "etc/passwd", mode: 0o644, data: "root:x:0:0:root:/root:/bin/sh\n" },
    { name: "etc/group", mode: 0o644, data: "root:x:0:\n" },
  );
}
