import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { MillraceError, messageOf, parse } from "@millrace/core";
import { z } from "zod";
import type { TargetPlatform } from "./target.ts";
import { runsOn } from "./target.ts";

const versionsSchema = z.record(z.string(), z.string());
const manifestSchema = z.looseObject({
  name: z.string(),
  version: z.string(),
  os: z.array(z.string()).optional().catch(undefined),
  cpu: z.array(z.string()).optional().catch(undefined),
  libc: z.array(z.string()).optional().catch(undefined),
  gypfile: z.boolean().optional().catch(undefined),
  binary: z.unknown().optional(),
  dependencies: versionsSchema.optional().catch(undefined),
  optionalDependencies: versionsSchema.optional().catch(undefined),
  peerDependencies: versionsSchema.optional().catch(undefined),
});
export type PackageManifest = z.output<typeof manifestSchema>;

/** A package as it is installed here, and the packages that it finds from where it lies. */
export interface InstalledPackage {
  /** What imports call it; an alias differs from the manifest's name. */
  readonly name: string;
  readonly manifest: PackageManifest;
  /** Real path. */
  readonly directory: string;
  readonly needs: readonly InstalledPackage[];
}

export function readManifest(directory: string): PackageManifest {
  const file = join(directory, "package.json");
  const code = "DEPENDENCY_INVALID";
  const action = "Install the package again.";
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    const message = `${file} cannot be used: ${messageOf(cause)}.`;
    throw new MillraceError({ class: "usage", code, message, action, cause });
  }
  return parse(manifestSchema, content, { what: file, code, action });
}

/** Where Node would find a package from a folder. */
function find(name: string, from: string): string | undefined {
  for (let directory = from; ; directory = dirname(directory)) {
    const candidate = join(directory, "node_modules", name);
    if (existsSync(join(candidate, "package.json"))) return realpathSync(candidate);
    if (dirname(directory) === directory) return undefined;
  }
}

function missing(name: string, by: string): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "DEPENDENCY_MISSING",
    message: `The package ${name} is not installed, and ${by} needs it.`,
    action: "Install the project's packages again.",
    details: { package: name },
  });
}

/**
 * The packages and all that they need, as they are installed here. Optional ones for other platforms are left out.
 * @param packages Exact versions by name.
 * @throws MillraceError DEPENDENCY_MISSING, DEPENDENCY_CHANGED, DEPENDENCY_INVALID
 */
export function readInstalled(
  packages: Readonly<Record<string, string>>,
  from: string,
  target: TargetPlatform,
): InstalledPackage[] {
  const known = new Map<string, InstalledPackage & { needs: InstalledPackage[] }>();

  function read(name: string, directory: string): InstalledPackage {
    const key = `${name} ${directory}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    const manifest = readManifest(directory);
    const one = { name, manifest, directory, needs: [] as InstalledPackage[] };
    // Known before its needs are read: packages may need each other.
    known.set(key, one);
    const { dependencies, optionalDependencies, peerDependencies } = manifest;
    const wanted = { ...peerDependencies, ...dependencies, ...optionalDependencies };
    for (const needed of Object.keys(wanted).sort()) {
      const place = find(needed, directory);
      const required = dependencies?.[needed] !== undefined && !optionalDependencies?.[needed];
      if (place === undefined && required) throw missing(needed, name);
      if (place === undefined || place === directory) continue;
      const found = read(needed, place);
      if (required || runsOn(found.manifest, target)) one.needs.push(found);
    }
    return one;
  }

  return Object.entries(packages)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, version]) => {
      const directory = find(name, from);
      if (directory === undefined) throw missing(name, "the pipeline");
      const one = read(name, directory);
      if (one.manifest.version !== version)
        throw new MillraceError({
          class: "conflict",
          code: "DEPENDENCY_CHANGED",
          message: `The package ${name} is installed in version ${one.manifest.version}, and the snapshot was made with ${version}.`,
          action: "Make the snapshot again, or install the version that it was made with.",
          details: { package: name },
        });
      return one;
    });
}

/** The packages and all that they need, each once. */
export function withNeeds(packages: readonly InstalledPackage[]): InstalledPackage[] {
  const seen = new Set<InstalledPackage>();
  const waiting = [...packages];
  for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) {
    if (seen.has(one)) continue;
    seen.add(one);
    waiting.push(...one.needs);
  }
  return [...seen];
}

/** Names of the packages that there is no doing without: neither optional, nor needed by optional ones alone. */
export function requiredNames(packages: readonly InstalledPackage[]): ReadonlySet<string> {
  const required = new Set<InstalledPackage>();
  const waiting = [...packages];
  for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) {
    if (required.has(one)) continue;
    required.add(one);
    const { dependencies = {}, optionalDependencies = {} } = one.manifest;
    const needed = (name: string) =>
      Object.hasOwn(dependencies, name) && !Object.hasOwn(optionalDependencies, name);
    waiting.push(...one.needs.filter(({ name }) => needed(name)));
  }
  return new Set([...required].map(({ name }) => name));
}
