/** What labels say about an object's life: containerd's `containerd.io/gc.*`, and berth's hold for new containers. */
import { CONTAINERD_LABEL, LABEL } from "@berth/api";
import type { Labels } from "../../base/core/names.ts";
import { parseRfc3339 } from "../../base/core/time.ts";
import { containerNode, contentNode, imageNode, mountNode, type NodeName, snapshotNode } from "./nodes.ts";

/** Whether a label is `prefix`, alone or with a name behind a "." or "/". */
function isNamed(key: string, prefix: string): boolean {
  return key === prefix || key.startsWith(`${prefix}.`) || key.startsWith(`${prefix}/`);
}

/** The snapshot in a label "<prefix><snapshotter>[/<name>]". */
function snapshotOf(key: string, prefix: string, value: string): NodeName[] {
  const [snapshotter = ""] = key.slice(prefix.length).split("/");
  return snapshotter === "" ? [] : [snapshotNode(snapshotter, value)];
}

/** The nodes that an object with these labels keeps. */
export function references(labels: Labels): NodeName[] {
  const { gcRefContent, gcRefImage, gcRefMount, gcRefSnapshot } = CONTAINERD_LABEL;
  return Object.entries(labels).flatMap(([key, value]) => {
    if (isNamed(key, gcRefContent)) return [contentNode(value)];
    if (isNamed(key, gcRefImage)) return [imageNode(value)];
    if (isNamed(key, gcRefMount)) return [mountNode(value)];
    return key.startsWith(gcRefSnapshot) ? snapshotOf(key, gcRefSnapshot, value) : [];
  });
}

/** The nodes that keep an object with these labels. */
export function keepers(labels: Labels): NodeName[] {
  const { gcBackRefContainer, gcBackRefImage, gcBackRefContent, gcBackRefSnapshot } = CONTAINERD_LABEL;
  return Object.entries(labels).flatMap(([key, value]) => {
    if (isNamed(key, gcBackRefContainer)) return [containerNode(value)];
    if (isNamed(key, gcBackRefImage)) return [imageNode(value)];
    if (isNamed(key, gcBackRefContent)) return [contentNode(value)];
    return key.startsWith(gcBackRefSnapshot) ? snapshotOf(key, gcBackRefSnapshot, value) : [];
  });
}

/** Whether the labels of a blob or a snapshot keep it: for ever, or until a time that is still to come. */
export function isRoot(labels: Labels, nowNs: bigint): boolean {
  return (
    labels[CONTAINERD_LABEL.gcRoot] !== undefined || isHeld(labels, nowNs) || expiresAfter(labels, nowNs)
  );
}

/** Whether a client has asked for it to be held. */
export function isHeld(labels: Labels, nowNs: bigint): boolean {
  const until = timeIn(labels, LABEL.heldUntil);
  return until !== undefined && until > nowNs;
}

/** Whether `containerd.io/gc.expire`, on a lease or an image, has passed. */
export function hasExpired(labels: Labels, nowNs: bigint): boolean {
  const at = timeIn(labels, CONTAINERD_LABEL.gcExpire);
  return at !== undefined && at <= nowNs;
}

function expiresAfter(labels: Labels, nowNs: bigint): boolean {
  const at = timeIn(labels, CONTAINERD_LABEL.gcExpire);
  return at !== undefined && at > nowNs;
}

/** When labels cease to hold something; undefined if never. */
export function expiry(labels: Labels): bigint | undefined {
  return timeIn(labels, CONTAINERD_LABEL.gcExpire) ?? timeIn(labels, LABEL.heldUntil);
}

function timeIn(labels: Labels, key: string): bigint | undefined {
  const text = labels[key];
  return text === undefined ? undefined : parseRfc3339(text);
}
