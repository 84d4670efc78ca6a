import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineHarness, type Faults, type Platform } from "@millrace/conformance";
import Docker from "dockerode";
import { importBaseImage } from "../../test-infra/docker/base-image.ts";
import { provideDockerd, provideRegistry, startEngine } from "../../test-infra/docker/engine.ts";
import {
  type RegistryFaults,
  startRegistryFaults,
} from "../../test-infra/docker/registry-faults.ts";
import { startRegistry } from "../image/src/registry.fixture.ts";
import { dockerHarness, enginePlatform, machineSocket, unlessMissing } from "./engine-platform.ts";
import { readProgress } from "./src/engine-progress.ts";

const LOGIN = { username: "conformance", password: "conformance-Registry+password/1" };
/** The password by bcrypt, 32 rounds. */
const HTPASSWD = `${LOGIN.username}:$2b$05$pZQK0gpskdovDoS2lHtT6uEOY/2DB2W6rSPbpiFpzZE2LBHmyfNIS\n`;
const BASIC = Buffer.from(`${LOGIN.username}:${LOGIN.password}`).toString("base64");

/** A registry that wants a login and fails on command, and an engine that pulls from there. */
interface Shared {
  readonly socket: string;
  readonly docker: Docker;
  readonly registry: RegistryFaults;
  /** In the registry. */
  readonly base: string;
  close(): Promise<void>;
}

let shared: Promise<Shared> | null = null;
let checks = 0;

async function start(): Promise<Shared> {
  const missing = provideRegistry();
  if (missing !== undefined) throw new Error(missing);
  const folder = mkdtempSync(join(tmpdir(), "millrace-conformance-registry-"));
  const path = join(folder, "htpasswd");
  writeFileSync(path, HTPASSWD);
  const behind = await startRegistry(join(folder, "registry"), {
    auth: { htpasswd: { realm: "conformance", path } },
  });
  const registry = await startRegistryFaults(behind.host);
  const auths = { [registry.host]: { auth: BASIC } };
  writeFileSync(join(folder, "config.json"), JSON.stringify({ auths }), { mode: 0o600 });
  // Where whoever deploys has the login; operators in processes of their own find it there too.
  process.env["DOCKER_CONFIG"] = folder;
  // One that others use may know layers already, and then does not pull them.
  const own = provideDockerd() === undefined ? await startEngine() : null;
  const socket = own?.socket ?? machineSocket;
  const docker = new Docker({ socketPath: socket });
  const base = `${registry.host}/base:24`;
  await importBaseImage(socket, [base]);
  await readProgress(await docker.getImage(base).push({ authconfig: LOGIN }), "push");
  return {
    socket,
    docker,
    registry,
    base,
    async close() {
      await removeImages(docker, registry.host);
      await own?.remove();
      await registry.stop();
      await behind.stop();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Removes the images whose references begin so. */
async function removeImages(docker: Docker, beginning: string): Promise<void> {
  for (const { RepoTags, RepoDigests } of await docker.listImages())
    for (const reference of [...(RepoTags ?? []), ...(RepoDigests ?? [])])
      if (reference.startsWith(`${beginning}/`))
        await docker.getImage(reference).remove({ force: true }).catch(unlessMissing);
}

function faultsOf({ docker, registry }: Shared): Faults {
  return {
    removeImage: async (reference) => {
      const [name = "", digest] = reference.split("@");
      const url = `http://${registry.host}/v2/${name.slice(registry.host.length + 1)}/manifests/${digest}`;
      const headers = { authorization: `Basic ${BASIC}` };
      const { ok, status } = await fetch(url, { method: "DELETE", headers });
      if (!ok) throw new Error(`the registry answered ${status} and did not remove ${reference}`);
      await docker.getImage(reference).remove({ force: true }).catch(unlessMissing);
    },
    failRegistry: async (how) => registry.fail(how, how === "cut" ? 1 : Number.POSITIVE_INFINITY),
  };
}

async function registryPlatform(): Promise<Platform> {
  shared ??= start();
  const parts = await shared;
  const { docker, socket, registry, base } = parts;
  const place = `${registry.host}/check-${++checks}`;
  registry.forget();
  return enginePlatform({
    socket,
    settings: { registry: `${place}/app`, image: { base } },
    faults: faultsOf(parts),
    deliveries: async () => registry.traffic().uploads,
    restore: async () => registry.fail("broken", 0),
    // An engine that knows a layer does not pull it again.
    close: () => removeImages(docker, place),
  });
}

export default defineHarness({
  ...dockerHarness,
  name: "deployer-docker-registry",
  // All use one registry, and it fails for all.
  parallel: 1,
  setupTimeoutSeconds: 300,
  setup: registryPlatform,
  close: async () => (await shared)?.close(),
});
