import { realpath } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { MillraceError, messageOf } from "@millrace/core";
import type { Plugin } from "rolldown";
import { z } from "zod";
import { type ExternalPackage, type InstalledPackage, isNative, packageOf } from "./packages.ts";
import { type PipelineSource, shownPath } from "./source.ts";

/** The file that a snapshot's process imports; its default export is the pipeline. */
export const ENTRY_FILE = "pipeline.mjs";
/** Oldest Node that bundles are made for. */
export const TARGET_NODE = "22.18.0";

export interface Bundle {
  /** Contents by path relative to the snapshot's folder. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly externals: readonly ExternalPackage[];
  /** Absolute paths of everything that decides about the bundle. */
  readonly sources: readonly string[];
}

/** What is wrong with one place of the sources. */
interface Fault {
  readonly file: string | undefined;
  readonly line: number | undefined;
  readonly column: number | undefined;
  readonly message: string;
  readonly action: string;
}

/** What one pass over the sources found beside the bundle itself. */
interface Findings {
  readonly externals: Map<string, ExternalPackage>;
  /** Folders of packages that turned out to need their own files. */
  readonly needFiles: Set<string>;
  readonly faults: Fault[];
}

const VIRTUAL_ENTRY = "\0millrace-entry";

/**
 * Bundles a pipeline's module with all that it imports. The same sources give the same bytes, wherever they lie. A package
 * that cannot be bundled stays a package: which ones, a first pass may have to find out.
 * @throws MillraceError `SNAPSHOT_BUNDLE_FAILED` naming file, line and cause.
 */
export async function bundle(source: PipelineSource): Promise<Bundle> {
  const root = await realpath(source.root);
  const kept = new Set<string>();
  for (;;) {
    const findings: Findings = { externals: new Map(), needFiles: new Set(), faults: [] };
    const outcome = await pass(source, root, kept, findings);
    if (findings.needFiles.size > 0) {
      for (const folder of findings.needFiles) kept.add(folder);
      continue;
    }
    const faults =
      "failure" in outcome ? [...findings.faults, ...faultsOf(outcome.failure)] : findings.faults;
    if (faults.length > 0)
      throw failed(source, faults, "failure" in outcome ? outcome.failure : undefined);
    if ("bundle" in outcome) return outcome.bundle;
  }
}

async function pass(
  source: PipelineSource,
  root: string,
  kept: ReadonlySet<string>,
  findings: Findings,
): Promise<{ readonly bundle: Bundle } | { readonly failure: unknown }> {
  const { rolldown } = await import("rolldown");
  try {
    await using build = await rolldown({
      input: { pipeline: VIRTUAL_ENTRY },
      cwd: root,
      platform: "node",
      transform: { target: `node${TARGET_NODE}` },
      experimental: { attachDebugInfo: "none", resolveNewUrlToAsset: true },
      onLog(_level, log) {
        if (
          log.code === "UNRESOLVED_IMPORT" &&
          packageOf(log.loc?.file ?? log.id ?? "") === undefined
        )
          findings.faults.push(faultOf(log));
      },
      plugins: [entry(source), externalPackages(kept, findings), await tracing(findings)],
    });
    const { output } = await build.generate({
      format: "esm",
      entryFileNames: ENTRY_FILE,
      chunkFileNames: "chunk-[hash].mjs",
      assetFileNames: "asset-[name]-[hash][extname]",
      sourcemap: true,
      // Stacks need the places alone; the text of all sources would be half of what a change of the code sends.
      sourcemapExcludeSources: true,
      sourcemapPathTransform: (path, map) => portable(resolve(dirname(map), path), root),
    });
    const files = new Map<string, Uint8Array>();
    for (const part of output) {
      const content = part.type === "chunk" ? part.code : part.source;
      files.set(part.fileName, typeof content === "string" ? Buffer.from(content) : content);
    }
    const externals = [...findings.externals.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    const read = (await build.watchFiles).filter((file) => !file.startsWith("\0"));
    const manifests = externals.map(({ directory }) => join(directory, "package.json"));
    return { bundle: { files, externals, sources: [...read, ...manifests] } };
  } catch (failure) {
    return { failure };
  }
}

function entry({ file, export: name }: PipelineSource): Plugin {
  return {
    name: "millrace-entry",
    resolveId: (id) => (id === VIRTUAL_ENTRY ? id : undefined),
    load: (id) =>
      id === VIRTUAL_ENTRY
        ? {
            // A missing export is told of when the bundle is compiled, in the user's words.
            code: `import * as module from ${JSON.stringify(file)};\nexport default module[${JSON.stringify(name)}];`,
            moduleSideEffects: true,
          }
        : undefined,
  };
}

/** Leaves packages out of the bundle that bring native code or that are known to need their own files. */
function externalPackages(
  kept: ReadonlySet<string>,
  { externals, needFiles, faults }: Findings,
): Plugin {
  const native = new Map<string, boolean>();
  const stays = ({ directory }: InstalledPackage): boolean => {
    const known = native.get(directory) ?? isNative(directory);
    native.set(directory, known);
    return known || kept.has(directory);
  };
  return {
    name: "millrace-external-packages",
    async resolveId(id, importer, options) {
      if (id.startsWith(".") || id.startsWith("\0") || id.startsWith("node:") || isAbsolute(id))
        return undefined;
      const found = await this.resolve(id, importer, { ...options, skipSelf: true });
      if (found === null || found.external) return found;
      const owner = packageOf(found.id);
      if (owner === undefined || !stays(owner)) return found;
      const name = packageName(id);
      const other = externals.get(name);
      if (other !== undefined && other.directory !== owner.directory) {
        faults.push({
          file: importer,
          line: undefined,
          column: undefined,
          message: `the package ${name} cannot be bundled and is needed in two versions, ${other.version} and ${owner.version}`,
          action: `Bring both to one version: npm dedupe, or an override of ${name} in package.json.`,
        });
      }
      externals.set(name, { name, version: owner.version, directory: owner.directory });
      return { id, external: true };
    },
    load: {
      filter: { id: /\.node$/ },
      handler(id) {
        const owner = packageOf(id);
        if (owner !== undefined) needFiles.add(owner.directory);
        else
          faults.push({
            file: id,
            line: undefined,
            column: undefined,
            message: "a native addon cannot be bundled",
            action: "Make it part of a package and install that: packages keep their own files.",
          });
        return "export default undefined;";
      },
    },
  };
}

/** `@scope/name` or `name` of an import. */
function packageName(id: string): string {
  return id
    .split("/")
    .slice(0, id.startsWith("@") ? 2 : 1)
    .join("/");
}

/** Notices what would look for files that a bundle has not beside it. */
async function tracing({ needFiles, faults }: Findings): Promise<Plugin> {
  const { findUntraceable, SUSPICIOUS } = await import("./tracing.ts");
  return {
    name: "millrace-tracing",
    transform: {
      filter: { id: /\.[cm]?[jt]sx?$/, code: SUSPICIOUS },
      handler(code, id) {
        // The bundler's own runtime has no path.
        if (!isAbsolute(id)) return;
        const owner = packageOf(id);
        if (isOurs(id, owner) || needFiles.has(owner?.directory ?? "")) return;
        for (const { line, column, what } of findUntraceable(code, id)) {
          if (owner !== undefined) needFiles.add(owner.directory);
          else
            faults.push({
              file: id,
              line,
              column,
              message: `${what} cannot be traced`,
              action:
                'Import modules and JSON by a fixed path, and name other files by new URL("./file.csv", import.meta.url).',
            });
        }
      },
    },
  };
}

/** The client loads control by name, which a pipeline never does. */
function isOurs(file: string, owner: InstalledPackage | undefined): boolean {
  const name = owner?.name ?? packageOf(file, "linked")?.name;
  return name === "millrace" || name?.startsWith("@millrace/") === true;
}

/** Where a module lies without where its project lies: relative to the project, else to its package. */
function portable(file: string, root: string): string {
  const inside = relative(root, file);
  const owner = packageOf(file);
  if (owner === undefined && !inside.startsWith("..")) return inside.split(sep).join("/");
  const home = owner ?? packageOf(file, "linked");
  return home === undefined
    ? (inside.split(sep).at(-1) ?? "")
    : [home.name, ...relative(home.directory, file).split(sep)].join("/");
}

const logSchema = z.object({
  message: z.string(),
  code: z.string().optional(),
  id: z.string().optional(),
  loc: z.object({ file: z.string().optional(), line: z.number(), column: z.number() }).optional(),
});
const failureSchema = z.object({ errors: z.array(logSchema).min(1) });

function faultsOf(failure: unknown): Fault[] {
  const known = failureSchema.safeParse(failure);
  if (known.success) return known.data.errors.map(faultOf);
  return [
    {
      file: undefined,
      line: undefined,
      column: undefined,
      message: messageOf(failure),
      action: "Correct what is named and try again.",
    },
  ];
}

function faultOf(log: z.output<typeof logSchema>): Fault {
  // Where it is imported may be a module of ours, and the cause stands beside the bundler's drawing of that place.
  const unread = /^Could not load (.+)$/.exec(plain(log.message))?.[1];
  const cause = /╰─+ (.+)/.exec(log.message)?.[1];
  if (unread !== undefined && cause !== undefined) {
    return {
      file: unread,
      line: undefined,
      column: undefined,
      message: `it cannot be read: ${cause}`,
      action: cause.includes("UTF-8") ? "Save it as UTF-8." : "See that this user may read it.",
    };
  }
  const missing = /^Could not resolve '([^'./#][^']*)'/.exec(plain(log.message))?.[1];
  return {
    file: log.loc?.file ?? log.id,
    line: log.loc?.line,
    column: log.loc === undefined ? undefined : log.loc.column + 1,
    message:
      missing === undefined
        ? plain(log.message)
        : `the package ${packageName(missing)} is not installed`,
    action:
      missing === undefined
        ? "Correct the named line."
        : `Run: npm install ${packageName(missing)}`,
  };
}

/** The first line without the bundler's own code. */
function plain(message: string): string {
  return (message.split("\n")[0] ?? "").replace(/^\[[A-Z_]+\] /, "").replace(/\.$/, "");
}

function failed(source: PipelineSource, faults: readonly Fault[], cause: unknown): MillraceError {
  const [first] = faults;
  const issues = faults.map(({ file, line, column, message }) => ({
    path: [],
    message: [...(file === undefined ? [] : [shownPath(file)]), line, column]
      .filter((part) => part !== undefined)
      .join(":")
      .concat(": ", message),
  }));
  return new MillraceError({
    class: "pipeline",
    code: "SNAPSHOT_BUNDLE_FAILED",
    message: `${shownPath(source.file)} could not be bundled: ${issues[0]?.message ?? "for no known reason"}${issues.length > 1 ? ` (and ${issues.length - 1} more)` : ""}.`,
    action: first?.action,
    ...(issues.length > 1 ? { issues } : {}),
    cause,
  });
}
