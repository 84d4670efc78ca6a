import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStore } from "@millrace/store";
import { describe, expect, it, onTestFinished } from "vitest";
import { capturingFlavor } from "./capturing-flavor.fixture.ts";
import type { Client } from "./client.ts";
import { connect } from "./connect.ts";

async function open(
  config?: object,
): Promise<{ readonly client: Client; readonly home: string; readonly file: string }> {
  const root = await mkdtemp(join(tmpdir(), "millrace-stacks-"));
  onTestFinished(() => rm(root, { recursive: true }));
  const file = join(root, "millrace.config.json");
  if (config !== undefined) await writeFile(file, JSON.stringify(config));
  const home = join(root, "home");
  const client = await connect({
    directory: root,
    home,
    flavors: [capturingFlavor("local").flavor, capturingFlavor("cloud").flavor],
  });
  onTestFinished(() => client.close());
  return { client, home, file };
}

describe("deployers and stacks", () => {
  it("exist without any configuration", async () => {
    const { client } = await open();
    expect(await client.stacks.list()).toEqual([
      { name: "default", deployer: "default", active: true, managedBy: "built in" },
    ]);
    expect(await client.deployers.list()).toEqual([
      { name: "default", flavor: "local", settings: {}, serving: {}, managedBy: "built in" },
    ]);
    expect((await client.deployers.flavors()).map(({ name }) => name)).toEqual(
      expect.arrayContaining(["local", "cloud"]),
    );
  });

  it("are shown without the keys that the file gives them", async () => {
    const { client } = await open({
      deployers: {
        prod: { flavor: "cloud", settings: { cpu: 2 }, serving: { authKey: "0123456789abcdef" } },
      },
    });
    const shown = [await client.deployers.list(), await client.deployers.get("prod")];
    expect(JSON.stringify(shown)).not.toContain("0123456789abcdef");
    expect((await client.deployers.get("prod")).deployer.serving).toEqual({ authKey: "[secret]" });
  });

  it("come from the file, where they are edited, before those of the store", async () => {
    const { client, file } = await open({
      deployers: { prod: { flavor: "cloud", settings: { cpu: 2 } } },
      stacks: { prod: { deployer: "prod" } },
      stack: "prod",
    });
    await client.deployers.register("mine", "cloud", {
      settings: { cpu: 3 },
      serving: { maxQueue: 1 },
    });
    await client.stacks.register("mine", "mine");
    expect((await client.deployers.list()).map(({ name, managedBy }) => [name, managedBy])).toEqual(
      [
        ["prod", "file"],
        ["mine", "store"],
        ["default", "built in"],
      ],
    );
    expect((await client.stacks.list()).map(({ name, active }) => [name, active])).toEqual([
      ["prod", true],
      ["mine", false],
      ["default", false],
    ]);
    for (const change of [
      () => client.deployers.delete("prod"),
      () => client.stacks.delete("prod"),
    ])
      await expect(change()).rejects.toMatchObject({
        code: "MANAGED_BY_FILE",
        message: expect.stringContaining(file),
        action: `Edit ${file}.`,
      });
    for (const change of [
      () => client.deployers.delete("default"),
      () => client.stacks.delete("default"),
    ])
      await expect(change()).rejects.toMatchObject({
        code: "MANAGED_BY_FILE",
        message: expect.stringContaining("built in"),
      });
  });

  it("tell the effective settings and where each came from", async () => {
    const { client } = await open({
      deployers: { prod: { flavor: "cloud", settings: { cpu: 2 } } },
    });
    const { deployer, flavor, effective } = await client.deployers.get("prod");
    expect([deployer.name, flavor.name]).toEqual(["prod", "cloud"]);
    expect(effective).toEqual(
      expect.arrayContaining([
        { name: "deployer.cpu", value: 2, origin: "deployer" },
        { name: "deployer.memory", value: 1, origin: "default" },
        { name: "serving.maxQueue", value: 1024, origin: "default" },
      ]),
    );
  });

  it("are set, shown as such, and fall back when the active one is deleted", async () => {
    const { client } = await open();
    await client.stacks.register("mine", "default");
    await client.stacks.set("mine");
    expect(await client.config.show()).toContainEqual({
      name: "stack",
      value: "mine",
      origin: "stack set",
    });
    expect((await client.stacks.get("mine")).active).toBe(true);
    await client.stacks.delete("mine");
    expect(await client.config.show()).toContainEqual({
      name: "stack",
      value: "default",
      origin: "default",
    });
  });

  it("are refused with an unusable, taken or unknown name, and what was likely meant", async () => {
    const { client } = await open();
    await client.deployers.register("production", "cloud");
    await client.stacks.register("production", "production");
    const refused = (call: Promise<unknown>, code: string, message: RegExp) =>
      expect(call).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    await refused(client.deployers.register("a/b", "cloud"), "NAME_INVALID", /a\/b/);
    await refused(client.stacks.register("ü ü", "default"), "NAME_INVALID", /ü ü/);
    await refused(client.deployers.register("production", "cloud"), "COMPONENT_EXISTS", /already/);
    await refused(client.deployers.register("default", "cloud"), "COMPONENT_EXISTS", /built in/);
    await refused(client.stacks.register("production", "default"), "STACK_EXISTS", /already/);
    await refused(
      client.deployers.register("x", "clod"),
      "FLAVOR_UNKNOWN",
      /Did you mean "cloud"\?/,
    );
    await refused(
      client.stacks.register("x", "producton"),
      "DEPLOYER_NOT_FOUND",
      /Did you mean "production"\?/,
    );
    await refused(client.stacks.set("producton"), "STACK_NOT_FOUND", /Did you mean "production"\?/);
    await refused(
      client.deployers.register("x", "cloud", { settings: { cpuu: 1 } }),
      "SETTINGS_INVALID",
      /did you mean "cpu"\? \(from deployer "x"\)/,
    );
    await refused(
      client.deployers.register("x", "cloud", { serving: { authKey: "0123456789abcdef" } }),
      "SECRET_IN_RECORD",
      /no secrets/,
    );
  });

  it("cannot be deleted while deployments of the deployer are not ABSENT, and those are listed", async () => {
    const { client, home } = await open();
    await client.deployers.register("mine", "cloud");
    const store = await openStore({ url: join(home, "millrace.db") });
    onTestFinished(() => store.close());
    const project = await store.projects.ensure("default");
    const user = await store.users.ensure("ann");
    const record = await store.deployments.create({
      projectId: project.id,
      name: "weather",
      userId: user.id,
      stack: "default",
      deployer: "mine",
      flavor: "cloud",
      deployerSettings: {},
    });
    const attempt = await store.leases.acquire(
      `deployment:${record.id}`,
      { host: "h", pid: 1, processStart: "1", purpose: "test", since: 0 },
      60_000,
    );
    if (!attempt.acquired) return expect.fail("no lease");
    await store.deployments.update(record.id, { status: "UNKNOWN" }, attempt.lease);
    await expect(client.deployers.delete("mine")).rejects.toMatchObject({
      code: "DEPLOYER_IN_USE",
      class: "conflict",
      message: expect.stringContaining("weather (UNKNOWN)"),
      details: { deployments: ["weather"] },
    });
    await store.deployments.update(record.id, { status: "ABSENT" }, attempt.lease);
    await client.deployers.delete("mine");
    await expect(client.deployers.get("mine")).rejects.toMatchObject({
      code: "DEPLOYER_NOT_FOUND",
    });
  });
});

describe("a deployer that a stack names", () => {
  it("cannot be deleted before the stack", async () => {
    const { client } = await open();
    await client.deployers.register("mine", "cloud");
    await client.stacks.register("mine", "mine");
    await expect(client.deployers.delete("mine")).rejects.toMatchObject({
      code: "DEPLOYER_IN_USE",
      details: { stacks: ["mine"] },
    });
    await client.stacks.delete("mine");
    await client.deployers.delete("mine");
  });
});

describe("connect", () => {
  it("refuses in the process that evaluates a pipeline's module", async () => {
    process.env["MILLRACE_COMPILING"] = "1";
    onTestFinished(() => void delete process.env["MILLRACE_COMPILING"]);
    await expect(connect({ directory: tmpdir() })).rejects.toMatchObject({
      code: "CONNECT_IN_PIPELINE",
    });
  });
});
