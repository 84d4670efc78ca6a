import type { ImagePlatform } from "@millrace/core";
import { isNonGlibcLinuxSync } from "detect-libc";

/** A platform in the words of npm. */
export interface TargetPlatform {
  readonly os: string;
  readonly cpu: string;
  readonly libc: "glibc" | "musl";
}

const CPUS: Readonly<Record<ImagePlatform["architecture"], string>> = {
  amd64: "x64",
  arm64: "arm64",
};

export function targetOf(platform: ImagePlatform, libc: TargetPlatform["libc"]): TargetPlatform {
  return { os: platform.os, cpu: CPUS[platform.architecture], libc };
}

export function formatTarget({ os, cpu, libc }: TargetPlatform): string {
  return `${os}-${cpu}${libc === "musl" ? "-musl" : ""}`;
}

/** What this process runs on. */
export function hostTarget(): TargetPlatform {
  return {
    os: process.platform,
    cpu: process.arch,
    libc: isNonGlibcLinuxSync() ? "musl" : "glibc",
  };
}

/** What a package says of itself: `["linux"]`, or `["!win32"]`. */
function allows(list: readonly string[] | undefined, value: string): boolean {
  if (list === undefined || list.length === 0 || list.includes("any")) return true;
  if (list.includes(`!${value}`)) return false;
  return list.includes(value) || list.every((entry) => entry.startsWith("!"));
}

/** True unless a package says that it is for other platforms. */
export function runsOn(
  manifest: {
    readonly os?: readonly string[] | undefined;
    readonly cpu?: readonly string[] | undefined;
    readonly libc?: readonly string[] | undefined;
  },
  { os, cpu, libc }: TargetPlatform,
): boolean {
  return allows(manifest.os, os) && allows(manifest.cpu, cpu) && allows(manifest.libc, libc);
}
