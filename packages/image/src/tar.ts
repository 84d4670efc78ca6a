import { createTarPacker, type TarHeader } from "modern-tar";

/** One member of an archive. */
export type TarEntry = {
  /** Relative, with `/`, without `..`. */
  readonly path: string;
} & (
  | { readonly kind: "directory" }
  | { readonly kind: "link"; readonly target: string }
  | {
      readonly kind: "file";
      readonly executable: boolean;
      readonly size: number;
      open(): AsyncIterable<Uint8Array>;
    }
);

/** One second after the epoch: some programs take 0 for "not known". */
export const FIXED_TIME = new Date(1000);

/** Owner, time and mode are the same for all, so that the same content gives the same bytes. */
const FIXED = { mtime: FIXED_TIME, uid: 0, gid: 0 } as const;

function headerOf(entry: TarEntry): TarHeader {
  switch (entry.kind) {
    case "directory":
      return { ...FIXED, name: `${entry.path}/`, type: "directory", size: 0, mode: 0o755 };
    case "link":
      return {
        ...FIXED,
        name: entry.path,
        type: "symlink",
        linkname: entry.target,
        size: 0,
        mode: 0o777,
      };
    case "file":
      return {
        ...FIXED,
        name: entry.path,
        type: "file",
        size: entry.size,
        mode: entry.executable ? 0o755 : 0o644,
      };
  }
}

/** The entries as a tar, in the order given. Ustar, with PAX records only for what does not fit into it. */
export async function* writeTar(entries: Iterable<TarEntry>): AsyncGenerator<Uint8Array> {
  const { readable, controller } = createTarPacker();
  const written = writeEntries(controller, entries);
  // Whoever reads gets the failure from the stream; this keeps it from being reported twice.
  written.catch((error: unknown) => controller.error(error));
  yield* readable;
  await written;
}

async function writeEntries(
  controller: ReturnType<typeof createTarPacker>["controller"],
  entries: Iterable<TarEntry>,
): Promise<void> {
  for (const entry of entries) {
    const writer = controller.add(headerOf(entry)).getWriter();
    if (entry.kind === "file") for await (const chunk of entry.open()) await writer.write(chunk);
    await writer.close();
  }
  controller.finalize();
}
