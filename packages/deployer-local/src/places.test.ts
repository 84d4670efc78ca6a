import { chmodSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { makePrivateFolder, placesOf } from "./places.ts";

test("the folder has the name of the deployment's id", () => {
  const { folder, socket } = placesOf("/state", "0198c5a0-0000-7000-8000-000000000000");
  expect(folder).toBe("/state/deployments/0198c5a0-0000-7000-8000-000000000000");
  expect(socket).toBe(join(folder, "control.sock"));
});

test("whatever the id, its folder is a child of the deployments' folder and no other id's", () => {
  const ids = fc.oneof(
    fc.string({ maxLength: 200 }),
    fc.constantFrom("..", ".", "", "a/b", "lock"),
  );
  fc.assert(
    fc.property(ids, ids, (a, b) => {
      const places = placesOf("/state", a);
      expect(dirname(places.folder)).toBe("/state/deployments");
      expect(places.folder === placesOf("/state", b).folder).toBe(a === b);
    }),
  );
});

test("a socket's path fits however long the state directory's is, and is the same each time", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, maxLength: 300, unit: "grapheme" }), (name) => {
      const stateDirectory = join("/", name.replaceAll("\0", "0"));
      const { socket } = placesOf(stateDirectory, "1");
      expect(Buffer.byteLength(socket)).toBeLessThan(104);
      expect(placesOf(stateDirectory, "1").socket).toBe(socket);
    }),
  );
  expect(placesOf(`/${"a".repeat(200)}`, "1").socket).not.toBe(
    placesOf(`/${"a".repeat(201)}`, "1").socket,
  );
});

test("a folder that others can enter, or a link, is not used for private files", () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-places-"));
  const own = join(folder, "own");
  makePrivateFolder(own);
  makePrivateFolder(own);
  symlinkSync(own, join(folder, "link"));
  expect(() => makePrivateFolder(join(folder, "link"))).toThrow(/mode 0700/);
  chmodSync(own, 0o755);
  expect(() => makePrivateFolder(own)).toThrow(/mode 0700/);
  rmSync(folder, { recursive: true });
});
