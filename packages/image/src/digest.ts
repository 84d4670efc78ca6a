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
