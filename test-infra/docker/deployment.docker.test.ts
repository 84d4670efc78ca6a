import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Client, connect } from "@millrace/control";
import { isMillraceError, type MillraceError, Secret } from "@millrace/core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { BASE_IMAGE, importBaseImage } from "./base-image.ts";
import { type PrivateEngine, startEngine } from "./engine.ts";
import { askEngine } from "./engine-api.ts";

const SECRET = 'a-secret-value\nwith a "second" line';
const WAIT = { timeout: 30_000, interval: 50 };

let engine: PrivateEngine;
let folder: string;
let client: Client;

beforeAll(async () => {
  engine = await startEngine();
  await importBaseImage(engine.socket);
  folder = mkdtempSync(join(tmpdir(), "millrace-docker-"));
  for (const name of ["@millrace/core", "zod", "@millrace/deployer-docker"]) {
    const link = join(folder, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(dirname(fileURLToPath(import.meta.resolve(`${name}/package.json`))), link);
  }
  const config = {
    plugins: ["@millrace/deployer-docker"],
    deployers: {
      docker: {
        flavor: "docker",
        settings: { engine: `unix://${engine.socket}`, image: { base: BASE_IMAGE } },
      },
    },
    stacks: { docker: { deployer: "docker" } },
    stack: "docker",
  };
  writeFileSync(join(folder, "millrace.config.json"), JSON.stringify(config));
  client = await connect({ directory: folder, home: join(folder, "home") });
  await client.secrets.set("TOKEN", new Secret(SECRET));
});

afterAll(async () => {
  await client.close();
  await engine.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** A pipeline of one step; its module may do something at the top or in `onInit`. */
function pipeline(
  name: string,
  parts: { readonly says?: string; readonly top?: string; readonly init?: string } = {},
): string {
  const file = join(folder, `${name}-${parts.says ?? "one"}.ts`);
  writeFileSync(
    file,
    `import { definePipeline, defineStep } from "@millrace/core";
import { z } from "zod";
${parts.top ?? ""}
const work = defineStep({
  name: "work",
  input: z.object({}),
  output: z.object({ says: z.string(), secret: z.number() }),
  run: async (_input, ctx) => ({ says: ${JSON.stringify(parts.says ?? "one")}, secret: ctx.secret("TOKEN").reveal().length }),
});
export default definePipeline({
  name: ${JSON.stringify(name)},
  input: z.object({}),
  secrets: ["TOKEN"],
  onInit: async () => { ${parts.init ?? ""} },
  build: () => ({ out: work({}) }),
});
`,
  );
  return file;
}

interface Shown {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly State: string;
  readonly Labels: Readonly<Record<string, string>>;
}

async function engineList<T>(path: string): Promise<T> {
  const { status, text } = await askEngine(engine.socket, "GET", path);
  expect(status).toBe(200);
  return JSON.parse(text);
}

async function containersOf(name: string): Promise<readonly Shown[]> {
  const all = await engineList<readonly Shown[]>("/containers/json?all=1");
  return all.filter(({ Labels }) => Labels["dev.millrace.name"] === name);
}

async function serviceOf(name: string): Promise<Shown> {
  const found = (await containersOf(name)).find(
    ({ Labels }) => Labels["dev.millrace.role"] === "service",
  );
  return found ?? expect.fail(`${name} has no service`);
}

async function says(name: string): Promise<string> {
  const { outputs } = await client.invoke(name, {});
  return JSON.stringify(outputs);
}

async function deploy(name: string, file: string) {
  onTestFinished(async () => {
    await client.deployments.delete(name).catch(() => undefined);
  });
  return (await client.deploy(file, { name })).deployment;
}

async function failureOf(work: Promise<unknown>): Promise<MillraceError> {
  const thrown: unknown = await work.then(
    () => expect.fail("it did not fail"),
    (error: unknown) => error,
  );
  return isMillraceError(thrown) ? thrown : expect.fail(String(thrown));
}

describe("a deployment in containers", () => {
  test("serves, is updated in place, rolled back, and leaves no container, network or volume", async () => {
    const one = await deploy("full", pipeline("full"));
    expect(one).toMatchObject({ status: "RUNNING", url: expect.stringMatching(/^http:\/\/127/) });
    expect(await says("full")).toContain('"one"');
    const two = await deploy("full", pipeline("full", { says: "two" }));
    expect(two.url).toBe(one.url);
    expect(await says("full")).toContain('"two"');
    const back = await client.deployments.rollback("full");
    expect(back.deployment.url).toBe(one.url);
    expect(await says("full")).toContain('"one"');
    expect(await client.deployments.deprovision("full")).toMatchObject({ status: "ABSENT" });
    expect(await containersOf("full")).toEqual([]);
    const { Volumes } = await engineList<{ readonly Volumes: readonly unknown[] | null }>(
      "/volumes",
    );
    expect(Volumes ?? []).toEqual([]);
    const networks = await engineList<readonly { readonly Name: string }[]>("/networks");
    expect(networks.map(({ Name }) => Name).sort()).toEqual(["bridge", "host", "none"]);
    expect((await client.deployments.provision("full")).deployment.url).toBe(one.url);
  });

  test("keeps a secret out of everything that the engine shows, and hands it to the service", async () => {
    await deploy("secretive", pipeline("secretive"));
    expect(await says("secretive")).toContain(`"secret":${SECRET.length}`);
    const shown = await Promise.all(
      (await containersOf("secretive")).flatMap(({ Id }) => [
        engineList<unknown>(`/containers/${Id}/json`),
        engineList<unknown>(`/containers/${Id}/top`),
      ]),
    );
    const images = await engineList<readonly { readonly Id: string }[]>("/images/json");
    const histories = images.flatMap(({ Id }) => [
      engineList<unknown>(`/images/${Id}/json`),
      engineList<unknown>(`/images/${Id}/history`),
    ]);
    const text = JSON.stringify([shown, await Promise.all(histories)]);
    for (const line of SECRET.split("\n")) {
      expect(text).not.toContain(line);
      expect(text).not.toContain(JSON.stringify(line).slice(1, -1));
    }
  });

  test("is back with its secrets, on its port, after the engine was stopped and started", async () => {
    const { url } = await deploy("lasting", pipeline("lasting"));
    await engine.restart();
    await vi.waitFor(async () => expect(await says("lasting")).toContain('"one"'), WAIT);
    expect(await client.deployments.refresh("lasting")).toMatchObject({ status: "RUNNING", url });
  });

  test("is restarted by the engine when its process dies, and requests wait for that", async () => {
    const top = "if (process.env.PORT) setTimeout(() => process.exit(9), 3000);";
    await deploy("mortal", pipeline("mortal", { top }));
    const { Id } = await serviceOf("mortal");
    await vi.waitFor(async () => {
      const shown = await engineList<{ readonly RestartCount: number }>(`/containers/${Id}/json`);
      expect(shown.RestartCount).toBeGreaterThan(0);
    }, WAIT);
    expect(await says("mortal")).toContain('"one"');
  });

  test.each([
    ["killed", (id: string) => askEngine(engine.socket, "POST", `/containers/${id}/kill`)],
    ["paused", (id: string) => askEngine(engine.socket, "POST", `/containers/${id}/pause`)],
    ["removed", (id: string) => askEngine(engine.socket, "DELETE", `/containers/${id}?force=1`)],
  ])("is found out when its container was %s, and the same deploy heals it", async (how, harm) => {
    const name = `harmed-${how}`;
    const { url } = await deploy(name, pipeline(name));
    await harm((await serviceOf(name)).Id);
    expect(await client.deployments.refresh(name)).toMatchObject({ status: "ERROR" });
    expect(await deploy(name, pipeline(name))).toMatchObject({ status: "RUNNING", url });
    expect(await says(name)).toContain('"one"');
  });
});

describe("a deployment that cannot start", () => {
  test.each([
    [
      "exits",
      { top: 'console.log("I cannot"); process.exit(3);' },
      "CONTAINER_EXITED",
      "exit code 3",
    ],
    [
      "throws",
      { init: 'throw new Error("the database is away");' },
      "CONTAINER_EXITED",
      "the database is away",
    ],
  ])(
    "says why when its container %s, and the old one serves on",
    async (how, parts, code, words) => {
      const name = `broken-${how}`;
      // What runs at the top of the module also runs when the snapshot is made.
      const guarded = "top" in parts ? { top: `if (process.env.PORT) { ${parts.top} }` } : parts;
      await deploy(name, pipeline(name));
      const error = await failureOf(
        client.deploy(pipeline(name, { says: "two", ...guarded }), { name }),
      );
      expect(error).toMatchObject({
        code: "DEPLOY_FAILED",
        details: { failure: code, stillServes: true },
      });
      expect(error.message).toContain(words);
      expect(await says(name)).toContain('"one"');
      expect(await client.deployments.refresh(name)).toMatchObject({ status: "RUNNING" });
      expect(await deploy(name, pipeline(name, { says: "three" }))).toMatchObject({
        status: "RUNNING",
      });
      expect((await containersOf(name)).length).toBe(2);
    },
  );

  test("says so when it is never ready, and names its limit", async () => {
    const file = pipeline("never", {
      init: "await new Promise(() => setInterval(() => {}, 1000));",
    });
    onTestFinished(async () => void (await client.deployments.delete("never")));
    const error = await failureOf(
      client.deploy(file, { name: "never", settings: { startTimeoutSeconds: 2 } }),
    );
    expect(error.details).toMatchObject({ failure: "CONTAINER_NOT_READY" });
    expect(error.message).toContain("was not ready after 2 seconds");
  });

  test("says so when it needs more memory than it may have", async () => {
    const file = pipeline("hungry", {
      init: "const kept = []; for (;;) { kept.push(Buffer.alloc(8_000_000, 1)); await new Promise(setImmediate); }",
    });
    onTestFinished(async () => void (await client.deployments.delete("hungry")));
    const error = await failureOf(
      client.deploy(file, { name: "hungry", settings: { memory: "96m" } }),
    );
    expect(error.details).toMatchObject({ failure: "OUT_OF_MEMORY" });
    expect(error.message).toContain("more memory than it may have");
  });
});

describe("what is wrong before anything starts", () => {
  test("a port that another container has is named, and nothing is left behind", async () => {
    const { url } = await deploy("first", pipeline("first"));
    const port = Number(new URL(url ?? "").port);
    const error = await failureOf(
      client.deploy(pipeline("second"), { name: "second", settings: { port } }),
    );
    expect(error.message).toContain(`Port ${port} of 127.0.0.1 is in use`);
    await client.deployments.delete("second").catch(() => undefined);
    expect(await containersOf("second")).toEqual([]);
  });

  test.each([
    [{ networks: ["no-such-network"] }, "no-such-network"],
    [{ volumes: ["/no/such/folder:/data:ro"] }, "/no/such/folder"],
    [{ runOptions: { CapAdd: ["NO_SUCH_CAPABILITY"] } }, "NO_SUCH_CAPABILITY"],
    [{ logDriver: "no-such-driver" }, "no-such-driver"],
  ])("%j is refused by name", async (settings, word) => {
    onTestFinished(async () => {
      await client.deployments.delete("refused").catch(() => undefined);
    });
    const error = await failureOf(
      client.deploy(pipeline("refused"), { name: "refused", settings }),
    );
    expect(`${error.message} ${error.action}`).toContain(word);
  });
});
