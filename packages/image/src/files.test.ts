import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { filesIn, knowAll } from "./files.ts";
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

it("a link to a name that begins with two dots stays in the folder", async () => {
  const root = join(folder, "dots");
  mkdirSync(root);
  writeFileSync(join(root, "..foo"), "x");
  symlinkSync("..foo", join(root, "link"));
  expect(await filesIn(root, "a")).toContainEqual({ path: "a/link", link: "..foo" });
  symlinkSync("..", join(root, "out"));
  await expect(filesIn(root, "a")).rejects.toThrow("not in the folder");
});

// Other systems have no such names.
it.runIf(process.platform === "linux").each(["file", "folder", "link"])(
  "a name that is no text is refused: of a %s",
  async (kind) => {
    const root = join(folder, `no text ${kind}`);
    mkdirSync(root);
    const path = Buffer.concat([Buffer.from(`${root}/name`), Buffer.from([0xff])]);
    if (kind === "file") writeFileSync(path, "x");
    else if (kind === "folder") mkdirSync(path);
    else symlinkSync("name", path);
    const reading = async () => knowAll(await filesIn(root, "a"), quiet.signal);
    await expect(reading()).rejects.toMatchObject({
      code: "LAYER_FILE_REFUSED",
      message: expect.stringContaining("its name is no UTF-8"),
    });
  },
);
