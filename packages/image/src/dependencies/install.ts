import { join, posix } from "node:path";
import type { ImagePlatform } from "@millrace/core";
import { filesIn, type LayerFile } from "../files.ts";
import type { Context } from "../image.ts";
import { checkBinaries } from "./binaries.ts";
import { type InstalledPackage, readInstalled, requiredNames } from "./installed.ts";
import { layOut } from "./layout.ts";
import { npmInstall } from "./npm-install.ts";
import { formatTarget, hostTarget, type TargetPlatform, targetOf } from "./target.ts";

export interface DependenciesRequest extends Context {
  /** Exact versions by the names that imports use. */
  readonly packages: Readonly<Record<string, string>>;
  /** Folder from which Node finds the packages on this machine. */
  readonly from: string;
  readonly platform: ImagePlatform;
  /** The C library of the base image. Default glibc. */
  readonly libc?: TargetPlatform["libc"];
  /** Folder in the image that gets the `node_modules`. */
  readonly at: string;
  readonly cacheDirectory: string;
}

/** The packages as they are installed here. */
async function installedFiles(
  packages: readonly InstalledPackage[],
  at: string,
): Promise<LayerFile[]> {
  const own = (path: string) => !path.split("/").includes("node_modules");
  const files = layOut(packages).map(({ path, source, real }) =>
    path === real
      ? filesIn(source.directory, posix.join(at, path), own)
      : [{ path: posix.join(at, path), link: posix.relative(posix.dirname(path), real) }],
  );
  return (await Promise.all(files)).flat();
}

/**
 * Files of the packages that a bundle cannot hold, with all that they need, for a platform. Where this machine is of that
 * platform, they are those that are installed; else npm installs the same versions for it.
 * @throws MillraceError DEPENDENCY_MISSING, DEPENDENCY_CHANGED, DEPENDENCY_NOT_PORTABLE, DEPENDENCIES_FAILED, each naming
 * the package.
 */
export async function installDependencies(request: DependenciesRequest): Promise<LayerFile[]> {
  const { packages, from, platform, libc = "glibc", at } = request;
  const target = targetOf(platform, libc);
  const installed = readInstalled(packages, from, target);
  if (installed.length === 0) return [];
  if (formatTarget(target) === formatTarget(hostTarget())) return installedFiles(installed, at);
  const directory = await npmInstall({ ...request, packages: installed, target });
  await checkBinaries(directory, target, requiredNames(installed));
  return filesIn(join(directory, "node_modules"), posix.join(at, "node_modules"));
}
