import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { cp, mkdir, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";

interface PackageManifest {
  readonly name?: string;
  readonly version?: string;
  readonly gypfile?: boolean;
  readonly binary?: unknown;
  readonly napi?: unknown;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export interface InstalledPackage {
  readonly name: string;
  readonly version: string;
  /** Real path of its folder. */
  readonly directory: string;
}

/** A package that a bundle cannot hold: it stays a package, in its exact version. `name` is what imports call it. */
export type ExternalPackage = InstalledPackage;

/** Loaders of native code; a package that uses one looks for files beside itself. */
const NATIVE_LOADERS: ReadonlySet<string> = new Set([
  "bindings",
  "node-gyp-build",
  "node-gyp-build-optional-packages",
  "node-pre-gyp",
  "@mapbox/node-pre-gyp",
  "prebuild-install",
  "pkg-prebuilds",
]);

function readManifest(directory: string): PackageManifest {
  return JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as PackageManifest;
}

/**
 * The package that a file belongs to; undefined for a file of the user's own. `linked` also counts packages that are not
 * installed but linked or nearest, as in a workspace.
 */
export function packageOf(
  file: string,
  which: "installed" | "linked" = "installed",
): InstalledPackage | undefined {
  if (which === "installed" && !/[/\\]node_modules[/\\]/.test(file)) return undefined;
  for (
    let directory = dirname(file);
    dirname(directory) !== directory;
    directory = dirname(directory)
  ) {
    if (!existsSync(join(directory, "package.json"))) continue;
    const { name, version } = readManifest(directory);
    // Folders inside a package may carry a package.json that only sets its module type.
    if (name !== undefined && (version !== undefined || which === "linked"))
      return { name, version: version ?? "0.0.0", directory: realpathSync(directory) };
  }
  return undefined;
}

/** True when a package brings native code: an addon, a recipe to compile one, or a loader of one. */
export function isNative(directory: string): boolean {
  const manifest = readManifest(directory);
  if (manifest.gypfile === true || manifest.binary !== undefined || manifest.napi !== undefined)
    return true;
  if (existsSync(join(directory, "binding.gyp")) || existsSync(join(directory, "prebuilds")))
    return true;
  const needs = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies });
  if (needs.some((name) => NATIVE_LOADERS.has(name))) return true;
  if (needs.some((name) => isPlatformPackage(name))) return true;
  return readdirSync(directory).some((name) => name.endsWith(".node"));
}

/** `@img/sharp-linux-x64`, `lightningcss-darwin-arm64` …: one of a family of packages with a binary per platform. */
function isPlatformPackage(name: string): boolean {
  return /(?:linux|darwin|win32)-(?:x64|arm64)/.test(name);
}

/** Copies packages with everything that they need into `<directory>/node_modules`, as they are installed here. */
export async function copyPackages(
  packages: readonly ExternalPackage[],
  directory: string,
): Promise<void> {
  // Loaded when there are such packages: most pipelines have none.
  const { layOut } = await import("@millrace/image");
  for (const { path, real, source } of layOut(withNeeds(packages))) {
    const target = join(directory, path);
    await mkdir(dirname(target), { recursive: true });
    if (path !== real) await symlink(relative(dirname(path), real), target, "dir");
    else
      await cp(source.directory, target, {
        recursive: true,
        dereference: true,
        filter: (file) => !file.slice(source.directory.length).includes("node_modules"),
      });
  }
}

interface NeedingPackage extends InstalledPackage {
  readonly needs: readonly NeedingPackage[];
}

/** The packages, each with those that it finds from where it is installed. */
function withNeeds(packages: readonly InstalledPackage[]): NeedingPackage[] {
  const known = new Map<string, NeedingPackage>();
  const read = (one: InstalledPackage): NeedingPackage => {
    const key = `${one.name} ${one.directory}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    const needs: NeedingPackage[] = [];
    const needing = { ...one, needs };
    // Known before its needs are read: packages may need each other.
    known.set(key, needing);
    for (const name of neededBy(readManifest(one.directory))) {
      const found = findInstalled(name, one.directory);
      if (found !== undefined && found.directory !== one.directory) needs.push(read(found));
    }
    return needing;
  };
  return packages.map(read);
}

/** Names of the packages that a package may import when it runs. */
function neededBy(manifest: PackageManifest): string[] {
  const { dependencies, optionalDependencies, peerDependencies, peerDependenciesMeta } = manifest;
  const peers = Object.keys(peerDependencies ?? {}).filter(
    (name) => peerDependenciesMeta?.[name]?.optional !== true,
  );
  return [...new Set([...Object.keys({ ...dependencies, ...optionalDependencies }), ...peers])];
}

/** A package as Node would find it from a folder; undefined when it is not installed, as optional ones may be. */
function findInstalled(name: string, from: string): ExternalPackage | undefined {
  for (let directory = from; ; directory = dirname(directory)) {
    const candidate = join(directory, "node_modules", name);
    if (existsSync(join(candidate, "package.json"))) {
      const { version = "0.0.0" } = readManifest(candidate);
      return { name, version, directory: realpathSync(candidate) };
    }
    if (dirname(directory) === directory) return undefined;
  }
}
