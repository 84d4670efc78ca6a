import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { loadConfig } from "./load.ts";
import { checkStoreIsThere, ensureStateFolder } from "./state-folder.ts";

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

  it.runIf(process.platform === "linux")(
    "says so at once where the system makes none",
    async () => {
      await expect(ensureStateFolder("/proc/nowhere/home")).rejects.toMatchObject({
        code: "HOME_UNUSABLE",
      });
    },
  );

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

describe("a store beside snapshots", () => {
  const check = async () => checkStoreIsThere(await loadConfig({ directory: folder }, {}));

  it.each([
    ["missing", null],
    ["empty", ""],
  ])("was lost when it is %s", async (what, content) => {
    const home = join(folder, ".millrace");
    await mkdir(join(home, "artifacts"), { recursive: true });
    if (content !== null) await writeFile(join(home, "millrace.db"), content);
    await check();
    await mkdir(join(home, "artifacts/default"));
    await expect(check()).rejects.toMatchObject({
      code: "STORE_LOST",
      message: expect.stringContaining(`millrace.db is ${what}`),
      action: expect.stringContaining(home),
    });
    await writeFile(join(home, "millrace.db"), "something");
    await check();
  });

  it("may be another one than that of the snapshots", async () => {
    await mkdir(join(folder, ".millrace/artifacts/default"), { recursive: true });
    await writeFile(
      join(folder, "millrace.config.json"),
      '{ "store": { "url": "elsewhere/new.db" } }',
    );
    await check();
  });
});
