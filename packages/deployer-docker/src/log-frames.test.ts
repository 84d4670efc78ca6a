import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LineJoiner, type LogPiece, piecesOf } from "./log-frames.ts";

function frame({ stream, stamp, content }: LogPiece): Buffer {
  const payload = Buffer.concat([Buffer.from(`${stamp} `), content]);
  const header = Buffer.alloc(8);
  header.writeUInt8(stream === "stderr" ? 2 : 1);
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const stamp = fc
  .integer({ min: 0, max: 999_999_999 })
  .map((nanoseconds) => `2026-03-01T12:00:00.${String(nanoseconds).padStart(9, "0")}Z`);
const stream = fc.constantFrom("stdout" as const, "stderr" as const);
const piece = fc.record({
  stream,
  stamp,
  content: fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
});
const size = fc.integer({ min: 1, max: 100 });

describe("the pieces of a log", () => {
  it("come out as they went in, however the stream is cut", () =>
    fc.assert(
      fc.asyncProperty(fc.array(piece), size, async (pieces, cut) => {
        const sent = inPieces(Buffer.concat(pieces.map(frame)), cut);
        expect(await Array.fromAsync(piecesOf(sent))).toEqual(pieces);
      }),
    ));

  it("leave out what the stream breaks off in", () =>
    fc.assert(
      fc.asyncProperty(fc.array(piece, { minLength: 1 }), size, async (pieces, cut) => {
        const bytes = Buffer.concat(pieces.map(frame)).subarray(0, -1);
        const got = await Array.fromAsync(piecesOf(inPieces(bytes, cut)));
        expect(got).toEqual(pieces.slice(0, -1));
      }),
    ));
});

describe("lines", () => {
  it("are put together from their pieces, each stream for itself, cut between any two bytes", () =>
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            stream,
            text: fc.string({ unit: "grapheme" }).map((text) => text.replaceAll("\n", "")),
          }),
        ),
        fc.integer({ min: 1, max: 7 }),
        (lines, cut) => {
          const joiner = new LineJoiner();
          const got = lines.flatMap(({ stream: on, text }, index) => {
            const bytes = Buffer.from(`${text}\n`);
            const cuts = Array.from({ length: Math.ceil(bytes.length / cut) }, (_, at) =>
              bytes.subarray(at * cut, (at + 1) * cut),
            );
            return cuts.flatMap(
              (content, at) => joiner.add({ stream: on, stamp: `${index}.${at}`, content }) ?? [],
            );
          });
          expect(got).toEqual(
            lines.map(({ stream: on, text }, index) => ({ stream: on, text, stamp: `${index}.0` })),
          );
        },
      ),
    ));

  it("of both streams may be mixed", () => {
    const joiner = new LineJoiner();
    const say = (on: LogPiece["stream"], text: string) =>
      joiner.add({ stream: on, stamp: text, content: Buffer.from(text) });
    expect(say("stdout", "a")).toBeNull();
    expect(say("stderr", "b\n")).toEqual({ stream: "stderr", stamp: "b\n", text: "b" });
    expect(say("stdout", "c\n")).toEqual({ stream: "stdout", stamp: "a", text: "ac" });
  });
});
