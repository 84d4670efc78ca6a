import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import dockerIgnore from "@balena/dockerignore";
import { MillraceError, messageOf } from "@millrace/core";
import { contentKey, knowAll, type LayerFile, pathWithin, treeIn, withFolders } from "./files.ts";
import { writeTar } from "./tar.ts";

/** What an engine builds an image from. */
export interface BuildContext {
  /** Changes when a file of it does. */
  readonly digest: string;
  /** A tar with the Dockerfile at its top, under the name `Dockerfile`. */
  open(): AsyncIterable<Uint8Array>;
}

/** Left out unless the user's list brings it back: no build needs it, and it is large or holds secrets. */
const LEFT_OUT = ["**/node_modules", ".git", ".millrace", "**/.env"];

/**
 * The folder of a Dockerfile, without what its `.dockerignore` names and without node_modules, .git, .millrace, .env files and
 * the secrets named here. As with BuildKit, `NAME.dockerignore` beside a Dockerfile of that name takes the place of
 * `.dockerignore`.
 * @param dockerfile Absolute path.
 * @param secrets Absolute paths of files and folders with secrets, wherever they are.
 * @throws MillraceError `DOCKERFILE_UNREADABLE`, `DOCKERIGNORE_INVALID`, `LAYER_FILE_REFUSED`
 */
export async function buildContext(
  dockerfile: string,
  signal: AbortSignal,
  secrets: readonly string[] = [],
): Promise<BuildContext> {
  const folder = dirname(dockerfile);
  const content = await readFile(dockerfile).catch((cause: unknown) => {
    throw unreadable(dockerfile, cause);
  });
  const ignored = dockerIgnore
    .default({ ignorecase: false })
    .add([...LEFT_OUT, ...secrets.flatMap((path) => patternFor(folder, path))])
    .add(await readPatterns(dockerfile));
  const inFolder = await treeIn(folder, ".", (path) => !ignored.ignores(path));
  const others = inFolder.filter(
    ({ path }) => path !== "Dockerfile" && path !== basename(dockerfile),
  );
  const files: LayerFile[] = [...others, { path: "Dockerfile", content }];
  const known = await knowAll(files, signal);
  return { digest: contentKey(known), open: () => writeTar(withFolders(known)) };
}

/** A pattern for one path alone, and none for what is not in the folder. */
function patternFor(folder: string, path: string): string[] {
  const inside = pathWithin(folder, path);
  return inside === null ? [] : [`/${inside.replace(/[\\*?[\](){}+|^]/g, "\\$&")}`];
}

/** The patterns of the list that holds for a Dockerfile. */
async function readPatterns(dockerfile: string): Promise<string[]> {
  const own = `${dockerfile}.dockerignore`;
  const list = existsSync(own) ? own : join(dirname(dockerfile), ".dockerignore");
  if (!existsSync(list)) return [];
  const text = await readFile(list, "utf8").catch((cause: unknown) => {
    throw invalidList(list, messageOf(cause), cause);
  });
  const patterns = text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .map(literally);
  for (const pattern of patterns) {
    try {
      dockerIgnore.default().add(pattern).ignores("any");
    } catch (cause) {
      throw invalidList(list, `${JSON.stringify(pattern)} is no pattern`, cause);
    }
  }
  return patterns;
}

/** Docker takes these characters as they are, and the package for patterns takes them for parts of an expression. */
function literally(pattern: string): string {
  return pattern.replace(/\\.|[+(){}|]/g, (found) => (found.length > 1 ? found : `\\${found}`));
}

function invalidList(list: string, why: string, cause: unknown): MillraceError {
  return new MillraceError({
    class: "usage",
    code: "DOCKERIGNORE_INVALID",
    message: `${list} cannot be used: ${why}.`,
    action: "Correct it: nothing is sent to an engine before it is known what to leave out.",
    cause,
  });
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
