import { Readable } from "node:stream";
import fc from "fast-check";
import { unpackTar } from "modern-tar";
import { expect, it } from "vitest";
import { packFiles, unpackFiles } from "./archive.ts";

const name = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}$/);
const content = fc.oneof(fc.string({ unit: "grapheme" }), fc.constant("x".repeat(100_000)));

it("what is packed is unpacked as it was, however long and whatever characters", async () => {
  await fc.assert(
    fc.asyncProperty(fc.dictionary(name, content, { noNullPrototype: true }), async (files) => {
      const archive = await packFiles(
        Object.entries(files).map(([path, text]) => ({ path, content: text, mode: 0o400 })),
      );
      const unpacked = await unpackFiles(Readable.from([archive]));
      expect(Object.fromEntries(unpacked)).toEqual(files);
    }),
  );
});

it("files belong to the container's user, have the mode that is asked for, and are found by their last part", async () => {
  const archive = await packFiles([
    { path: "folder/", content: null, mode: 0o755 },
    { path: "folder/secret", content: "hunter22", mode: 0o400 },
  ]);
  const entries = await unpackTar(archive);
  expect(entries.map(({ header }) => header)).toMatchObject([
    { name: "folder/", type: "directory", mode: 0o755, uid: 1000, gid: 1000 },
    { name: "folder/secret", type: "file", mode: 0o400, uid: 1000, gid: 1000, size: 8 },
  ]);
  const files = await unpackFiles(Readable.from([archive]));
  expect([...files]).toEqual([["secret", "hunter22"]]);
});

it("bytes are packed as they are", async () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, index) => index % 256);
  const [entry] = await unpackTar(
    await packFiles([{ path: "bytes", content: bytes, mode: 0o444 }]),
  );
  expect(entry?.data).toEqual(bytes);
});
