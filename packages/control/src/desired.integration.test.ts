import { existsSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Client, connect, type DeployOptions } from "@millrace/control";
import {
  type DeploymentRequest,
  isSecret,
  SERVICE_CONFIG_VARIABLE,
  Secret,
  serviceConfigSchema,
} from "@millrace/core";
import { openStore } from "@millrace/store";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { capturingFlavor } from "./capturing-flavor.fixture.ts";
import { makeProject } from "./snapshot/project.fixture.ts";

const PIPELINE = `import { definePipeline } from "@millrace/core";
import { z } from "zod";
export default definePipeline({
  name: "sample",
  input: z.object({}),
  secrets: ["TOKEN"],
  settings: { serving: { tracking: { mode: "sync" } }, deployer: { cloud: { memory: 4, scaling: { max: 3 } }, other: { x: 1 } } },
  build: () => ({}),
});
`;

const CONFIG = {
  project: "p",
  deployers: {
    prod: {
      flavor: "cloud",
      settings: { cpu: 2, memory: 2, scaling: { min: 1, max: 2 } },
      serving: { maxQueue: 7 },
    },
  },
  stacks: { prod: { deployer: "prod" } },
  stack: "prod",
};

async function open(): Promise<{
  readonly client: Client;
  readonly root: string;
  plan(options?: DeployOptions): Promise<DeploymentRequest>;
}> {
  const { root, source } = await makeProject({
    "pipeline.ts": PIPELINE,
    "millrace.config.json": JSON.stringify(CONFIG),
    ".env": "TOKEN=hunter2\n",
  });
  vi.stubEnv("TOKEN", undefined);
  onTestFinished(() => void vi.unstubAllEnvs());
  const { flavor, requests } = capturingFlavor();
  const client = await connect({
    directory: root,
    home: join(root, "home"),
    flavors: [flavor],
    user: "ann",
  });
  onTestFinished(() => client.close());
  return {
    client,
    root,
    plan: async (options = {}) => {
      await client.plan(source().file, options);
      return requests.at(-1) ?? expect.fail("nothing was planned");
    },
  };
}

describe("what a plan notes", () => {
  const notes = async (client: Client, root: string) =>
    (await client.plan(join(root, "pipeline.ts"))).notes;

  it("is a secret of the store that the .env file hides", async () => {
    const { client, root } = await open();
    expect(await notes(client, root)).toEqual([]);
    await client.secrets.set("TOKEN", new Secret("of the store"));
    expect(await notes(client, root)).toEqual([
      `The secret TOKEN is taken from ${join(root, ".env")}, and not from the secret store, which has it too.`,
    ]);
    expect(await client.secrets.list()).toEqual([{ name: "TOKEN", hiddenBy: join(root, ".env") }]);
  });
});

it("has no deployment whose name could be another one's id", async () => {
  const { client, root } = await open();
  const named = { name: "0190a6e2-7b3c-7d4e-8f5a-6b7c8d9e0f1a" };
  for (const call of [client.plan, client.deploy])
    await expect(call(join(root, "pipeline.ts"), named)).rejects.toMatchObject({
      class: "usage",
      code: "NAME_INVALID",
    });
});

it("does not update a deployment with what is said of a deployer of another flavor", async () => {
  const { client, root } = await open();
  const store = await openStore({ url: join(root, "home/millrace.db") });
  onTestFinished(() => store.close());
  const projectId = (await store.projects.ensure("p")).id;
  const userId = (await store.users.ensure("ann")).id;
  const make = (name: string, flavor: string) =>
    store.deployments.create({
      ...{ projectId, userId, name, flavor, stack: "prod", deployer: "prod", deployerSettings: {} },
    });
  await make("sample", "docker");
  for (const call of [client.plan, client.deploy])
    await expect(call(join(root, "pipeline.ts"))).rejects.toMatchObject({
      class: "conflict",
      code: "DEPLOYER_CHANGED",
      message: expect.stringContaining('of flavor "docker", which is of flavor "cloud" now'),
    });
  const typo = { ...CONFIG, deployers: { prod: { flavor: "clod" } } };
  await writeFile(join(root, "millrace.config.json"), JSON.stringify(typo));
  const { flavor } = capturingFlavor();
  const again = await connect({ directory: root, home: join(root, "home"), flavors: [flavor] });
  onTestFinished(() => again.close());
  for (const call of [again.plan, again.deploy])
    await expect(call(join(root, "pipeline.ts"))).rejects.toMatchObject({
      code: "FLAVOR_UNKNOWN",
      message: expect.stringContaining('"clod"'),
    });
});

describe("the key of a service", () => {
  /** A deployment whose key this machine does not have. */
  async function protectedElsewhere(root: string): Promise<string> {
    const store = await openStore({ url: join(root, "home/millrace.db") });
    onTestFinished(() => store.close());
    const { id } = await store.deployments.create({
      projectId: (await store.projects.ensure("p")).id,
      name: "sample",
      userId: (await store.users.ensure("ann")).id,
      stack: "prod",
      deployer: "prod",
      flavor: "cloud",
      deployerSettings: {},
    });
    const holder = { host: "h", pid: 1, processStart: "1", purpose: "test", since: 0 };
    const attempt = await store.leases.acquire(`deployment:${id}`, holder, 60_000);
    if (!attempt.acquired) return expect.fail("another has the lease");
    const authKeyHash = "a".repeat(64);
    await store.deployments.update(id, { authKeyHash }, attempt.lease);
    return authKeyHash;
  }

  it("is not kept when the plan is declined", async () => {
    const { client, root } = await open();
    const confirm = () => false;
    for (const serving of [{ generateAuthKey: true }, { authKey: "0123456789abcdef" }])
      await expect(
        client.deploy(join(root, "pipeline.ts"), { serving, confirm }),
      ).rejects.toMatchObject({ code: "DEPLOY_DECLINED" });
    expect(await readdir(join(root, "home"))).not.toContain("secrets.json");
  });

  it.each<readonly [string, DeployOptions["serving"] & object, boolean, readonly unknown[]]>([
    ["stays when nothing is said of it", {}, true, []],
    [
      "goes when that is asked for, which the plan notes",
      { generateAuthKey: false },
      false,
      [expect.stringContaining("taken away")],
    ],
    [
      "is replaced when one is given, which the plan notes",
      { authKey: "0123456789abcdef" },
      false,
      [expect.stringContaining("another key")],
    ],
  ])("%s", async (_case, serving, stays, notes) => {
    const { client, root, plan } = await open();
    const authKeyHash = await protectedElsewhere(root);
    const request = await plan({ serving });
    const config = serviceConfigSchema.parse(
      JSON.parse(request.environment[SERVICE_CONFIG_VARIABLE] ?? ""),
    );
    expect(config.authKeyHash === authKeyHash).toBe(stays);
    expect((await client.plan(join(root, "pipeline.ts"), { serving })).notes).toEqual(notes);
  });
});

describe("what a deployer is asked for", () => {
  it("is the snapshot with all settings by precedence, and the service's own configuration without a secret", async () => {
    const { client, root, plan } = await open();
    const request = await plan({
      settings: { scaling: { max: 4 } },
      serving: { logLevel: "debug" },
      environment: { GREETING: "hello" },
    });
    expect(request.settings).toEqual({ cpu: 2, memory: 4, scaling: { min: 1, max: 4 } });
    expect(request.serving).toMatchObject({
      maxQueue: 7,
      logLevel: "debug",
      tracking: { mode: "sync", retentionDays: 30 },
    });
    expect(request.snapshot.pipeline).toBe("sample");
    if (request.artefact.kind !== "bundle") return expect.fail("no bundle");
    expect(await readdir(request.artefact.directory)).toContain("manifest.json");
    expect(existsSync(request.artefact.runtime)).toBe(true);
    expect(request.environment).toMatchObject({ GREETING: "hello", NODE_ENV: "production" });
    const config = serviceConfigSchema.parse(
      JSON.parse(request.environment[SERVICE_CONFIG_VARIABLE] ?? ""),
    );
    expect(config).toMatchObject({
      deployment: { name: "sample", project: "p" },
      snapshot: { id: request.snapshot.id },
      revision: request.revision,
      authKeyHash: null,
      store: { kind: "sqlite", file: join(root, "home/millrace.db") },
    });
    expect(isSecret(request.secrets["TOKEN"]) && request.secrets["TOKEN"].reveal()).toBe("hunter2");
    expect(JSON.stringify(request)).not.toContain("hunter2");
    const { settings } = await client.plan({ snapshot: request.snapshot.id });
    expect(settings).toEqual(
      expect.arrayContaining([
        { name: "deployer.cpu", value: 2, origin: "deployer" },
        { name: "deployer.memory", value: 4, origin: "pipeline" },
        { name: "serving.maxQueue", value: 7, origin: "deployer" },
        { name: "serving.drainSeconds", value: 30, origin: "default" },
      ]),
    );
  });

  it("has another revision exactly when something differs that the service would notice", async () => {
    const { root, plan } = await open();
    const revision = async (options?: DeployOptions): Promise<string> =>
      (await plan(options)).revision;
    const first = await revision();
    expect(await revision()).toBe(first);
    expect(await revision({ settings: {}, serving: {}, environment: {} })).toBe(first);
    expect(await revision({ settings: { cpu: 2 }, serving: { maxQueue: 7 } })).toBe(first);
    const others = [
      await revision({ settings: { cpu: 3 } }),
      await revision({ serving: { maxQueue: 8 } }),
      await revision({ environment: { A: "1" } }),
      await revision({ environment: { A: "2" } }),
      await revision({ serving: { authKey: "0123456789abcdef" } }),
      await revision({ serving: { authKey: "fedcba9876543210" } }),
    ];
    await writeFile(join(root, ".env"), "TOKEN=another\n");
    others.push(await revision());
    await writeFile(
      join(root, "pipeline.ts"),
      PIPELINE.replace('name: "sample"', 'name: "sample2"'),
    );
    others.push(await revision());
    expect(new Set([first, ...others]).size).toBe(others.length + 1);
  });

  it("does not tell by the revision what a secret is: another state folder gives another one", async () => {
    const [one, other] = [await open(), await open()];
    expect((await one.plan()).revision).not.toBe((await other.plan()).revision);
  });

  it("has a key by its digest alone, and a plan keeps nothing", async () => {
    const { root, plan } = await open();
    const request = await plan({ serving: { authKey: "0123456789abcdef" } });
    expect(JSON.stringify(request)).not.toContain("0123456789abcdef");
    expect(request.environment[SERVICE_CONFIG_VARIABLE]).toMatch(/"authKeyHash":"[0-9a-f]{64}"/);
    expect(await readdir(join(root, "home"))).not.toContain("secrets.json");
  });

  it.each<readonly [string, DeployOptions, string, RegExp]>([
    ["a reserved variable", { environment: { PORT: "1" } }, "ENVIRONMENT_RESERVED", /PORT/],
    [
      "a variable of Millrace's own",
      { environment: { MILLRACE_CONFIG: "1" } },
      "ENVIRONMENT_RESERVED",
      /MILLRACE_CONFIG/,
    ],
    [
      "a secret in the plain environment",
      { environment: { TOKEN: "hunter3" } },
      "ENVIRONMENT_SECRET",
      /TOKEN/,
    ],
    ["an unusable variable", { environment: { "A B": "1" } }, "ENVIRONMENT_INVALID", /"A B"/],
    ["a value with a null character", { environment: { A: "1\0" } }, "ENVIRONMENT_INVALID", /"A"/],
    [
      "a setting with a typo",
      { settings: { cpuu: 1 } },
      "SETTINGS_INVALID",
      /cpuu: .*did you mean "cpu"\? \(from the command line\)/,
    ],
    ["an unusable name", { name: "a/b" }, "NAME_INVALID", /"a\/b"/],
    ["a name of 300 characters", { name: "x".repeat(300) }, "NAME_INVALID", /300 characters/],
    ["an unknown stack", { stack: "prd" }, "STACK_NOT_FOUND", /Did you mean "prod"\?/],
  ])("refuses %s", async (_case, options, code, message) => {
    const { plan } = await open();
    const error: unknown = await plan(options).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      class: expect.stringMatching(/usage|not_found/),
      code,
      message: expect.stringMatching(message),
    });
    expect(JSON.stringify(error)).not.toContain("hunter3");
  });

  it("names every secret that has no value", async () => {
    const { root, plan } = await open();
    await writeFile(join(root, ".env"), "");
    await expect(plan()).rejects.toMatchObject({
      code: "SECRET_MISSING",
      details: { missing: ["TOKEN"] },
    });
  });
});
