import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Store } from "../store.ts";
import type { RunImportOptions, SpoolImport } from "./import.ts";
import { importLines } from "./run-import.ts";
import { SPOOL_EXTENSION } from "./spool.ts";
import { SpoolFile } from "./spool-file.ts";

const PART_BYTES = 256 * 1024;

export async function importFolder(
  store: Store,
  directory: string,
  options: RunImportOptions,
): Promise<SpoolImport> {
  let recorded = 0;
  const left: string[] = [];
  const names = existsSync(directory) ? readdirSync(directory).sort() : [];
  for (const name of names.filter((one) => one.endsWith(SPOOL_EXTENSION))) {
    const path = join(directory, name);
    const file = SpoolFile.claim(path);
    if (file === null) {
      left.push(path);
      continue;
    }
    let isRead = false;
    try {
      const result = await importLines(store, linesOf(file), options);
      recorded += result.recorded;
      isRead = result.skipped + result.badLines === 0;
    } finally {
      if (isRead) file.remove();
      else file.close();
    }
    if (!isRead) left.push(path);
  }
  return { recorded, left };
}

/** Without the last line when a crash tore it. */
async function* linesOf(file: SpoolFile): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < file.size; ) {
    const { lines, end } = file.read(start, PART_BYTES);
    yield Buffer.from(lines.map((line) => `${line}\n`).join(""));
    start = end;
  }
}
