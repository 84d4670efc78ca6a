import type { LogLine } from "@millrace/core";

type Stream = LogLine["stream"];

/** What a container wrote at once: a line, or a piece of one that was too long for the engine. */
export interface LogPiece {
  readonly stream: Stream;
  /** Time in nanoseconds: 2026-03-01T12:00:00.123456789Z. Texts of this form are in the order of time. */
  readonly stamp: string;
  /** Ends with a line feed when the line does. */
  readonly content: Buffer;
}

/** A line with its time in nanoseconds, by which lines of several containers are put in order. */
export interface StampedLine {
  readonly stamp: string;
  readonly stream: Stream;
  readonly text: string;
}

const HEADER_BYTES = 8;
const STDERR = 2;
const LINE_FEED = 10;

/**
 * The pieces in the engine's stream of a container's log with timestamps. Each is a frame of it: stream (1 byte), 3 bytes of
 * nothing, length (4 bytes), payload (Docker Engine API, ContainerAttach: stream format).
 */
export async function* piecesOf(
  chunks: AsyncIterable<string | Uint8Array>,
): AsyncGenerator<LogPiece> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = Buffer.concat([rest, Buffer.from(chunk)]);
    while (rest.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + rest.readUInt32BE(4);
      if (rest.length < end) break;
      yield pieceOf(rest.readUInt8(0), rest.subarray(HEADER_BYTES, end));
      rest = rest.subarray(end);
    }
  }
}

function pieceOf(stream: number, payload: Buffer): LogPiece {
  const space = payload.indexOf(" ");
  return {
    stream: stream === STDERR ? "stderr" : "stdout",
    stamp: payload.toString("latin1", 0, space),
    content: payload.subarray(space + 1),
  };
}

/** Puts the pieces of each stream together to lines. */
export class LineJoiner {
  readonly #begun = new Map<Stream, { readonly stamp: string; readonly pieces: Buffer[] }>();

  /** The line that ends with this piece, if one does. */
  add({ stream, stamp, content }: LogPiece): StampedLine | null {
    const { pieces, ...begun } = this.#begun.get(stream) ?? { stamp, pieces: [] };
    if (content.at(-1) !== LINE_FEED) {
      this.#begun.set(stream, { ...begun, pieces: [...pieces, content] });
      return null;
    }
    this.#begun.delete(stream);
    const text = Buffer.concat([...pieces, content.subarray(0, -1)]).toString("utf8");
    return { stamp: begun.stamp, stream, text };
  }
}
