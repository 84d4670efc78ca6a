import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MillraceError, messageOf } from "@millrace/core";

/**
 * Makes the state folder: for its owner alone, and ignored by git.
 * @throws MillraceError `HOME_UNUSABLE`
 */
export async function ensureStateFolder(home: string): Promise<void> {
  try {
    if ((await mkdir(home, { recursive: true, mode: 0o700 })) === undefined) return;
    await chmod(home, 0o700);
    await writeFile(join(home, ".gitignore"), "*\n", { flag: "wx" }).catch(ignoreExisting);
  } catch (cause) {
    throw new MillraceError({
      class: "usage",
      code: "HOME_UNUSABLE",
      message: `The state folder ${home} cannot be made: ${messageOf(cause)}.`,
      action: "Choose another one with MILLRACE_HOME or --home, or correct its permissions.",
      cause,
    });
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}
