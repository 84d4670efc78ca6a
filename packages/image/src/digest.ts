import { createHash, hash } from "node:crypto";

/** `sha256:…` of bytes or of a text in UTF-8. */
export function sha256(content: Uint8Array | string): string {
  return `sha256:${hash("sha256", content)}`;
}

/** Adds up size and digest of bytes that go by. */
export interface Meter {
  add(chunk: Uint8Array): void;
  readonly size: number;
  /** Call once, at the end. */
  digest(): string;
}

export function startMeter(): Meter {
  const sum = createHash("sha256");
  let size = 0;
  return {
    add(chunk) {
      sum.update(chunk);
      size += chunk.length;
    },
    get size() {
      return size;
    },
    digest: () => `sha256:${sum.digest("hex")}`,
  };
}

/**
 * Passes bytes on, and the last of them only when all together have the digest: nobody gets the whole of something else.
 * @param wrong The error for bytes with another digest.
 */
export async function* verified(
  source: AsyncIterable<Uint8Array>,
  digest: string,
  wrong: (actual: string) => Error | Promise<Error>,
): AsyncGenerator<Uint8Array> {
  const meter = startMeter();
  let last: Uint8Array | undefined;
  for await (const chunk of source) {
    if (last !== undefined) yield last;
    meter.add(chunk);
    last = chunk;
  }
  const actual = meter.digest();
  if (actual !== digest) throw await wrong(actual);
  if (last !== undefined) yield last;
}
