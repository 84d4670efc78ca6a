import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { cp, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";

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
  const placed = new Map<string, string>();
  const copy = async (one: ExternalPackage, into: string): Promise<void> => {
    const top = join(directory, "node_modules", one.name);
    const taken = placed.get(top);
    if (taken === one.version) return;
    // Another version holds the shared place: this one goes below the package that needs it.
    const target = taken === undefined ? top : join(into, "node_modules", one.name);
    if (placed.get(target) === one.version) return;
    placed.set(target, one.version);
    await mkdir(dirname(target), { recursive: true });
    await cp(one.directory, target, {
      recursive: true,
      dereference: true,
      filter: (file) => !file.slice(one.directory.length).includes("node_modules"),
    });
    for (const name of neededBy(readManifest(one.directory))) {
      const needed = findInstalled(name, one.directory);
      if (needed !== undefined) await copy(needed, target);
    }
  };
  for (const one of packages) await copy(one, directory);
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
