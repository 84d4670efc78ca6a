import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readProgress } from "./engine-progress.ts";

const stream = (line: string) => `${JSON.stringify({ stream: `${line}\n` })}\r\n`;

async function* inPieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe("readProgress", () => {
  it("reads an answer without an error to its end, however it is cut", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: "grapheme" })),
        fc.integer({ min: 1, max: 40 }),
        async (lines, size) => {
          await readProgress(inPieces(lines.map(stream).join(""), size), "load the image x");
        },
      ),
      { numRuns: 50 },
    ));

  it("finds an error, however it is cut", () =>
    fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 80 }), async (size) => {
        const text = `${stream("Loading")}{"errorDetail":{"message":"ü: no space left on device"},"error":"ü: no space left on device"}\n`;
        await expect(readProgress(inPieces(text, size), "load the image x")).rejects.toMatchObject({
          code: "DISK_FULL",
          class: "platform",
          message: "The Docker engine cannot load the image x: ü: no space left on device.",
        });
      }),
    ));

  it("shows the last lines of a command that failed, without what the engine says of itself", async () => {
    const text = [
      ...Array.from({ length: 30 }, (_, index) => stream(`line ${index}`)),
      stream("\u001b[91mno such compiler"),
      stream("\u001b[0m"),
      stream(" ---> Running in 1234"),
      stream("Removing intermediate container 1234"),
      '{"errorDetail":{"code":3,"message":"The command returned a non-zero code: 3"},"error":"The command returned a non-zero code: 3"}\n',
    ].join("");
    const failed = readProgress(inPieces(text, 1000), "build the image x");
    await expect(failed).rejects.toMatchObject({
      code: "BUILD_FAILED",
      message: expect.stringMatching(/Its last line: no such compiler$/),
      details: {
        logs: [
          ...Array.from({ length: 19 }, (_, index) => `line ${index + 11}`),
          "no such compiler",
        ],
      },
    });
  });
});
