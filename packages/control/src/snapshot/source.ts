import { existsSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { MillraceError, messageOf, type Pipeline } from "@millrace/core";

/** A module that has been imported already is there at once. */
const EVALUATION_MS = 5000;

/** A pipeline's module and the export that holds it. */
export interface PipelineSource {
  /** Absolute path. */
  readonly file: string;
  readonly export: string;
  /** Folder of the nearest package.json, else of the module: paths in the snapshot are relative to it. */
  readonly root: string;
}

/**
 * Reads `path` or `path#export`. A # may be in the path itself.
 * @throws MillraceError `SOURCE_NOT_FOUND`
 */
export function sourceOfPath(text: string, directory: string): PipelineSource {
  const whole = resolve(directory, text);
  if (look(whole) === "file") return { file: whole, export: "default", root: packageRoot(whole) };
  const hash = text.lastIndexOf("#");
  const file = hash > 0 ? resolve(directory, text.slice(0, hash)) : whole;
  const found = look(file);
  if (found === "file") return { file, export: text.slice(hash + 1), root: packageRoot(file) };
  throw new MillraceError({
    class: "usage",
    code: "SOURCE_NOT_FOUND",
    message: found,
    action:
      "Name the module that exports the pipeline, for example pipeline.ts, or pipeline.ts#name for an export that is not the default.",
  });
}

/** `file`, or in words what is there instead. */
function look(path: string): string {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return `There is no file ${path}.`;
    return found.isFile() ? "file" : `${path} is no file.`;
  } catch (error) {
    return `${path} cannot be read: ${messageOf(error)}.`;
  }
}

/**
 * Finds the module and export of a pipeline object: the module that called definePipeline has to export it.
 * @throws MillraceError `PIPELINE_SOURCE_UNKNOWN`
 */
export async function sourceOfPipeline(pipeline: Pipeline): Promise<PipelineSource> {
  const { module } = pipeline;
  if (module !== undefined) {
    const file = module.startsWith("file:") ? fileURLToPath(module) : module;
    const exported = await evaluated(module, pipeline.name);
    const name = Object.keys(exported).find((key) => exported[key] === pipeline);
    if (name !== undefined) return { file, export: name, root: packageRoot(file) };
  }
  throw new MillraceError({
    class: "usage",
    code: "PIPELINE_SOURCE_UNKNOWN",
    message: `The module of pipeline "${pipeline.name}" is not known${module === undefined ? "" : `: ${module} does not export it`}.`,
    action: "Export the pipeline from the module that defines it, or deploy by path.",
  });
}

/** The exports of a module that has been evaluated; one that waits for this very call would wait forever. */
async function evaluated(
  module: string,
  pipeline: string,
): Promise<Readonly<Record<string, unknown>>> {
  const timer = new AbortController();
  const late = sleep(EVALUATION_MS, undefined, { signal: timer.signal }).then(() => {
    throw new MillraceError({
      class: "usage",
      code: "PIPELINE_SOURCE_UNKNOWN",
      message: `The module of pipeline "${pipeline}", ${module}, is still being loaded.`,
      action:
        "Deploy from another module than the one that defines the pipeline, or deploy by path.",
    });
  });
  try {
    return await Promise.race([import(module), late]);
  } finally {
    timer.abort();
    late.catch(() => undefined);
  }
}

/** A path as people read it: short where it lies below the working directory. */
export function shownPath(file: string): string {
  const short = relative(process.cwd(), file);
  return short === "" || short.startsWith("..") ? file : short;
}

function packageRoot(file: string): string {
  for (let directory = dirname(file); ; directory = dirname(directory)) {
    if (existsSync(join(directory, "package.json"))) return directory;
    if (dirname(directory) === directory) return dirname(file);
  }
}
