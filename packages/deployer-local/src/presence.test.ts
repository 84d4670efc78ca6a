import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readPresence, removePresence, writePresence } from "./presence.ts";

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-presence-"));
  file = join(folder, "one.process");
});

afterEach(() => rmSync(folder, { recursive: true }));

test("a presence is read as it was written, until it is removed", () => {
  expect(readPresence(file)).toBeNull();
  writePresence(file, { pid: 7, startTime: "then" });
  expect(readPresence(file)).toEqual({ pid: 7, startTime: "then" });
  removePresence(file);
  removePresence(file);
  expect(readPresence(file)).toBeNull();
});

test.each(["", "{", "7", '{"pid":"7"}'])("a presence that reads %j names nobody", (text) => {
  writeFileSync(file, text);
  expect(readPresence(file)).toBeNull();
});
