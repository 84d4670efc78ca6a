import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { knowAll } from "./files.ts";
import { bytesOf, quiet, scratchFolder } from "./scratch.fixture.ts";

const folder = scratchFolder();

it("a file that changes between its look-up and its reading is not taken for what it was", async () => {
  const file = join(folder, "changing");
  writeFileSync(file, "before");
  const [known] = await knowAll([{ path: "a", file }], quiet.signal);
  if (known?.entry.kind !== "file") throw new Error("The file is not known.");
  expect((await bytesOf(known.entry.open())).toString()).toBe("before");
  writeFileSync(file, "after!");
  await expect(bytesOf(known.entry.open())).rejects.toThrow("changed while it was read");
});
