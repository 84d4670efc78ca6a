import { isMillraceError, type MillraceError, Secret } from "@millrace/core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { BASE_IMAGE } from "./base-image.ts";
import { askEngine } from "./engine-api.ts";
import { EngineProject, type Shown } from "./engine-project.ts";
import { startRegistry } from "./registry.ts";

const SECRET = 'a-secret-value\nwith a "second" line';
const WAIT = { timeout: 30_000, interval: 50 };

let project: EngineProject;

beforeAll(async () => {
  project = await EngineProject.make(SECRET);
});

afterAll(() => project.remove());

async function serviceOf(name: string): Promise<Shown> {
  const found = (await project.containersOf(name)).find(
    ({ Labels }) => Labels["dev.millrace.role"] === "service",
  );
  return found ?? expect.fail(`${name} has no service`);
}

async function deploy(name: string, file: string) {
  onTestFinished(async () => {
    await project.client.deployments.delete(name).catch(() => undefined);
  });
  return (await project.client.deploy(file, { name })).deployment;
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
    const one = await deploy("full", project.pipeline("full"));
    expect(one).toMatchObject({ status: "RUNNING", url: expect.stringMatching(/^http:\/\/127/) });
    expect(await project.says("full")).toContain('"one"');
    const two = await deploy("full", project.pipeline("full", { says: "two" }));
    expect(two.url).toBe(one.url);
    expect(await project.says("full")).toContain('"two"');
    const back = await project.client.deployments.rollback("full");
    expect(back.deployment.url).toBe(one.url);
    expect(await project.says("full")).toContain('"one"');
    expect(await project.client.deployments.deprovision("full")).toMatchObject({
      status: "ABSENT",
    });
    expect(await project.everything()).toEqual([]);
    expect((await project.client.deployments.provision("full")).deployment.url).toBe(one.url);
  });

  test("has its runs in the store although it reaches none, when its container is replaced and when it goes", async () => {
    await deploy("recording", project.pipeline("recording"));
    const recorded = async () =>
      (await project.client.runs.list({ deployment: "recording" })).items.map(({ id }) => id);
    const first = await project.client.invoke("recording", {});
    expect(await recorded()).toEqual([]);
    await deploy("recording", project.pipeline("recording", { says: "two" }));
    expect(await recorded()).toEqual([first.metadata.run_id]);
    const second = await project.client.invoke("recording", {});
    await project.client.deployments.deprovision("recording");
    expect((await recorded()).toSorted()).toEqual(
      [first.metadata.run_id, second.metadata.run_id].toSorted(),
    );
  });

  test("keeps a secret out of everything that the engine shows, and hands it to the service", async () => {
    await deploy("secretive", project.pipeline("secretive"));
    expect(await project.says("secretive")).toContain(`"secret":${SECRET.length}`);
    const shown = await Promise.all(
      (await project.containersOf("secretive")).flatMap(({ Id }) => [
        project.list<unknown>(`/containers/${Id}/json`),
        project.list<unknown>(`/containers/${Id}/top`),
      ]),
    );
    const images = await project.list<readonly { readonly Id: string }[]>("/images/json");
    const histories = images.flatMap(({ Id }) => [
      project.list<unknown>(`/images/${Id}/json`),
      project.list<unknown>(`/images/${Id}/history`),
    ]);
    const text = JSON.stringify([shown, await Promise.all(histories)]);
    for (const line of SECRET.split("\n")) {
      expect(text).not.toContain(line);
      expect(text).not.toContain(JSON.stringify(line).slice(1, -1));
    }
  });

  test.each([
    ["was stopped", () => project.engine.stop()],
    ["crashed", () => project.engine.kill()],
  ])(
    "is back with its secrets, on its port, after the engine %s and was started",
    async (_how, end) => {
      const { url } = await deploy("lasting", project.pipeline("lasting"));
      await end();
      await project.engine.start();
      await vi.waitFor(async () => expect(await project.says("lasting")).toContain('"one"'), WAIT);
      expect(await project.client.deployments.refresh("lasting")).toMatchObject({
        status: "RUNNING",
        url,
      });
    },
  );

  test.each([
    ["ends", "process.exit(9)", "ended with exit code 9"],
    [
      "needs too much memory",
      "for (const all = []; ; ) all.push(Buffer.alloc(4_000_000, 1))",
      "used more than the 128 MB of memory",
    ],
  ])(
    "is restarted by the engine when its process %s, requests wait for that, and it is said",
    async (how, harm, why) => {
      const name = `mortal-${how.split(" ")[0]}`;
      // Any signal that does not stop a container.
      const top = `process.once("SIGUSR2", () => { ${harm}; });`;
      onTestFinished(async () => void (await project.client.deployments.delete(name)));
      await project.client.deploy(project.pipeline(name, { top }), {
        name,
        settings: { memory: "128m" },
      });
      const { Id } = await serviceOf(name);
      await askEngine(project.engine.socket, "POST", `/containers/${Id}/kill?signal=SIGUSR2`);
      await vi.waitFor(async () => {
        const { metadata } = await project.client.deployments.refresh(name);
        expect(metadata["containers"]).toMatchObject([
          { status: "running", restarts: 1, lastEnd: expect.stringContaining(why) },
        ]);
      }, WAIT);
      expect(await project.says(name)).toContain('"one"');
    },
  );

  const harms: readonly (readonly [string, "POST" | "DELETE", string])[] = [
    ["killed", "POST", "/kill"],
    ["paused", "POST", "/pause"],
    ["removed", "DELETE", "?force=1"],
  ];
  test.each(harms.flatMap((harm) => [["service", ...harm] as const, ["door", ...harm] as const]))(
    "is found out when its %s was %s, and the same deploy heals it",
    async (role, how, method, call) => {
      const name = `harmed-${role}-${how}`;
      const { url } = await deploy(name, project.pipeline(name));
      const { Id } =
        (await project.containersOf(name)).find(
          ({ Labels }) => Labels["dev.millrace.role"] === role,
        ) ?? expect.fail(`there is no ${role}`);
      await askEngine(project.engine.socket, method, `/containers/${Id}${call}`);
      expect(await project.client.deployments.refresh(name)).toMatchObject({ status: "ERROR" });
      expect(await deploy(name, project.pipeline(name))).toMatchObject({ status: "RUNNING", url });
      expect(await project.says(name)).toContain('"one"');
    },
  );
});

test("what no record knows is found, left alone, and removed on request with all that it has", async () => {
  await deploy("known", project.pipeline("known"));
  const other = await project.otherStore();
  onTestFinished(() => other.close());
  await other.secrets.set("TOKEN", new Secret(SECRET));
  const { deployment: lost } = await other.deploy(project.pipeline("lost"), { name: "lost" });
  const before = await project.everything();
  const [orphan, ...more] = await project.client.deployers.orphans("docker");
  expect(more).toEqual([]);
  expect(orphan).toMatchObject({ id: lost.id, name: "lost", deployer: "docker" });
  expect(orphan?.resources.map(({ kind }) => kind).toSorted()).toEqual([
    ...["container", "container", "network", "volume"],
  ]);
  expect(await project.everything()).toEqual(before);
  const known = await project.client.deployments.get("known");
  await expect(
    project.client.deployers.removeOrphan("docker", known.deployment.id),
  ).rejects.toMatchObject({ code: "ORPHAN_NOT_FOUND" });
  await project.client.deployers.removeOrphan("docker", lost.id);
  expect(await project.client.deployers.orphans("docker")).toEqual([]);
  expect(await project.containersOf("lost")).toEqual([]);
  expect((await project.everything()).length).toBe(before.length - 4);
  expect(await project.says("known")).toContain("one");
});

describe("a deployment that cannot start", () => {
  test.each([
    ["exits", { top: 'console.log("I cannot"); process.exit(3);' }, "platform", "exit code 3"],
    [
      "throws",
      { init: 'throw new Error("the database is away");' },
      "pipeline",
      "the database is away",
    ],
  ])(
    "says why when its container %s, and the old one serves on",
    async (how, parts, errorClass, words) => {
      const name = `broken-${how}`;
      // What runs at the top of the module also runs when the snapshot is made.
      const guarded = "top" in parts ? { top: `if (process.env.PORT) { ${parts.top} }` } : parts;
      await deploy(name, project.pipeline(name));
      const error = await failureOf(
        project.client.deploy(project.pipeline(name, { says: "two", ...guarded }), { name }),
      );
      expect(error).toMatchObject({
        class: errorClass,
        code: "DEPLOY_FAILED",
        details: { failure: "CONTAINER_EXITED", stillServes: true },
      });
      expect(error.message).toContain(words);
      expect(await project.says(name)).toContain('"one"');
      expect(await project.client.deployments.refresh(name)).toMatchObject({ status: "RUNNING" });
      expect(await deploy(name, project.pipeline(name, { says: "three" }))).toMatchObject({
        status: "RUNNING",
      });
      expect((await project.containersOf(name)).length).toBe(2);
    },
  );

  test("says so when it is never ready, and names its limit", async () => {
    const file = project.pipeline("never", {
      init: "await new Promise(() => setInterval(() => {}, 1000));",
    });
    onTestFinished(async () => void (await project.client.deployments.delete("never")));
    const error = await failureOf(
      project.client.deploy(file, { name: "never", settings: { startTimeoutSeconds: 2 } }),
    );
    expect(error.details).toMatchObject({ failure: "CONTAINER_NOT_READY" });
    expect(error.message).toContain("was not ready after 2 seconds");
  });

  test("says so when it needs more memory than it may have", async () => {
    const file = project.pipeline("hungry", {
      init: "const kept = []; for (;;) { kept.push(Buffer.alloc(8_000_000, 1)); await new Promise(setImmediate); }",
    });
    onTestFinished(async () => void (await project.client.deployments.delete("hungry")));
    const error = await failureOf(
      project.client.deploy(file, { name: "hungry", settings: { memory: "96m" } }),
    );
    expect(error.details).toMatchObject({ failure: "OUT_OF_MEMORY" });
    expect(error.message).toContain("of memory that it may have");
  });
});

describe("a Dockerfile", () => {
  const settings = { image: { dockerfile: "Dockerfile" } };
  const parts = {
    top: 'import { readFileSync } from "node:fs";',
    init: 'console.log(readFileSync("/made", "utf8"));',
  };

  test("makes the base image, and what it does not use changes nothing", async () => {
    project.write("greeting.txt", "hello from the build");
    const make =
      'require("fs").writeFileSync("/made", require("fs").readFileSync("/greeting.txt"))';
    project.write(
      "Dockerfile",
      `FROM ${BASE_IMAGE}\nCOPY greeting.txt /\nRUN ${JSON.stringify(["node", "-e", make])}\n`,
    );
    const file = project.pipeline("built", parts);
    onTestFinished(async () => void (await project.client.deployments.delete("built")));
    await project.client.deploy(file, { name: "built", settings });
    const log = await Array.fromAsync(project.client.deployments.logs("built"));
    expect(log.map(({ text }) => text)).toContain("hello from the build");
    project.write("notes.txt", "of no use in the image");
    expect(await project.client.plan(file, { name: "built", settings })).toMatchObject({
      action: "no-op",
    });
    project.write("greeting.txt", "another word");
    expect(await project.client.plan(file, { name: "built", settings })).toMatchObject({
      action: "update",
    });
  });

  test("whose command fails is told with the command's last line, and nothing is left behind", async () => {
    const fail = 'console.error("there is no compiler"); process.exit(3)';
    project.write(
      "Dockerfile",
      `FROM ${BASE_IMAGE}\nRUN ${JSON.stringify(["node", "-e", fail])}\n`,
    );
    const file = project.pipeline("unbuilt");
    const error = await failureOf(project.client.deploy(file, { name: "unbuilt", settings }));
    expect(error).toMatchObject({ code: "BUILD_FAILED" });
    expect(error.message).toContain("there is no compiler");
    expect(await project.everything()).toEqual([]);
  });
});

describe("what is wrong before anything starts", () => {
  test("a port that another container has is named, and nothing is left behind", async () => {
    const { url } = await deploy("first", project.pipeline("first"));
    const port = Number(new URL(url ?? "").port);
    const error = await failureOf(
      project.client.deploy(project.pipeline("second"), { name: "second", settings: { port } }),
    );
    expect(error.message).toContain(`Port ${port} of 127.0.0.1 is in use`);
    expect(await project.containersOf("second")).toEqual([]);
  });

  test("what the engine refuses is told, and leaves neither a container nor a deployment that is broken", async () => {
    const settings = { networks: ["no-such-network"] };
    const error = await failureOf(
      project.client.deploy(project.pipeline("refused"), { name: "refused", settings }),
    );
    onTestFinished(async () => void (await project.client.deployments.delete("refused")));
    expect(`${error.message} ${error.action}`).toContain("no-such-network");
    expect(await project.everything()).toEqual([]);
    const record = await project.client.deployments.refresh("refused");
    expect(record).toMatchObject({ status: "ABSENT" });
  });

  test("a base image that its registry does not have is named", async () => {
    const registry = await startRegistry("open");
    onTestFinished(() => registry.stop());
    const base = `${registry.host}/team/no-such:1`;
    const error = await failureOf(
      project.client.deploy(project.pipeline("baseless"), {
        name: "baseless",
        settings: { image: { base } },
      }),
    );
    expect(error.message).toContain(base);
    expect(await project.everything()).toEqual([]);
  });

  test.each([
    ["a base image that is none", { image: { base: "Foo Bar" } }, "IMAGE_REFERENCE_INVALID"],
    [
      "another engine than the deployer's",
      { engine: "tcp://127.0.0.1:1" },
      "ENGINE_NOT_OF_DEPLOYER",
    ],
  ])("%s is refused", async (_what, settings, code) => {
    const name = code.toLowerCase().replaceAll("_", "-");
    const work = project.client.deploy(project.pipeline(name), { name, settings });
    expect(await failureOf(work)).toMatchObject({ class: "usage", code });
  });

  test("a base image for another processor is named with both", async () => {
    const architecture = process.arch === "arm64" ? "amd64" : "arm64";
    const error = await failureOf(
      project.client.deploy(project.pipeline("foreign"), {
        name: "foreign",
        settings: { image: { base: BASE_IMAGE, architecture } },
      }),
    );
    expect(error).toMatchObject({ code: "IMAGE_PLATFORM" });
    expect(error.message).toContain(BASE_IMAGE);
    expect(error.message).toContain("linux/amd64");
    expect(error.message).toContain("linux/arm64");
    expect(await project.everything()).toEqual([]);
  });
});
