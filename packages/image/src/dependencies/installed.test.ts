import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { scratchFolder } from "../scratch.fixture.ts";
import { readInstalled } from "./installed.ts";
import { targetOf } from "./target.ts";

const folder = scratchFolder();
const target = targetOf({ os: "linux", architecture: "amd64" }, "glibc");

it.each([
  ["no-json", "{ nope", "JSON"],
  ["no-file", null, "EISDIR"],
  ["no-version", '{"name":"no-version"}', "version"],
])("a package whose package.json cannot be read is named, with why: %s", (name, content, why) => {
  const file = join(folder, "node_modules", name, "package.json");
  mkdirSync(content === null ? file : join(folder, "node_modules", name), { recursive: true });
  if (content !== null) writeFileSync(file, content);
  let thrown: unknown;
  try {
    readInstalled({ [name]: "1.0.0" }, folder, target);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ code: "DEPENDENCY_INVALID", class: "usage" });
  expect(String(thrown)).toContain(file);
  expect(String(thrown)).toContain(why);
});

it("a package that is not in the folder is missing", () => {
  expect(() => readInstalled({ none: "1.0.0" }, folder, target)).toThrow(
    expect.objectContaining({ code: "DEPENDENCY_MISSING" }),
  );
});
