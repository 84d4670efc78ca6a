import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { text } from "node:stream/consumers";
import { type Deployer, type ResourceKey, SERVICE_CONFIG_VARIABLE, Secret } from "@millrace/core";
import plugin from "@millrace/deployer-docker";
import type { HostConfig } from "dockerode";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { base, docker, engineUrl, readContext } from "./engine.fixture.ts";
import { EngineAccess } from "./engine.ts";
import { hostOf, LABELS, namesOf } from "./names.ts";
import { newTarget, requestOf } from "./request.fixture.ts";
import type { Request } from "./service-container.ts";
import { readDoorState } from "./sight.ts";

const IMAGE = "millrace-test/service:latest";

/** Is ready with its revision, unless it is told to do something else. */
const SERVICE = `
const { BEHAVIOUR: how, PORT, ${SERVICE_CONFIG_VARIABLE}: config } = process.env;
if (how === "exits") { console.error("no database at db:5432"); process.exit(3); }
console.log("service begins");
if (how === "is silent") setInterval(() => undefined, 1000);
else require("node:http").createServer((_request, response) => response.end(config))
  .listen(PORT, how === "listens inside" ? "127.0.0.1" : "0.0.0.0");
process.on("SIGTERM", () => { console.log("service ends"); process.exit(0); });
`;

beforeAll(async () => {
  const [flavor] = plugin.flavors;
  if (flavor === undefined) throw new Error("the plugin has no flavor");
  const settings = flavor.settings.parse({ engine: engineUrl });
  deployer = await flavor.create({ name: "docker", settings, stateDirectory: "/nowhere" });
  const container = await docker.createContainer({
    Image: base,
    Entrypoint: ["node", "--eval", SERVICE],
    User: "1000:1000",
  });
  const [repo, tag] = IMAGE.split(":");
  // Control labels the images that it makes.
  await container.commit({ repo, tag, changes: `LABEL ${LABELS.snapshot}=test` });
  await container.remove();
});

afterAll(async () => {
  await docker.getImage(IMAGE).remove({ force: true });
});

const context = () => ({
  ...readContext(),
  journal: {
    intend: async () => undefined,
    present: async () => undefined,
    gone: async () => undefined,
  },
});

function requestFor(
  parts: Parameters<typeof requestOf>[0] = {},
  behaviour = "serves",
  store: object | null = null,
): Request {
  const revision = parts.revision ?? "a".repeat(64);
  const artefact = { kind: "image", reference: IMAGE, credentials: null } as const;
  return requestOf({
    artefact,
    ...parts,
    settings: { portRange: [23_000, 23_999], ...parts.settings },
    environment: {
      [SERVICE_CONFIG_VARIABLE]: JSON.stringify({
        revision,
        serving: {},
        authKeyHash: null,
        store,
      }),
      BEHAVIOUR: behaviour,
    },
  });
}

let deployer: Deployer;

function provision(request: Request) {
  onTestFinished(async () => {
    await deployer.deprovision(request.deployment, context());
  });
  return deployer.provision(request, context());
}

/** All that the engine has of a deployment: containers in any state, networks, volumes. */
async function leftOf({ deployment }: Request): Promise<readonly string[]> {
  const filters = { label: [`${LABELS.deployment}=${deployment.id}`] };
  const [containers, networks, { Volumes }] = await Promise.all([
    docker.listContainers({ all: true, filters }),
    docker.listNetworks({ filters }),
    docker.listVolumes({ filters }),
  ]);
  return [
    ...containers.flatMap(({ Names }) => Names),
    ...networks.map(({ Name }) => Name),
    ...(Volumes ?? []).map(({ Name }) => Name),
  ];
}

const inspect = ({ deployment }: Request) =>
  docker.getContainer(namesOf(deployment).service).inspect();

describe("a container that does not serve", () => {
  const secrets = { TOKEN: new Secret("hunter22") };

  test.each([
    ["exits", "CONTAINER_EXITED", "ended with exit code 3", "no database at db:5432"],
    ["is silent", "CONTAINER_NOT_LISTENING", "nothing listens on its port", "service begins"],
    ["listens inside", "CONTAINER_NOT_LISTENING", "127.0.0.1:8080 only", "service begins"],
  ])("and %s is told with its cause and its last lines", async (how, code, cause, lastLine) => {
    const request = requestFor({ secrets, settings: { startTimeoutSeconds: 2 } }, how);
    const { error, state } = await provision(request);
    expect(state).toBe("failed");
    expect(error).toMatchObject({ code, message: expect.stringContaining(cause) });
    expect(error?.message).toContain(lastLine);
    expect(error?.details).toMatchObject({ logs: expect.arrayContaining([lastLine]) });
    // Also to somebody who asks later.
    const later = await deployer.inspect(request.deployment, readContext());
    expect(later.error).toMatchObject({ code, message: error?.message });
    await deployer.deprovision(request.deployment, context());
    expect(await leftOf(request)).toEqual([]);
  });
});

test("a container that nobody is sent to any more may end before its log is handed over", async () => {
  const deployment = newTarget();
  await provision(requestFor({ deployment }));
  // The next deploy makes a new door, which knows of no container, and begins anew.
  await docker.getContainer(namesOf(deployment).door).remove({ force: true });
  const kept: string[] = [];
  const keepLog = async (log: AsyncIterable<Uint8Array>) => void kept.push(await text(log));
  const changed = requestFor({ deployment, revision: "b".repeat(64) });
  const { state } = await deployer.provision(changed, { ...context(), keepLog });
  expect(state).toBe("running");
  expect(kept).toEqual(["service begins\nservice ends\n"]);
});

describe("runs that wait for the store", () => {
  const spoolDirectory = "/tmp/millrace/spool";
  const store = { kind: "postgres", urlSecret: "URL", spoolDirectory };

  async function inside({ deployment }: Request, code: string): Promise<string> {
    const exec = await docker
      .getContainer(namesOf(deployment).service)
      .exec({ Cmd: ["node", "--eval", code], AttachStdout: true, AttachStderr: true, Tty: true });
    return (await text(await exec.start({ Tty: true }))).trim();
  }

  test("outlive the container, and are handed over when the deployment goes", async () => {
    const deployment = newTarget();
    const first = requestFor({ deployment }, "serves", store);
    await provision(first);
    const file = JSON.stringify(`${spoolDirectory}/left`);
    const read = `process.stdout.write(fs.readFileSync(${file}))`;
    expect(await inside(first, `fs.writeFileSync(${file}, "a run")`)).toBe("");
    await docker.getContainer(namesOf(deployment).service).restart();
    expect(await inside(first, read)).toBe("a run");
    const second = requestFor({ deployment, revision: "b".repeat(64) }, "serves", store);
    await provision(second);
    expect(await inside(second, read)).toBe("a run");
    const full = async () => Promise.reject(new Error("no room"));
    await expect(deployer.deprovision(deployment, { ...context(), keepLog: full })).rejects.toThrow(
      "no room",
    );
    const kept: string[] = [];
    const keepLog = async (log: AsyncIterable<Uint8Array>) => void kept.push(await text(log));
    await deployer.deprovision(deployment, { ...context(), keepLog });
    expect(kept.flatMap((log) => log.split("\n"))).toContain("a run");
    expect(await leftOf(second)).toEqual([]);
  });

  test("have a place that is planned, journaled and observed as all else is", async () => {
    const request = requestFor({}, "serves", store);
    const { action, changes } = await deployer.plan(request, readContext());
    expect(action).toBe("create");
    const planned = changes.map(({ name }) => name).toSorted();
    const { spool } = namesOf(request.deployment);
    const exists = async (name: string) =>
      (await leftOf(request)).some((one) => one.endsWith(name));
    const intended: string[] = [];
    const present: string[] = [];
    const journal = {
      ...context().journal,
      intend: async ({ name }: ResourceKey) => {
        expect(await exists(name)).toBe(false);
        intended.push(name);
      },
      present: async ({ name }: ResourceKey) => {
        expect(await exists(name)).toBe(true);
        present.push(name);
      },
    };
    onTestFinished(async () => void (await deployer.deprovision(request.deployment, context())));
    const { resources } = await deployer.provision(request, { ...context(), journal });
    expect(planned).toContain(spool);
    expect(resources).toContainEqual({ kind: "volume", name: spool, platformId: null });
    for (const told of [intended, present, resources.map(({ name }) => name)])
      expect(told.toSorted()).toEqual(planned);
    expect((await leftOf(request)).map((name) => name.replace("/", "")).toSorted()).toEqual(
      planned,
    );
    expect(await deployer.plan(request, readContext())).toMatchObject({ action: "no-op" });
  });

  test.each([
    [
      "somebody removed the containers and the network, and a deploy was refused since",
      async (request: Request) => {
        const { door, network, service } = namesOf(request.deployment);
        for (const name of [door, service])
          await docker.getContainer(name).remove({ force: true, v: true });
        await docker.getNetwork(network).remove();
        const refused = requestFor(
          { deployment: request.deployment, settings: { networks: ["no-such-network"] } },
          "serves",
          store,
        );
        const code = "NETWORK_MISSING";
        await expect(deployer.provision(refused, context())).rejects.toMatchObject({ code });
      },
    ],
    [
      "the service has no store any more",
      async ({ deployment }: Request) => {
        const without = requestFor({ deployment, revision: "b".repeat(64) });
        expect(await deployer.provision(without, context())).toMatchObject({ state: "running" });
      },
    ],
  ])("are handed over also where %s", async (_what, happen) => {
    const request = requestFor({}, "serves", store);
    await provision(request);
    const file = JSON.stringify(`${spoolDirectory}/left`);
    await inside(request, `fs.writeFileSync(${file}, "a run")`);
    await happen(request);
    const full = async (log: AsyncIterable<Uint8Array>) => {
      if ((await text(log)).includes("a run")) throw new Error("no room");
    };
    const { deployment } = request;
    await expect(deployer.deprovision(deployment, { ...context(), keepLog: full })).rejects.toThrow(
      "no room",
    );
    const kept: string[] = [];
    const keepLog = async (log: AsyncIterable<Uint8Array>) => void kept.push(await text(log));
    await deployer.deprovision(deployment, { ...context(), keepLog });
    expect(kept.flatMap((log) => log.split("\n"))).toContain("a run");
    expect(await leftOf(request)).toEqual([]);
  });

  test("have no place where a first deploy was refused", async () => {
    const request = requestFor({ settings: { networks: ["no-such-network"] } }, "serves", store);
    await expect(provision(request)).rejects.toMatchObject({ code: "NETWORK_MISSING" });
    expect(await leftOf(request)).toEqual([]);
  });
});

test("a port that was taken while the deployment was away is replaced by one of the range", async () => {
  const request = requestFor();
  const { metadata } = await provision(request);
  await deployer.deprovision(request.deployment, context());
  const other = createServer().listen(Number(metadata["port"]), "127.0.0.1");
  await once(other, "listening");
  onTestFinished(() => void other.close());
  const back = { ...request, deployment: { ...request.deployment, metadata } };
  const { state, metadata: now } = await deployer.provision(back, context());
  expect(state).toBe("running");
  expect(now["port"]).not.toBe(metadata["port"]);
  // Where its callers know the port, it has to be that one.
  const known = { ...back, deployment: { ...back.deployment, metadata: { ...metadata } } };
  await docker.getContainer(namesOf(request.deployment).door).remove({ force: true });
  await expect(deployer.provision(known, context())).rejects.toMatchObject({
    code: "PORT_IN_USE",
    action: expect.stringContaining("`port`"),
  });
});

test("what waits for a service that is down keeps nobody from the next one", async () => {
  const deployment = newTarget();
  const { url } = await provision(requestFor({ deployment }));
  await docker.getContainer(namesOf(deployment).service).stop();
  const ask = () => fetch(url ?? "", { headers: { connection: "close" } }).then(({ ok }) => ok);
  const waiting = Array.from({ length: 200 }, () => ask().catch(() => false));
  const next = requestFor({ deployment, revision: "b".repeat(64) });
  expect(await deployer.provision(next, context())).toMatchObject({ state: "running" });
  expect(await ask()).toBe(true);
  await Promise.all(waiting);
});

describe("a service that is out of its network", () => {
  test.each(["door", "service"] as const)("because of its %s is told and healed", async (which) => {
    const request = requestFor();
    await provision(request);
    const names = namesOf(request.deployment);
    await docker.getNetwork(names.network).disconnect({ Container: names[which], Force: true });
    const { state, error } = await deployer.inspect(request.deployment, readContext());
    expect(state).toBe("failed");
    expect(error).toMatchObject({
      code: "CONTAINER_MISSING",
      message: expect.stringContaining(`${names[which]} in its network`),
    });
    expect(await deployer.provision(request, context())).toMatchObject({ state: "running" });
  });
});

test("a candidate that another deploy removes is not waited for any more", async () => {
  const request = requestFor();
  await provision(request);
  const { deployment } = request;
  const silent = requestFor({ deployment, revision: "b".repeat(64) }, "is silent");
  const caller = new AbortController();
  const progress = (what: string) => {
    if (what.startsWith("Waiting")) caller.abort();
  };
  const aborted = { ...context(), progress, signal: caller.signal };
  await expect(deployer.provision(silent, aborted)).rejects.toThrow();
  expect(await deployer.provision(request, context())).toMatchObject({ state: "running" });
  const engine = await new EngineAccess(engineUrl).open(readContext());
  expect(await readDoorState(engine, namesOf(deployment).door)).toMatchObject({
    candidate: null,
    target: { host: hostOf(request.revision) },
  });
});

test("why a container failed is told also where its log cannot be read", async () => {
  const request = requestFor();
  await provision(request);
  const { deployment } = request;
  const settings = { logDriver: "none" };
  const failing = requestFor({ deployment, settings, revision: "b".repeat(64) }, "exits");
  const { rollout, state } = await deployer.provision(failing, context());
  expect(state).toBe("running");
  const message = expect.stringContaining("ended with exit code 3. Its log driver does not give");
  expect(rollout?.error).toMatchObject({ code: "CONTAINER_EXITED", message });
  expect(await deployer.inspect(deployment, readContext())).toMatchObject({ state: "running" });
});

test("an image without Node is told, and one that has it heals what it left", async () => {
  const { repo, tag } = { repo: "millrace-test/bare", tag: "latest" };
  const container = await docker.createContainer({ Image: IMAGE, Env: ["PATH=/nowhere"] });
  await container.commit({ repo, tag, changes: "ENV PATH=/nowhere" });
  await container.remove();
  onTestFinished(async () => void (await docker.getImage(`${repo}:${tag}`).remove()));
  const artefact = { kind: "image", reference: `${repo}:${tag}`, credentials: null } as const;
  const code = "IMAGE_WITHOUT_NODE";
  const first = requestFor({ artefact });
  await expect(provision(first)).rejects.toMatchObject({ code });
  expect(await leftOf(first)).toEqual([]);
  const request = requestFor();
  await provision(request);
  const { deployment } = request;
  const changed = requestFor({ deployment, artefact, revision: "b".repeat(64) });
  const { rollout, serving } = await deployer.provision(changed, context());
  expect(rollout).toMatchObject({ phase: "failed", error: { code } });
  expect(serving).toMatchObject({ revision: request.revision });
});

describe("what the engine refuses", () => {
  test.each<[object, string, string]>([
    [{ volumes: ["no good:/data"] }, "DOCKER_REFUSED", "no good"],
    [{ volumes: ["/no/such/folder:/data"] }, "DOCKER_REFUSED", "/no/such/folder"],
    [{ networks: ["no-such-network"] }, "NETWORK_MISSING", "no-such-network"],
    [{ extraHosts: ["db:nowhere"] }, "DOCKER_REFUSED", "nowhere"],
    [{ runOptions: { CapAdd: ["NO_SUCH"] } }, "DOCKER_REFUSED", "NO_SUCH"],
    [{ runOptions: { Sysctls: { "no.such": "1" } } }, "DOCKER_FAILED", "no.such"],
    [{ logDriver: "no-such-driver" }, "LOG_DRIVER_MISSING", "no-such-driver"],
    [{ memory: "1k" }, "DOCKER_REFUSED", "memory"],
    [{ gpus: 1 }, "GPU_UNAVAILABLE", "gpu"],
    [{ bind: "203.0.113.7" }, "BIND_NOT_AVAILABLE", "203.0.113.7"],
  ])("%j is told by name, and nothing is left behind", async (settings, code, word) => {
    const request = requestFor({ settings });
    const failed = await provision(request).then(
      () => expect.fail("it was not refused"),
      (error: unknown) => error,
    );
    expect(failed).toMatchObject({ code, message: expect.stringContaining(word) });
    expect(await leftOf(request)).toEqual([]);
  });

  test("a port that another program has is told, and nothing is left behind", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    onTestFinished(() => void other.close());
    const { port } = other.address() as AddressInfo;
    const request = requestFor({ settings: { port } });
    await expect(provision(request)).rejects.toMatchObject({
      code: "PORT_IN_USE",
      class: "conflict",
      message: expect.stringContaining(`Port ${port} of 127.0.0.1 is in use`),
    });
    expect(await leftOf(request)).toEqual([]);
  });

  test("a name that a container of somebody else has is told, and that one is left alone", async () => {
    const request = requestFor();
    const { service } = namesOf(request.deployment);
    const theirs = await docker.createContainer({ name: service, Image: base });
    onTestFinished(async () => void (await theirs.remove({ force: true })));
    const code = "NAME_TAKEN";
    const failed = deployer.provision(request, context());
    await expect(failed).rejects.toMatchObject({ code, message: expect.stringContaining(service) });
    expect(await leftOf(request)).toEqual([]);
    expect((await theirs.inspect()).Name).toBe(`/${service}`);
  });

  test("an image that is gone is told, and nothing is left behind", async () => {
    const reference = "millrace-test/gone:latest";
    const request = requestFor({ artefact: { kind: "image", reference, credentials: null } });
    const message = expect.stringContaining(reference);
    await expect(provision(request)).rejects.toMatchObject({ code: "IMAGE_MISSING", message });
    expect(await leftOf(request)).toEqual([]);
  });

  test("an update that is refused leaves the old container serving and nothing beside it", async () => {
    const request = requestFor();
    await provision(request);
    const before = await leftOf(request);
    const changed = requestFor({
      deployment: request.deployment,
      revision: "b".repeat(64),
      settings: { volumes: ["no good:/data"] },
    });
    const refused = deployer.provision(changed, context());
    await expect(refused).rejects.toMatchObject({ code: "DOCKER_REFUSED" });
    expect((await leftOf(request)).toSorted()).toEqual(before.toSorted());
    const seen = await deployer.inspect(request.deployment, readContext());
    expect(seen).toMatchObject({ state: "running", serving: { revision: request.revision } });
  });
});

describe("a change of port or address", () => {
  async function freePort(): Promise<number> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    return port;
  }

  async function servedAt(url: string | null): Promise<string | undefined> {
    const answer = await fetch(url ?? "", { headers: { connection: "close" } });
    return /"revision":"(\w+)"/.exec(await answer.text())?.[1];
  }

  const moveTo = (deployment: Request["deployment"], settings: object, revision = "b") =>
    requestFor({ deployment, settings, revision: revision.repeat(64) });

  test("leaves all as it is where the new place cannot be had", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    onTestFinished(() => void other.close());
    const { port } = other.address() as AddressInfo;
    const request = requestFor();
    const { url } = await provision(request);
    const before = await leftOf(request);
    const gone = {
      kind: "image",
      reference: "millrace-test/gone:latest",
      credentials: null,
    } as const;
    const moved = moveTo(request.deployment, { port });
    for (const [wanted, code] of [
      [moved, "PORT_IN_USE"],
      [moveTo(request.deployment, { bind: "203.0.113.7" }), "BIND_NOT_AVAILABLE"],
      [{ ...moved, artefact: gone }, "IMAGE_MISSING"],
    ] as const) {
      await expect(deployer.provision(wanted, context())).rejects.toMatchObject({ code });
      const seen = await deployer.inspect(request.deployment, readContext());
      expect(seen).toMatchObject({ state: "running", url });
      // A door that had to make way starts again.
      await expect.poll(() => servedAt(url).catch(() => null)).toBe(request.revision);
      expect((await leftOf(request)).toSorted()).toEqual(before.toSorted());
    }
  });

  test("comes with the new container, and is taken back where that fails or is refused", async () => {
    const request = requestFor();
    const { url: before } = await provision(request);
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const refused = moveTo(request.deployment, { port, volumes: ["no good:/data"] });
    await expect(deployer.provision(refused, context())).rejects.toMatchObject({
      code: "DOCKER_REFUSED",
    });
    expect(await servedAt(before)).toBe(request.revision);
    const failed = {
      ...moveTo(request.deployment, { port, startTimeoutSeconds: 2 }),
      environment: requestFor({}, "is silent").environment,
    };
    const { rollout } = await deployer.provision(failed, context());
    expect(rollout).toMatchObject({ phase: "failed", error: { code: "CONTAINER_NOT_LISTENING" } });
    expect(await servedAt(before)).toBe(request.revision);
    const good = moveTo(request.deployment, { port }, "c");
    expect(await deployer.provision(good, context())).toMatchObject({ state: "running", url });
    expect(await servedAt(url)).toBe(good.revision);
  });

  test("goes to another address with the same port", async () => {
    const request = requestFor();
    const { url } = await provision(request);
    const there = url?.replace("127.0.0.1", "127.0.0.2");
    const moved = moveTo(request.deployment, { bind: "127.0.0.2" }, "a");
    expect(await deployer.provision(moved, context())).toMatchObject({ url: there });
    expect(await servedAt(there ?? null)).toBe(request.revision);
  });

  test("goes on wherever the deployer was killed, and nothing of it is left", async () => {
    const request = requestFor();
    await provision(request);
    const before = await leftOf(request);
    const ports = [await freePort(), await freePort()];
    for (let written = 0; ; written++) {
      const moved = moveTo(request.deployment, { port: ports[written % 2] }, "a");
      let left = written;
      const write = async () => {
        if (left-- === 0) throw new Error("killed");
      };
      const journal = { intend: write, present: write, gone: write };
      const ended = await deployer.provision(moved, { ...context(), journal }).then(
        () => true,
        () => false,
      );
      const killed = await deployer.inspect(request.deployment, readContext());
      expect(killed.state).toBe("running");
      expect(await servedAt(killed.url)).toBe(request.revision);
      const healed = await deployer.provision(moved, context());
      expect(healed).toMatchObject({ url: `http://127.0.0.1:${ports[written % 2]}` });
      expect(await servedAt(healed.url)).toBe(request.revision);
      expect((await leftOf(request)).toSorted()).toEqual(before.toSorted());
      if (ended) break;
    }
    // Also where nobody goes on.
    const journal = { ...context().journal, gone: async () => Promise.reject(new Error("killed")) };
    const moved = moveTo(request.deployment, { port: await freePort() }, "a");
    await expect(deployer.provision(moved, { ...context(), journal })).rejects.toThrow("killed");
    await deployer.deprovision(request.deployment, context());
    expect(await leftOf(request)).toEqual([]);
  });
});

describe("what the engine is asked for", () => {
  async function hostConfigOf(settings: object): Promise<HostConfig> {
    const request = requestFor({ settings });
    expect(await provision(request)).toMatchObject({ state: "running" });
    return (await inspect(request)).HostConfig;
  }

  test("limits of resources, and restarts", async () => {
    const limits = { memory: "200m", cpus: 0.75, pids: 64, shmSize: "8m", tmpSize: "1m" };
    const ulimits = [{ name: "nofile", soft: 1000, hard: 2000 }];
    expect(await hostConfigOf({ ...limits, ulimits, restart: "on-failure" })).toMatchObject({
      RestartPolicy: { Name: "on-failure" },
      Memory: 200 * 1024 ** 2,
      NanoCpus: 750_000_000,
      PidsLimit: 64,
      ShmSize: 8 * 1024 ** 2,
      Tmpfs: { "/tmp": expect.stringContaining(`size=${1024 ** 2}`) },
      Ulimits: [{ Name: "nofile", Soft: 1000, Hard: 2000 }],
    });
  });

  test("further run options, hosts, log options and labels", async () => {
    const request = requestFor({
      settings: {
        runOptions: { OomScoreAdj: 500, Sysctls: { "net.ipv4.ip_unprivileged_port_start": "0" } },
        extraHosts: ["db:10.0.0.5"],
        logOptions: { "max-size": "1m" },
        labels: { team: "weather" },
      },
    });
    expect(await provision(request)).toMatchObject({ state: "running" });
    const { Config, HostConfig: host } = await inspect(request);
    expect(Config.Labels).toMatchObject({ team: "weather" });
    expect(host).toMatchObject({
      OomScoreAdj: 500,
      Sysctls: { "net.ipv4.ip_unprivileged_port_start": "0" },
      ExtraHosts: ["db:10.0.0.5"],
      LogConfig: { Type: "json-file", Config: { "max-size": "1m" } },
      // What it may not change.
      CapDrop: ["ALL"],
      ReadonlyRootfs: true,
    });
  });

  test("networks and volumes that are there already, which stay when the deployment goes", async () => {
    const name = `millrace-test-${newTarget().id.slice(0, 8)}`;
    const network = await docker.createNetwork({ Name: name });
    await docker.createVolume({ Name: name });
    onTestFinished(async () => {
      await network.remove();
      await docker.getVolume(name).remove();
    });
    const request = requestFor({ settings: { networks: [name], volumes: [`${name}:/data:ro`] } });
    expect(await provision(request)).toMatchObject({ state: "running" });
    const { Mounts, NetworkSettings } = await inspect(request);
    expect(Object.keys(NetworkSettings.Networks)).toContain(name);
    expect(Mounts).toMatchObject([{ Type: "volume", Name: name, Destination: "/data", RW: false }]);
    await deployer.deprovision(request.deployment, context());
    expect(await leftOf(request)).toEqual([]);
    expect(await docker.getVolume(name).inspect()).toMatchObject({ Name: name });
    expect(await network.inspect()).toMatchObject({ Name: name });
  });
});
