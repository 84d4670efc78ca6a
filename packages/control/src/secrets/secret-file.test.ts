import { chmod, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "@millrace/core";
import fc from "fast-check";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { SecretFile } from "./secret-file.ts";

let folder = "";
let file = "";
let secrets = new SecretFile(file);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-secrets-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  file = join(folder, "state", "secrets.json");
  secrets = new SecretFile(file);
});

const revealed = async (name: string): Promise<string | undefined> =>
  (await secrets.get(name))?.reveal();

describe("SecretFile", () => {
  it("keeps, lists, replaces and deletes", async () => {
    expect(await secrets.names()).toEqual([]);
    await secrets.set("B", new Secret("two"));
    await secrets.set("A", new Secret("one"));
    await secrets.set("B", new Secret("three"));
    expect(await secrets.names()).toEqual(["A", "B"]);
    expect(await revealed("B")).toBe("three");
    expect(await secrets.delete("B")).toBe(true);
    expect(await secrets.delete("B")).toBe(false);
    expect(await revealed("B")).toBeUndefined();
    expect(await revealed("A")).toBe("one");
  });

  it("gives back any value under any usable name, also names that objects have of themselves", async () => {
    const name = fc.oneof(
      fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,20}$/),
      fc.constantFrom("constructor", "toString", "hasOwnProperty"),
    );
    await fc.assert(
      fc.asyncProperty(name, fc.string({ unit: "binary" }), async (key, value) => {
        await secrets.delete(key);
        expect(await secrets.get(key)).toBeNull();
        // Text that is no well-formed Unicode has no bytes.
        await secrets.set(key, new Secret(value.toWellFormed()));
        expect(await revealed(key)).toBe(value.toWellFormed());
      }),
      { numRuns: 30 },
    );
  });

  it("is for its owner alone", async () => {
    await secrets.set("A", new Secret("one"));
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, "state"))).mode & 0o777).toBe(0o700);
    expect(await readdir(join(folder, "state"))).toEqual(["secrets.json"]);
  });

  it("is refused when others can read it, and says how to mend that", async () => {
    await secrets.set("A", new Secret("one"));
    for (const mode of [0o640, 0o604, 0o666]) {
      await chmod(file, mode);
      await expect(secrets.get("A")).rejects.toMatchObject({
        code: "SECRET_STORE_EXPOSED",
        action: `Run: chmod 600 ${file}`,
      });
      await expect(secrets.set("B", new Secret("two"))).rejects.toMatchObject({
        code: "SECRET_STORE_EXPOSED",
      });
    }
  });

  it.each([
    "",
    "{",
    "[]",
    '{ "version": 2, "secrets": {} }',
    '{ "version": 1, "secrets": { "A": 4 }, "hunter2": 1 }',
    "hunter2",
  ])("is refused with %j in it, which is neither lost nor shown", async (content) => {
    await secrets.set("A", new Secret("one"));
    await writeFile(file, content);
    const error = await secrets.set("B", new Secret("two")).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "SECRET_STORE_INVALID" });
    expect(await readFile(file, "utf8")).toBe(content);
    if (content === "hunter2") expect(String(error)).not.toContain("hunter2");
    expect(await readdir(join(folder, "state"))).toEqual(["secrets.json"]);
  });

  it("loses nothing when many write at the same time", async () => {
    const names = Array.from({ length: 25 }, (_, i) => `SECRET_${String(i).padStart(2, "0")}`);
    await Promise.all(names.map((name) => new SecretFile(file).set(name, new Secret(name))));
    expect(await secrets.names()).toEqual(names);
  });

  it("goes on after a process that died while it wrote", async () => {
    await secrets.set("A", new Secret("one"));
    await writeFile(`${file}.lock`, "");
    await utimes(`${file}.lock`, 0, 0);
    await writeFile(`${file}.next`, "half", { mode: 0o644 });
    await secrets.set("B", new Secret("two"));
    expect(await secrets.names()).toEqual(["A", "B"]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(join(folder, "state"))).toEqual(["secrets.json"]);
  });

  it("says what stands in the way when it cannot be written", async () => {
    await writeFile(join(folder, "state"), "a file where the folder should be");
    await expect(secrets.set("A", new Secret("hunter2"))).rejects.toMatchObject({
      code: "SECRET_STORE_UNUSABLE",
      message: expect.not.stringContaining("hunter2"),
      action: expect.stringMatching(/secrets\.file/),
    });
  });
});
