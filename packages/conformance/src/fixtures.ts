import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Client, connect } from "@millrace/control";
import {
  type Deployer,
  type DeploymentRequest,
  type Flavor,
  MillraceError,
  Secret,
} from "@millrace/core";
import { SECRET_NAME } from "./pipelines/instrument.ts";

/** The pipelines that the suite deploys, by the name of their snapshot. */
export const FIXTURES = ["v1", "v2", "secret", "init-fails", "never-ready", "slow"] as const;
export type FixtureName = (typeof FIXTURES)[number];

/** A state folder in which every fixture is a snapshot, and the request that control makes of each. */
export interface Fixtures {
  readonly requests: ReadonlyMap<FixtureName, DeploymentRequest>;
  /** Copies the state folder, for a check that has it for itself. */
  copyTo(home: string): Promise<void>;
  close(): Promise<void>;
}

/** Takes some seconds: every fixture is bundled and compiled. */
export async function makeFixtures(flavor: Flavor): Promise<Fixtures> {
  const place = await mkdtemp(join(tmpdir(), "millrace-conformance-fixtures-"));
  const home = join(place, "home");
  const capture = new Capture();
  const client = await connect({ directory: place, home, flavors: [capture.flavor(flavor)] });
  const requests = new Map<FixtureName, DeploymentRequest>();
  try {
    await client.secrets.set(SECRET_NAME, new Secret("conformance-placeholder"));
    await client.deployers.register("capture", flavor.name);
    await client.stacks.register("capture", "capture");
    for (const name of FIXTURES) requests.set(name, await makeFixture(client, capture, name));
    await client.stacks.delete("capture");
    await client.deployers.delete("capture");
  } finally {
    await client.close();
  }
  return {
    requests,
    copyTo: (copy) => cp(home, copy, { recursive: true }),
    close: () => rm(place, { recursive: true, force: true }),
  };
}

async function makeFixture(
  client: Client,
  capture: Capture,
  name: FixtureName,
): Promise<DeploymentRequest> {
  const module = fileURLToPath(
    new URL(`./pipelines/${name}${extname(import.meta.url)}`, import.meta.url),
  );
  await client.snapshots.create(module, { name });
  await client.plan({ snapshot: name }, { stack: "capture" });
  return capture.take();
}

/** Stands in for the deployer while requests are made: keeps the request of a plan. */
class Capture {
  #request: DeploymentRequest | null = null;

  flavor({ name, description, capabilities, settings }: Flavor): Flavor {
    const deployer: Deployer = {
      plan: async (request) => {
        this.#request = request;
        return { action: "create", changes: [], interrupts: false };
      },
      provision: notHere,
      inspect: notHere,
      deprovision: notHere,
      logs: () => {
        throw notHereError();
      },
    };
    return { name, description, capabilities, settings, create: async () => deployer };
  }

  take(): DeploymentRequest {
    const request = this.#request;
    if (request === null) throw notHereError();
    this.#request = null;
    return request;
  }
}

async function notHere(): Promise<never> {
  throw notHereError();
}

function notHereError(): MillraceError {
  return new MillraceError({
    class: "internal",
    code: "CONFORMANCE_CAPTURE",
    message: "Only plans are made while the fixtures are prepared.",
  });
}
