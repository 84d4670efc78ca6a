import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { ensureStateFolder } from "./state-folder.ts";

let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-home-"));
  onTestFinished(() => rm(folder, { recursive: true }));
});

describe("the state folder", () => {
  it("is made for its owner alone and ignored by git", async () => {
    const home = join(folder, "a", ".millrace");
    await ensureStateFolder(home);
    await ensureStateFolder(home);
    expect((await stat(home)).mode & 0o777).toBe(0o700);
    expect(await readFile(join(home, ".gitignore"), "utf8")).toBe("*\n");
  });

  it("is left as it is when it is there", async () => {
    const home = join(folder, "mine");
    await mkdir(home, { mode: 0o755 });
    await ensureStateFolder(home);
    expect((await stat(home)).mode & 0o777).toBe(0o755);
    await expect(stat(join(home, ".gitignore"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("says when it cannot be made", async () => {
    await writeFile(join(folder, "file"), "");
    await expect(ensureStateFolder(join(folder, "file", "home"))).rejects.toMatchObject({
      code: "HOME_UNUSABLE",
      action: expect.stringContaining("MILLRACE_HOME"),
    });
    await expect(ensureStateFolder(join(folder, "file"))).rejects.toMatchObject({
      code: "HOME_UNUSABLE",
    });
  });
});
