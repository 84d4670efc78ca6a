/**
 * Makes the image of a snapshot and pushes it, as a process of its own: `push-image.ts BASE REPOSITORY RUNTIME SNAPSHOT CACHE`.
 * Prints how many blobs were sent, and their bytes.
 */
import { assembleImage, filesIn, pushImage, resolveBase } from "@millrace/image";

const [reference = "", repository = "", runtime = "", snapshot = "", cacheDirectory = ""] =
  process.argv.slice(2);
const { signal } = new AbortController();
const progress = () => undefined;
const platform = {
  os: "linux",
  architecture: process.arch === "arm64" ? "arm64" : "amd64",
} as const;
const base = await resolveBase({ reference, platform, cacheDirectory, signal, progress });
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
const { uploaded } = await pushImage(image, {
  repository,
  tag: "latest",
  credentials: null,
  cacheDirectory,
  signal,
  progress,
});
const bytes = uploaded.reduce((sum, blob) => sum + blob.bytes, 0);
console.log(JSON.stringify({ blobs: uploaded.length, bytes }));
