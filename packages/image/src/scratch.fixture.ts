import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { BaseImage, Context } from "./image.ts";

/** A folder that is gone after the test file. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "millrace-image-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A base image with nothing in it. */
export const EMPTY_BASE: BaseImage = {
  reference: "registry.test/empty:1",
  digest: null,
  platform: { os: "linux", architecture: "amd64" },
  variant: null,
  config: {},
  history: [],
  layers: [],
};

export const quiet: Context = { signal: new AbortController().signal, progress: () => undefined };

export async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export function text(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}
