import { Gzip } from "fflate";
import { inPieces } from "./chunks.ts";

/** Of the code of an example it takes two thirds of the time of level 6, which gzip itself takes, and gives 5 % more bytes. */
const LEVEL = 3;
/** The compressor's output depends on where its input is cut, so that is fixed too. */
const PIECE_BYTES = 1024 * 1024;

/**
 * Compresses to the same bytes on every host. Node's own zlib does not: its output differs between builds of Node and
 * between processors. The header's time is 0 and its operating system byte always 3.
 */
export async function* gzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let ready: Uint8Array[] = [];
  const compressor = new Gzip({ level: LEVEL, mtime: 0 }, (chunk) => ready.push(chunk));
  for await (const piece of inPieces(source, PIECE_BYTES)) {
    compressor.push(piece);
    yield* ready;
    ready = [];
  }
  compressor.push(new Uint8Array(0), true);
  yield* ready;
}
