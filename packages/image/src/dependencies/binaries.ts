import { existsSync } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { MillraceError } from "@millrace/core";
import { readManifest } from "./installed.ts";
import { packagesIn } from "./npm-install.ts";
import { formatTarget, type TargetPlatform } from "./target.ts";

/** `e_machine` of an ELF header (Linux's executables and libraries), by npm's names. */
const MACHINES: Readonly<Record<number, string>> = { 62: "x64", 183: "arm64" };

/** The processor that a Linux binary is for; undefined for what is none. */
async function cpuOf(file: string): Promise<string | undefined> {
  const handle = await open(file);
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(20), 0, 20, 0);
    const elf = bytesRead === 20 && buffer.readUInt32BE(0) === 0x7f454c46;
    return elf ? MACHINES[buffer.readUInt16LE(18)] : undefined;
  } finally {
    await handle.close();
  }
}

async function addonsIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(".node"))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.slice(directory.length).includes("node_modules"));
}

async function hasAddonFor(directory: string, target: TargetPlatform): Promise<boolean> {
  for (const file of await addonsIn(directory)) if ((await cpuOf(file)) === target.cpu) return true;
  return false;
}

function needsCompiling(directory: string): boolean {
  const { gypfile, binary } = readManifest(directory);
  return gypfile === true || binary !== undefined || existsSync(join(directory, "binding.gyp"));
}

interface Folder {
  readonly name: string;
  readonly path: string;
}

/** Every package folder in a `node_modules`, also those that lie in others. */
async function foldersIn(modules: string): Promise<Folder[]> {
  const names = await packagesIn(modules);
  const inner = names.map(async (name) => {
    const path = join(modules, name);
    return [{ name, path }, ...(await foldersIn(join(path, "node_modules")))];
  });
  return (await Promise.all(inner)).flat();
}

/**
 * Checks that every package with native code has it for the platform: in itself, or in a package that it needs.
 * @param directory Holds the `node_modules`.
 * @param required Names of the packages to check. Who needs another one optionally deals with its failure.
 * @throws MillraceError DEPENDENCY_NOT_PORTABLE, naming the package.
 */
export async function checkBinaries(
  directory: string,
  target: TargetPlatform,
  required: ReadonlySet<string>,
): Promise<void> {
  const modules = join(directory, "node_modules");
  const folders = await foldersIn(modules);
  for (const { path: folder } of folders.filter(({ name }) => required.has(name))) {
    const native = needsCompiling(folder) || (await addonsIn(folder)).length > 0;
    if (!native || (await hasAddonFor(folder, target))) continue;
    const { name, version, optionalDependencies } = readManifest(folder);
    const parts = Object.keys(optionalDependencies ?? {})
      .flatMap((part) => [join(folder, "node_modules", part), join(modules, part)])
      .filter((part) => existsSync(part));
    const found = await Promise.all(parts.map((part) => hasAddonFor(part, target)));
    if (found.includes(true)) continue;
    throw new MillraceError({
      class: "usage",
      code: "DEPENDENCY_NOT_PORTABLE",
      message: `The package ${name} ${version} has native code and brings none for ${formatTarget(target)}: it would have to be compiled there.`,
      action: `Deploy from a ${formatTarget(target)} machine where it is installed, or take a version that ships binaries.`,
      details: { package: name, version },
    });
  }
}
