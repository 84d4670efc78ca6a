import { once } from "node:events";
import { Parser } from "tar";

export interface ReadEntry {
  readonly path: string;
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly seconds: number;
  readonly link: string;
  readonly content: string;
}

/** The entries of a tar, plain or compressed, as npm's own implementation reads them. */
export async function readTar(archive: Uint8Array): Promise<ReadEntry[]> {
  const entries: ReadEntry[] = [];
  const parser = new Parser({
    strict: true,
    onReadEntry: (entry) => {
      const chunks: Uint8Array[] = [];
      entry.on("data", (chunk) => chunks.push(chunk));
      entry.on("end", () =>
        entries.push({
          path: entry.path,
          type: entry.type,
          mode: entry.mode ?? -1,
          uid: entry.uid ?? -1,
          gid: entry.gid ?? -1,
          seconds: (entry.mtime?.getTime() ?? -1) / 1000,
          link: entry.linkpath ?? "",
          content: Buffer.concat(chunks).toString("latin1"),
        }),
      );
    },
  });
  const read = once(parser, "end");
  parser.end(Buffer.from(archive));
  await read;
  return entries;
}
