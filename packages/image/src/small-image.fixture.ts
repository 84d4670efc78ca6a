import { assembleImage } from "./assemble.ts";
import type { Image } from "./image.ts";
import { EMPTY_BASE, quiet, text } from "./scratch.fixture.ts";

/** Two layers; the second is another one for each code. */
export function imageOf(
  code: string,
  cacheDirectory: string,
  runtime: Uint8Array = text("runtime"),
): Promise<Image> {
  return assembleImage({
    base: EMPTY_BASE,
    layers: [
      { name: "runtime", files: [{ path: "runtime.js", content: runtime }] },
      { name: "code", files: [{ path: "code.js", content: text(code) }] },
    ],
    config: {
      entrypoint: ["node", "/runtime.js"],
      workingDirectory: "/",
      port: 8080,
      environment: {},
      labels: {},
    },
    cacheDirectory,
    signal: quiet.signal,
  });
}

/** Names of blobs, in order. */
export function names(blobs: readonly { readonly name: string }[]): string[] {
  return blobs.map(({ name }) => name).sort();
}
