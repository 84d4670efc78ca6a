import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "@millrace/core";
import { expect, onTestFinished, test } from "vitest";
import { thisProcess } from "../lifecycle/process-identity.ts";
import { secretFolder } from "./secret-folder.ts";

async function emptyPlace(): Promise<string> {
  const place = await mkdtemp(join(tmpdir(), "millrace-place-"));
  onTestFinished(() => rm(place, { recursive: true }));
  return place;
}

test("secrets lie in files that this user alone can read, until they are released", async () => {
  const { variables, release } = await secretFolder({ TOKEN: new Secret("hunter2") });
  const directory = variables["MILLRACE_SECRETS_DIR"] ?? expect.fail("no folder");
  expect(await readFile(join(directory, "TOKEN"), "utf8")).toBe("hunter2");
  expect((await stat(directory)).mode & 0o077).toBe(0);
  expect((await stat(join(directory, "TOKEN"))).mode & 0o077).toBe(0);
  await release();
  expect(existsSync(directory)).toBe(false);
});

test("folders of processes that were killed go, and those of processes that live stay", async () => {
  const place = await emptyPlace();
  const alive = await secretFolder({ TOKEN: new Secret("hunter2") }, place);
  const owner = await thisProcess("handing over secrets");
  const { pid } = spawnSync(process.execPath, ["--version"]);
  const others = {
    "millrace-secrets-dead": JSON.stringify({ ...owner, pid }),
    "millrace-secrets-reused": JSON.stringify({ ...owner, processStart: "before" }),
    "millrace-secrets-elsewhere": JSON.stringify({ ...owner, host: "other", pid }),
    "millrace-secrets-unfinished": "{",
    "another-program": JSON.stringify({ ...owner, pid }),
  };
  for (const [name, text] of Object.entries(others)) {
    await mkdir(join(place, name));
    await writeFile(join(place, name, ".owner"), text);
    await writeFile(join(place, name, "TOKEN"), "hunter2");
  }
  await secretFolder({}, place);
  expect((await readdir(place)).map((name) => join(place, name)).sort()).toEqual(
    [
      alive.variables["MILLRACE_SECRETS_DIR"],
      join(place, "millrace-secrets-elsewhere"),
      join(place, "millrace-secrets-unfinished"),
      join(place, "another-program"),
    ].sort(),
  );
});

test("what was not released goes when the process ends by itself", async () => {
  const place = await emptyPlace();
  const { href } = new URL("./secret-folder.ts", import.meta.url);
  const core = import.meta.resolve("@millrace/core");
  const script = `import { Secret } from ${JSON.stringify(core)};
    import { secretFolder } from ${JSON.stringify(href)};
    await secretFolder({ TOKEN: new Secret("hunter2") }, ${JSON.stringify(place)});
    process.exit(7);`;
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
  });
  expect({ status, stderr }).toMatchObject({ status: 7 });
  expect(await readdir(place)).toEqual([]);
});
