import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import dockerIgnore from "@balena/dockerignore";
import { MillraceError } from "@millrace/core";
import { contentKey, filesIn, knowAll, type LayerFile, withFolders } from "./files.ts";
import { writeTar } from "./tar.ts";

/** What an engine builds an image from. */
export interface BuildContext {
  /** Changes when a file of it does. */
  readonly digest: string;
  /** A tar with the Dockerfile at its top, under the name `Dockerfile`. */
  open(): AsyncIterable<Uint8Array>;
}

/** Never part of a context: no build needs them, and they are large or hold secrets. */
const LEFT_OUT = ["node_modules", "**/node_modules", ".git", ".millrace"];

/**
 * The folder of a Dockerfile, without what its `.dockerignore` names and without node_modules, .git and .millrace.
 * @param dockerfile Absolute path.
 * @throws MillraceError `DOCKERFILE_UNREADABLE`, `LAYER_FILE_REFUSED`
 */
export async function buildContext(dockerfile: string, signal: AbortSignal): Promise<BuildContext> {
  const folder = dirname(dockerfile);
  const content = await readFile(dockerfile).catch((cause: unknown) => {
    throw unreadable(dockerfile, cause);
  });
  const ignored = dockerIgnore.default({ ignorecase: false }).add(LEFT_OUT);
  const list = join(folder, ".dockerignore");
  if (existsSync(list)) ignored.add(await readFile(list, "utf8"));
  const inFolder = await filesIn(folder, ".", (path) => !ignored.ignores(path));
  const others = inFolder.filter(
    ({ path }) => path !== "Dockerfile" && path !== basename(dockerfile),
  );
  const files: LayerFile[] = [...others, { path: "Dockerfile", content }];
  const known = await knowAll(files, signal);
  return { digest: contentKey(known), open: () => writeTar(withFolders(known)) };
}

function unreadable(dockerfile: string, cause: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "DOCKERFILE_UNREADABLE",
    message: `The Dockerfile ${dockerfile} cannot be read.`,
    action:
      "Correct the setting `image.dockerfile`; it is relative to the folder of the configuration.",
    cause,
  });
}
