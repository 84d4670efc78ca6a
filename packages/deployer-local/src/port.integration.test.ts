import { createServer, type Server } from "node:net";
import { SERVICE_CONFIG_VARIABLE, Secret } from "@millrace/core";
import plugin from "@millrace/deployer-local";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TestBed } from "./bed.fixture.ts";

let bed: TestBed;
let other: Server | null = null;

beforeEach(async () => {
  bed = await TestBed.open(plugin);
});

afterEach(async () => {
  other?.close();
  other = null;
  await bed.close();
});

/** Listens as another program would. */
function occupy(port: number, host = "127.0.0.1"): Promise<number> {
  const server = createServer();
  other = server;
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
}

test("a configured port in use is refused, and says who uses it", async () => {
  const port = await occupy(0);
  const provision = bed.provision({ settings: { port } });
  await expect(provision).rejects.toMatchObject({
    code: "PORT_IN_USE",
    details: { port, holder: { pid: process.pid } },
  });
  expect(await bed.inspect()).toMatchObject({ state: "absent" });
});

test("a port that another deployment of the same folder has is refused by that one's name", async () => {
  const config = JSON.stringify({ deployment: { name: "hello" } });
  const { metadata } = await bed.provision({ environment: { [SERVICE_CONFIG_VARIABLE]: config } });
  const second = bed.request({ settings: { port: Number(metadata["port"]) } });
  const deployment = { ...second.deployment, id: crypto.randomUUID(), name: "second" };
  await expect(
    bed.deployer.provision({ ...second, deployment }, bed.context()),
  ).rejects.toMatchObject({
    code: "PORT_IN_USE",
    message: expect.stringContaining('by the deployment "hello"'),
    action: expect.stringContaining("npx millrace deployment deprovision hello"),
    details: { deployment: "hello" },
  });
});

test("two provisions at once with a configured port share the one supervisor that has it", async () => {
  const port = await occupy(0);
  other?.close();
  const request = bed.request({ settings: { port } });
  const [first, second] = await Promise.all([
    bed.deployer.provision(request, bed.context()),
    bed.deployer.provision(request, bed.context()),
  ]);
  expect(second.metadata["supervisor"]).toBe(first.metadata["supervisor"]);
});

test("with portFallback another port is taken, and kept by the next update", async () => {
  const port = await occupy(0);
  const settings = { port, portFallback: true };
  const before = await bed.provision({ settings });
  expect(before.metadata["port"]).not.toBe(port);
  const after = await bed.provision({ revision: "2", settings });
  expect(after.url).toBe(before.url);
});

test("the previous port in use by another program is refused rather than replaced by another URL", async () => {
  const { metadata } = await bed.provision();
  await bed.deprovision();
  await occupy(Number(metadata["port"]));
  await expect(bed.provision()).rejects.toMatchObject({ code: "PORT_IN_USE" });
});

test("a move to a port in use changes nothing", async () => {
  const before = await bed.provision();
  const port = await occupy(0);
  await expect(bed.provision({ revision: "2", settings: { port } })).rejects.toMatchObject({
    code: "PORT_IN_USE",
  });
  expect(await bed.inspect()).toMatchObject({
    state: "running",
    url: before.url,
    serving: { revision: "1" },
  });
});

test.each([false, true])(
  "another host on the configured port takes over from the one before, with portFallback %s",
  async (portFallback) => {
    const port = await occupy(0);
    other?.close();
    const before = await bed.provision({ settings: { port, portFallback } });
    const wanted = { revision: "2", settings: { port, portFallback, host: "0.0.0.0" } };
    const plan = await bed.deployer.plan(bed.request(wanted), bed.context());
    expect(plan).toMatchObject({ action: "replace", interrupts: true });
    expect(await bed.provision(wanted)).toMatchObject({
      state: "running",
      url: before.url,
      serving: { revision: "2" },
      metadata: { host: "0.0.0.0", port },
    });
  },
);

test("another host that is not this machine's leaves the one before as it is", async () => {
  const port = await occupy(0);
  other?.close();
  const before = await bed.provision({ settings: { port } });
  await expect(
    bed.provision({ revision: "2", settings: { port, host: "192.0.2.1" } }),
  ).rejects.toMatchObject({ code: "HOST_NOT_AVAILABLE" });
  expect(await bed.inspect()).toEqual(before);
});

// Other systems have one loopback address only.
test.skipIf(process.platform !== "linux")(
  "another host on the configured port that a program has brings the one before back",
  async () => {
    const port = await occupy(0);
    other?.close();
    const secrets = { TOKEN: new Secret("correct horse") };
    const before = await bed.provision({ settings: { port }, secrets });
    await occupy(port, "127.0.0.2");
    await expect(
      bed.provision({ revision: "2", settings: { port, host: "0.0.0.0" }, secrets }),
    ).rejects.toMatchObject({ code: "PORT_IN_USE", details: { holder: { pid: process.pid } } });
    expect(await bed.inspect()).toMatchObject({
      state: "running",
      url: before.url,
      serving: { revision: "1" },
    });
    const answer = await fetch(before.url ?? "");
    expect(await answer.json()).toMatchObject({ secrets: { TOKEN: "correct horse" } });
  },
);

test("an address that is not this machine's is refused", async () => {
  await expect(bed.provision({ settings: { host: "192.0.2.1" } })).rejects.toMatchObject({
    code: "HOST_NOT_AVAILABLE",
  });
});

test("a full range of ports is refused", async () => {
  const port = await occupy(0);
  await expect(bed.provision({ settings: { portRange: [port, port] } })).rejects.toMatchObject({
    code: "PORT_RANGE_FULL",
  });
});

test.skipIf(process.platform !== "linux")("IPv6 works", async () => {
  const up = await bed.provision({ settings: { host: "::1" } });
  expect(up.url).toMatch(/^http:\/\/\[::1\]:\d+$/);
  expect((await fetch(up.url ?? "")).status).toBe(200);
});
