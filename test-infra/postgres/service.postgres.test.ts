import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test, vi } from "vitest";
import { z } from "zod";
import { bundleRuntime, RUNTIME_ENTRY } from "../../packages/control/src/image/runtime-bundle.ts";
import { Fingerprints } from "../../packages/control/src/snapshot/fingerprint.ts";
import { openWire, type Wire } from "../../packages/store/src/postgres/wire.fixture.ts";

const root = join(import.meta.dirname, "../..");
const bin = join(root, "packages/millrace/bin/millrace.js");
/** How long the store is away under load. A minute shows the same as some seconds, and takes a minute. */
const OUTAGE_SECONDS = Number(process.env["MILLRACE_OUTAGE_SECONDS"] ?? 4);

let folder: string;
let wire: Wire;
let password: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "millrace-service-"));
  wire = await openWire(inject("postgresUrl"));
  password = new URL(wire.url).password;
});
afterAll(async () => {
  await millrace("deployment", "delete", "--all", "--yes");
  await wire.close();
  rmSync(folder, { recursive: true });
});

interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command as a user would who keeps the store's URL in the environment. */
function millrace(...args: readonly string[]): Promise<Finished> {
  const env = {
    ...process.env,
    MILLRACE_HOME: join(folder, "home"),
    MILLRACE_STORE_URL: wire.url,
    NO_COLOR: "1",
  };
  return new Promise((done) => {
    const child = execFile(
      process.execPath,
      [bin, ...args],
      { cwd: root, env, maxBuffer: 1 << 28 },
      (_, stdout, stderr) => done({ code: child.exitCode, stdout, stderr }),
    );
    child.stdin?.end();
  });
}

/** The JSON that a command prints. Nothing that it prints shows the password. */
async function json(...args: readonly string[]) {
  const { code, stdout, stderr } = await millrace(...args, "--output", "json");
  expect(stdout + stderr).not.toContain(password);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return JSON.parse(stdout);
}

async function invoke(url: string): Promise<string> {
  const answer = await fetch(`${url}/invoke`, {
    method: "POST",
    // A connection that is kept open is waited for when the service ends.
    headers: { "content-type": "application/json", connection: "close" },
    body: JSON.stringify({ parameters: { city: "Lisbon" } }),
  });
  expect(answer.status).toBe(200);
  const { metadata } = z
    .object({ metadata: z.object({ run_id: z.string() }) })
    .parse(await answer.json());
  return metadata.run_id;
}

/** Ids of the recorded runs of a snapshot or of everything. */
async function recordedIds(...filter: readonly string[]): Promise<string[]> {
  const { items } = await json("run", "list", "--all-pages", ...filter);
  return items.map(({ id }: { readonly id: string }) => id);
}

const eventually = { timeout: 30_000, interval: 200 };

describe("a deployment whose store is on PostgreSQL", () => {
  let url: string;

  test("is deployed, called, and its runs are listed", async () => {
    const { deployment } = await json(
      "deploy",
      "apps/weather/pipeline.ts",
      "--name",
      "weather",
      "--yes",
    );
    expect(deployment).toMatchObject({ status: "RUNNING" });
    url = deployment.url;
    const id = await invoke(url);
    await vi.waitFor(async () => expect(await recordedIds()).toContain(id), eventually);
    const { items } = await json("config", "show");
    expect(items).toContainEqual(
      expect.objectContaining({
        name: "store.url",
        value: expect.stringMatching(/^postgres:\/\/millrace@127\.0\.0\.1:\d+\/postgres$/),
        origin: "MILLRACE_STORE_URL",
      }),
    );
    const batch = await json("run", "apps/weather/pipeline.ts", "--city", "Lisbon");
    expect(await json("run", "show", batch.id)).toMatchObject({ id: batch.id, deploymentId: null });
    expect(readdirSync(join(folder, "home"))).not.toContain("millrace.db");
  });

  test("does not show a batch run's steps the URL, which the command has in its environment", async () => {
    // Inside the workspace, so that `millrace` and `zod` resolve as they do for a user; ignored by git.
    const workspace = join(root, "packages/millrace/.millrace");
    mkdirSync(workspace, { recursive: true });
    const place = mkdtempSync(join(workspace, "sees-"));
    onTestFinished(() => rmSync(place, { recursive: true }));
    writeFileSync(
      join(place, "sees.ts"),
      `import { definePipeline, defineStep } from "millrace";
      import { z } from "zod";
      const look = defineStep({
        name: "look",
        input: z.object({}),
        output: z.array(z.string()),
        run: () => Object.keys(process.env).filter((name) => name.startsWith("MILLRACE_")).sort(),
      });
      export default definePipeline({ name: "sees", input: z.object({}), build: () => ({ seen: look({}) }) });`,
    );
    const { outputs } = await json("run", join(place, "sees.ts"));
    expect(outputs.seen).toContain("MILLRACE_HOME");
    expect(outputs.seen).not.toContain("MILLRACE_STORE_URL");
  });

  test("gives the password to nobody but to a file of its owner", async () => {
    for (const process of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      for (const file of ["environ", "cmdline"])
        expect(textOf(join("/proc", process, file)), `${file} of ${process}`).not.toContain(
          password,
        );
    }
    for (const file of globSync("home/**", { cwd: folder }).map((name) => join(folder, name))) {
      if (!statSync(file).isFile() || !textOf(file).includes(password)) continue;
      expect([file, (statSync(file).mode & 0o777).toString(8)]).toEqual([
        expect.stringMatching(/MILLRACE_STORE_URL$/),
        "600",
      ]);
    }
    await json("deployment", "describe", "weather");
    const { stdout } = await millrace("deployment", "logs", "weather", "--output", "json");
    expect(stdout).not.toContain(password);
  });

  test(
    `loses no run and fails no request while the store is away for ${OUTAGE_SECONDS} s`,
    async () => {
      const ids: string[] = [];
      let stopped = false;
      const load = Array.from({ length: 8 }, async () => {
        while (!stopped) {
          ids.push(await invoke(url));
          await sleep(5);
        }
      });
      await sleep(500);
      wire.set("refuse");
      await sleep((OUTAGE_SECONDS * 1000) / 2);
      wire.set("hang");
      await sleep((OUTAGE_SECONDS * 1000) / 2);
      wire.set("refuse");
      wire.set("pass");
      await sleep(500);
      stopped = true;
      await Promise.all(load);
      expect(ids.length).toBeGreaterThan(100);
      const missing = async () => {
        const found = new Set(await recordedIds("--deployment", "weather"));
        return ids.filter((id) => !found.has(id)).length;
      };
      await vi.waitFor(async () => expect(await missing()).toBe(0), eventually);
      const all = await recordedIds("--deployment", "weather");
      expect(new Set(all).size).toBe(all.length);
    },
    120_000 + OUTAGE_SECONDS * 1000,
  );
});

describe("a service that is an image's", () => {
  /** Serves the deployed snapshot with the bundled server alone, and gives its URL and its output. */
  async function serve(store: unknown, secrets: Readonly<Record<string, string>>) {
    const place = mkdtempSync(join(folder, "image-"));
    const bundle = await bundleRuntime(
      join(folder, "bundles"),
      new Fingerprints(join(folder, "fingerprints"), "test"),
    );
    cpSync(bundle, join(place, "runtime"), { recursive: true });
    const { snapshotId, projectId } = (await json("deployment", "describe", "weather")).deployment;
    const artifacts = join(folder, "home/artifacts/default/snapshots");
    cpSync(join(artifacts, snapshotId.replace("sha256:", "")), join(place, "snapshot"), {
      recursive: true,
    });
    mkdirSync(join(place, "secrets"), { mode: 0o700 });
    for (const [name, value] of Object.entries(secrets))
      writeFileSync(join(place, "secrets", name), value, { mode: 0o600 });
    const config = {
      deployment: { id: "elsewhere", name: "elsewhere", project: "default", projectId },
      snapshot: { id: snapshotId, name: null },
      revision: "1",
      serving: {},
      authKeyHash: null,
      store,
    };
    const child = spawn(
      process.execPath,
      [join(place, "runtime", RUNTIME_ENTRY), "serve", join(place, "snapshot")],
      {
        env: {
          MILLRACE_CONFIG: JSON.stringify(config),
          MILLRACE_SECRETS_DIR: join(place, "secrets"),
        },
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    onTestFinished(() => void child.kill("SIGKILL"));
    const lines: string[] = [];
    return { child, lines, place, url: await readyUrl(child, lines) };
  }

  async function readyUrl(child: ChildProcess, lines: string[]): Promise<string> {
    if (child.stdout === null) throw new TypeError("no output");
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    child.once("exit", (code) => reject(new Error(`It ended with ${code}: ${lines.join("\n")}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      lines.push(line);
      const { msg, url }: { msg?: string; url?: string } = JSON.parse(line);
      if (msg === "The service is ready." && url !== undefined) resolve(url);
    });
    return promise;
  }

  async function end(child: ChildProcess): Promise<void> {
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
  }

  test("records over the network, with the URL that it was given as a secret", async () => {
    const { child, lines, place, url } = await serve(
      {
        kind: "postgres",
        urlSecret: "MILLRACE_STORE_URL",
        spoolDirectory: join(folder, "spool-elsewhere"),
      },
      { MILLRACE_STORE_URL: wire.url },
    );
    const ids = [await invoke(url), await invoke(url)];
    await end(child);
    expect(await recordedIds()).toEqual(expect.arrayContaining(ids));
    expect(lines.join("\n")).not.toContain(password);
    expect(readdirSync(place)).not.toContain("node_modules");
  });

  test("that was not given it says so, and does not start", async () => {
    const store = { kind: "postgres", urlSecret: "MILLRACE_STORE_URL", spoolDirectory: "/nowhere" };
    await expect(serve(store, {})).rejects.toThrow(/ended with 2/);
  });

  test("without a store logs its runs, which are read back once", async () => {
    const { child, lines, url } = await serve(null, {});
    const ids = [await invoke(url), await invoke(url), await invoke(url)];
    await end(child);
    expect(await recordedIds()).not.toEqual(expect.arrayContaining(ids.slice(0, 1)));
    const log = join(folder, "service.log");
    writeFileSync(log, lines.map((line) => `2026-03-01T00:00:00Z stdout F ${line}\n`).join(""));
    expect(await json("run", "import", log)).toMatchObject({ runs: 3, recorded: 3, badLines: 0 });
    expect(await recordedIds()).toEqual(expect.arrayContaining(ids));
    expect(await json("run", "import", log)).toMatchObject({ runs: 3, recorded: 0 });
    writeFileSync(log, `${lines.join("\n").slice(0, -20)}`);
    expect(await millrace("run", "import", log)).toMatchObject({ code: 0 });
    writeFileSync(log, lines.find((line) => line.startsWith('{"millrace"'))?.slice(0, -20) ?? "");
    expect(await millrace("run", "import", log)).toMatchObject({
      code: 2,
      stdout: expect.stringContaining("Line 1 was not taken"),
    });
    expect(await millrace("run", "import", join(folder, "nothing"))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("IMPORT_UNREADABLE"),
    });
  });
});

function textOf(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    // A process that has ended meanwhile.
    return "";
  }
}
