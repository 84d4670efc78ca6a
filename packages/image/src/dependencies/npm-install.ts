import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { canonicalJson, MillraceError } from "@millrace/core";
import { touch } from "../cache.ts";
import { sha256 } from "../digest.ts";
import type { Context } from "../image.ts";
import { type InstalledPackage, withNeeds } from "./installed.ts";
import { formatTarget, type TargetPlatform } from "./target.ts";

const TIMEOUT_MS = 10 * 60_000;
const MOST_OUTPUT = 16 * 1024 * 1024;

export interface NpmInstallRequest extends Context {
  readonly packages: readonly InstalledPackage[];
  /** A folder of the project: npm's settings are those that hold there. */
  readonly from: string;
  readonly target: TargetPlatform;
  readonly cacheDirectory: string;
}

/** What npm is asked for: `1.2.3`, or `npm:real-name@1.2.3` for an alias. */
function wanted({ name, manifest }: InstalledPackage): string {
  return manifest.name === name ? manifest.version : `npm:${manifest.name}@${manifest.version}`;
}

type Overrides = { [name: string]: string | Overrides };

/**
 * Pins what the packages need to the versions that are installed here. A name with one version is pinned everywhere; one
 * with several is pinned along each way that leads to it, as npm lets what is pinned for a package hold for all below it.
 */
export function overridesFor(packages: readonly InstalledPackage[]): Overrides {
  const versions = new Map<string, Set<string>>();
  for (const one of withNeeds(packages))
    versions.set(one.name, (versions.get(one.name) ?? new Set()).add(wanted(one)));
  const several = (name: string) => (versions.get(name)?.size ?? 0) > 1;
  const direct = new Set(packages.map(({ name }) => name));
  const everywhere = [...versions]
    .filter(([name]) => !direct.has(name) && !several(name))
    .flatMap(([name, [version = ""]]) => [[name, version]] as const);

  function below(one: InstalledPackage, way: readonly InstalledPackage[]): Overrides {
    const pins = one.needs.flatMap((needed): [string, Overrides][] => {
      if (way.includes(needed)) return [];
      const inner = below(needed, [...way, needed]);
      const matters = several(needed.name) || Object.keys(inner).length > 0;
      return matters ? [[needed.name, { ".": wanted(needed), ...inner }]] : [];
    });
    return Object.fromEntries(pins);
  }
  const ways = packages.map((one) => [one.name, below(one, [one])] as const);
  return Object.fromEntries([
    ...everywhere,
    ...ways.filter(([, pins]) => Object.keys(pins).length > 0),
  ]);
}

/** The `.npmrc` that holds for a folder of a project. */
function settingsOf(from: string): string | undefined {
  for (let directory = from; ; directory = dirname(directory)) {
    const file = join(directory, ".npmrc");
    if (existsSync(file)) return file;
    if (dirname(directory) === directory) return undefined;
  }
}

function failed(target: TargetPlatform, why: string, cause: unknown): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "DEPENDENCIES_FAILED",
    message: `npm could not install the packages that cannot be bundled for ${formatTarget(target)}: ${why}.`,
    action:
      "Check that the named package is in the registry that npm is set up for, and that this machine reaches it.",
    cause,
  });
}

/** What npm's output says went wrong, without its advice and the path of its log. */
function complaint(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ("code" in error && error.code === "ENOENT") return "there is no npm on the PATH";
  if ("killed" in error && error.killed === true)
    return `it took longer than ${TIMEOUT_MS / 60_000} minutes`;
  const lines = "stderr" in error ? String(error.stderr).split("\n") : [];
  const told = lines
    .map((line) => line.replace(/^npm (?:error|ERR!) ?/, "").trim())
    .filter((line) => line !== "" && !/^(?:npm |A complete log|\/|[A-Z]:\\)/.test(line));
  return (
    told.slice(0, 5).join(" ").slice(0, 600) || error.message.split("\n", 1)[0] || "no reason given"
  );
}

async function runNpm(directory: string, target: TargetPlatform, signal: AbortSignal) {
  const { os, cpu, libc } = target;
  const platform = [`--os=${os}`, `--cpu=${cpu}`, `--libc=${libc}`];
  const quietly = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];
  const plainly = ["--ignore-scripts", "--no-bin-links", "--no-package-lock", "--omit=dev"];
  try {
    await promisify(execFile)("npm", ["install", ...platform, ...plainly, ...quietly], {
      cwd: directory,
      timeout: TIMEOUT_MS,
      maxBuffer: MOST_OUTPUT,
      signal,
      // npm is a script on Windows.
      shell: process.platform === "win32",
    });
  } catch (error) {
    signal.throwIfAborted();
    throw failed(target, complaint(error), error);
  }
}

/** Another process may have been faster: then what it made is taken. */
async function moveInto(place: string, made: string): Promise<void> {
  try {
    await rename(made, place);
  } catch (error) {
    if (!existsSync(place)) throw error;
  }
}

/**
 * Installs packages for another platform than this one, in the versions that are installed here. No scripts are run: they
 * would run on the wrong platform.
 * @returns Folder with the `node_modules`. What was installed before is not installed again.
 * @throws MillraceError DEPENDENCIES_FAILED, with what npm said.
 */
export async function npmInstall(request: NpmInstallRequest): Promise<string> {
  const { packages, from, target, cacheDirectory, signal, progress } = request;
  const project = {
    private: true,
    dependencies: Object.fromEntries(packages.map((one) => [one.name, wanted(one)])),
    overrides: overridesFor(packages),
  };
  const key = sha256(canonicalJson({ project, target })).slice("sha256:".length);
  const place = join(cacheDirectory, "dependencies", key);
  if (existsSync(place)) {
    await touch(place);
    return place;
  }
  const names = packages.map(({ name }) => name).join(", ");
  progress(`Installing ${names} for ${formatTarget(target)}`);
  const folder = `${place}.${process.pid}.${randomUUID()}.part`;
  await mkdir(folder, { recursive: true });
  try {
    await writeFile(join(folder, "package.json"), JSON.stringify(project));
    const settings = settingsOf(from);
    const link = join(folder, ".npmrc");
    // A link holds no token. Windows lets only some users make one.
    if (settings !== undefined)
      await (process.platform === "win32" ? copyFile : symlink)(settings, link);
    await runNpm(folder, target, signal);
    // They say where and when it was installed, and the settings may hold a token.
    for (const file of [link, join(folder, "node_modules/.package-lock.json")])
      await rm(file, { force: true });
    await moveInto(place, folder);
    return place;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Names of the packages in a `node_modules`. */
export async function packagesIn(modules: string): Promise<string[]> {
  const entries = existsSync(modules) ? await readdir(modules) : [];
  const names = await Promise.all(
    entries
      .filter((entry) => !entry.startsWith("."))
      .map(async (entry) =>
        entry.startsWith("@")
          ? (await readdir(join(modules, entry))).map((name) => `${entry}/${name}`)
          : [entry],
      ),
  );
  return names.flat().sort();
}
