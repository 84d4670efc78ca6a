import { buffer } from "node:stream/consumers";
import { packTar, unpackTar } from "modern-tar";

/** The user that images of ours run as. */
const USER = 1000;

/** A file or folder to be put into a container. */
export interface ArchiveFile {
  readonly path: string;
  /** Null for a folder. */
  readonly content: string | Uint8Array | null;
  readonly mode: number;
}

/** A tar of files that belong to the container's user. */
export async function packFiles(files: readonly ArchiveFile[]): Promise<Buffer> {
  const packed = await packTar(
    files.map(({ path, content, mode }) => ({
      header: {
        name: path,
        size: content === null ? 0 : Buffer.byteLength(content),
        type: content === null ? "directory" : "file",
        mode,
        uid: USER,
        gid: USER,
        mtime: new Date(),
      },
      ...(content === null ? {} : { body: content }),
    })),
  );
  return Buffer.from(packed);
}

/** Files of a tar by their last path part. */
export async function unpackFiles(
  archive: NodeJS.ReadableStream,
): Promise<ReadonlyMap<string, string>> {
  const entries = await unpackTar(await buffer(archive));
  return new Map(
    entries
      .filter(({ header, data }) => header.type === "file" && data !== undefined)
      .map(({ header, data }) => [
        header.name.split("/").at(-1) ?? "",
        Buffer.from(data ?? []).toString("utf8"),
      ]),
  );
}
