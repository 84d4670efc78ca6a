import { assembleImage, filesIn, pushImage, resolveBase } from "@millrace/image";

export interface ImageParts {
  /** A reference that a registry has. */
  readonly base: string;
  readonly repository: string;
  /** Folders with the server's and the snapshot's files. */
  readonly runtime: string;
  readonly snapshot: string;
  readonly cacheDirectory: string;
}

/** Makes the image of a snapshot and pushes it, as a deploy does; says what was sent. */
export async function makeAndPush(
  parts: ImageParts,
): Promise<{ readonly blobs: number; readonly bytes: number }> {
  const { base: reference, repository, runtime, snapshot, cacheDirectory } = parts;
  const { signal } = new AbortController();
  const progress = () => undefined;
  const platform = {
    os: "linux",
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
  } as const;
  const base = resolveBase({ reference, platform, cacheDirectory, signal, progress });
  const image = await assembleImage({
    base,
    layers: [
      { name: "runtime", files: await filesIn(runtime, "/millrace/runtime") },
      { name: "code", files: await filesIn(snapshot, "/millrace/snapshot") },
    ],
    config: {
      entrypoint: ["node", "/millrace/runtime/runtime.js", "serve", "/millrace/snapshot"],
      workingDirectory: "/millrace/snapshot",
      port: 8080,
      environment: { HOST: "0.0.0.0", PORT: "8080" },
      labels: {},
    },
    cacheDirectory,
    signal,
  });
  const target = { repository, tag: "latest", credentials: null, cacheDirectory };
  const { uploaded } = await pushImage(image, { ...target, signal, progress });
  return { blobs: uploaded.length, bytes: uploaded.reduce((sum, blob) => sum + blob.bytes, 0) };
}
