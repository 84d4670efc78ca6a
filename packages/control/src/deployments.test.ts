import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DeploymentRecord, type JsonObject, Secret, uuidv7 } from "@millrace/core";
import { openStore, type Store } from "@millrace/store";
import { describe, expect, it, onTestFinished } from "vitest";
import { capturingFlavor } from "./capturing-flavor.fixture.ts";
import type { Client } from "./client.ts";
import { connect } from "./connect.ts";
import { authKeyName } from "./secrets/auth-key.ts";
import { SecretFile } from "./secrets/secret-file.ts";

/** A client with a deployment that was made and never served. */
async function open(): Promise<{
  readonly client: Client;
  readonly home: string;
  readonly record: DeploymentRecord;
  readonly store: Store;
}> {
  const root = await mkdtemp(join(tmpdir(), "millrace-deployments-"));
  onTestFinished(() => rm(root, { recursive: true }));
  const home = join(root, "home");
  const client = await connect({
    directory: root,
    home,
    user: "ann",
    flavors: [capturingFlavor("local").flavor],
  });
  onTestFinished(() => client.close());
  const store = await openStore({ url: join(home, "millrace.db") });
  onTestFinished(() => store.close());
  const project = await store.projects.ensure("default");
  const user = await store.users.ensure("ann");
  const record = await store.deployments.create({
    projectId: project.id,
    name: "weather",
    userId: user.id,
    stack: "default",
    deployer: "default",
    flavor: "local",
    deployerSettings: {},
  });
  return { client, home, record, store };
}

describe("deployments", () => {
  it("are found by name, id and id prefix; for another word the likely one is named", async () => {
    const { client, record } = await open();
    for (const word of ["weather", record.id, record.id.slice(0, 13)])
      expect((await client.deployments.get(word)).deployment.id).toBe(record.id);
    await expect(client.deployments.get("waether")).rejects.toMatchObject({
      code: "DEPLOYMENT_NOT_FOUND",
      message: expect.stringContaining('Did you mean "weather"?'),
    });
    await expect(client.deployments.get("forecast")).rejects.toMatchObject({
      code: "DEPLOYMENT_NOT_FOUND",
      message: expect.not.stringContaining("mean"),
    });
  });

  it("take their keys and their empty spool along when they are deleted, and nobody else's", async () => {
    const { client, home, record } = await open();
    const secrets = new SecretFile(join(home, "secrets.json"));
    await secrets.set(authKeyName(record.id, "a".repeat(64)), new Secret("0123456789abcdef"));
    await secrets.set(authKeyName("another", "b".repeat(64)), new Secret("0123456789abcdef"));
    await secrets.set("TOKEN", new Secret("hunter2"));
    await expect(
      client.secrets.delete(authKeyName(record.id, "a".repeat(64))),
    ).rejects.toMatchObject({ code: "SECRET_NOT_FOUND" });
    await mkdir(join(home, "spool", record.id), { recursive: true });
    expect(await client.deployments.delete("weather")).toEqual({ leftBehind: [] });
    expect(await secrets.names()).toEqual(["TOKEN", authKeyName("another", "b".repeat(64))]);
    expect(await client.secrets.list()).toEqual([{ name: "TOKEN", hiddenBy: null }]);
    expect(existsSync(join(home, "spool", record.id))).toBe(false);
  });

  it("leave their runs behind, also those that still wait for the store", async () => {
    const { client, home, record, store } = await open();
    const spool = join(home, "spool", record.id);
    await mkdir(spool, { recursive: true });
    const id = uuidv7();
    const origin = [record.projectId, "weather", `sha256:${"a".repeat(64)}`, record.id];
    const columns = [id, null, "completed", Date.now(), 1, "{}", "{}", "[]", null];
    await writeFile(
      join(spool, "whole.ndjson"),
      `${JSON.stringify([1, ...origin, ...columns])}\n[1,"torn by a cra`,
    );
    await writeFile(join(spool, "unknown.ndjson"), '[2,"of a later version"]\n');
    const messages: string[] = [];
    const onProgress = ({ message }: { readonly message: string }) => messages.push(message);
    await client.deployments.delete("weather", { onProgress });
    expect(await store.runs.find(record.projectId, id)).toMatchObject({ deploymentId: record.id });
    expect((await readdir(spool)).filter((name) => name.endsWith(".ndjson"))).toEqual([
      "unknown.ndjson",
    ]);
    expect(messages).toEqual(
      expect.arrayContaining([
        "Runs of the spool that the store has now: 1",
        expect.stringContaining(`Runs stay in ${join(spool, "unknown.ndjson")}`),
      ]),
    );
  });

  it("have a URL and a snapshot only once something served", async () => {
    const { client } = await open();
    await expect(client.invoke("weather", {})).rejects.toMatchObject({ code: "DEPLOYMENT_NO_URL" });
    await expect(client.deployments.provision("weather")).rejects.toMatchObject({
      code: "DEPLOYMENT_WITHOUT_SNAPSHOT",
    });
    expect(await client.deployments.get("weather", { showSecret: true })).toMatchObject({
      snapshot: null,
      manifest: null,
      authKey: null,
      hasAuthKey: false,
    });
  });

  it("say that an operation was interrupted once its lease is free", async () => {
    const { client, record, store } = await open();
    const holder = { pid: 1, host: "h", processStart: "0", purpose: "test", since: 0 };
    const attempt = await store.leases.acquire(`deployment:${record.id}`, holder, 60_000);
    if (!attempt.acquired) throw new Error("it is held");
    const { lease } = attempt;
    const statusReason = "deprovision is under way.";
    const begin = { snapshotId: null, revision: null, previousSnapshotId: null, overrides: {} };
    await store.operations.begin(
      { ...begin, deploymentId: record.id, kind: "deprovision", userName: "ann" },
      { status: "PENDING", statusReason },
      lease,
    );
    const said = async () => {
      const { deployment, lastOperation } = await client.deployments.get("weather");
      const { items } = await client.deployments.history("weather");
      return [deployment.statusReason, lastOperation?.outcome, items[0]?.outcome];
    };
    expect(await said()).toEqual([statusReason, "running", "running"]);
    await store.leases.release(lease);
    expect(await said()).toEqual([
      "deprovision was interrupted; the next command picks it up.",
      "interrupted",
      "interrupted",
    ]);
  });

  it("tell what the deploy of their snapshot was given, without its secrets, and what served before", async () => {
    const { client, record, store } = await open();
    const { id: pipelineId } = await store.pipelines.ensure(record.projectId, "weather");
    const { id: snapshotId } = await store.snapshots.ensure(
      {
        id: `sha256:${"a".repeat(64)}`,
        projectId: record.projectId,
        pipelineId,
        pipelineName: "weather",
        name: null,
        description: null,
      },
      { replaceName: false },
    );
    const holder = { pid: 1, host: "h", processStart: "0", purpose: "test", since: 0 };
    const attempt = await store.leases.acquire(`deployment:${record.id}`, holder, 60_000);
    if (!attempt.acquired) throw new Error("it is held");
    const begin = async (environment: JsonObject, revision: string) =>
      store.operations.begin(
        {
          deploymentId: record.id,
          kind: "provision",
          userName: "ann",
          snapshotId,
          revision,
          previousSnapshotId: null,
          overrides: { settings: { port: 8080 }, serving: { logLevel: "debug" }, environment },
        },
        {},
        attempt.lease,
      );
    const { id } = await begin({ FOO: "1", API_TOKEN: "hunter2" }, "r");
    const patch = { snapshotId, revision: "r" };
    await store.operations.end(id, { outcome: "succeeded", error: null }, patch, attempt.lease);
    const failed = await begin({ FOO: "2" }, "s");
    await store.operations.end(failed.id, { outcome: "failed", error: null }, {}, attempt.lease);
    expect(await client.deployments.get("weather")).toMatchObject({
      previousSnapshotId: null,
      overrides: {
        settings: { port: 8080 },
        serving: { logLevel: "debug" },
        environment: { FOO: "1", API_TOKEN: "[secret]" },
      },
    });
    const { items } = await client.deployments.history("weather");
    expect(items.at(-1)?.overrides).toMatchObject({
      environment: { FOO: "1", API_TOKEN: "[secret]" },
    });
  });
});
