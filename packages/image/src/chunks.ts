/** The same bytes in pieces of one size; only the last may be shorter. */
export async function* inPieces(
  source: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<Uint8Array> {
  let piece = new Uint8Array(size);
  let filled = 0;
  for await (const chunk of source) {
    for (let read = 0; read < chunk.length; ) {
      const part = chunk.subarray(read, read + size - filled);
      piece.set(part, filled);
      filled += part.length;
      read += part.length;
      if (filled === size) {
        yield piece;
        piece = new Uint8Array(size);
        filled = 0;
      }
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}

/** What comes after the first `start` bytes. */
export async function* skipping(
  source: AsyncIterable<Uint8Array>,
  start: number,
): AsyncGenerator<Uint8Array> {
  let left = start;
  for await (const chunk of source) {
    if (left < chunk.length) yield left === 0 ? chunk : chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}

/** Bytes as a source of one chunk. */
export async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}
