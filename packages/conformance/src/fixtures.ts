import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Client, connect } from "@millrace/control";
import {
  type Deployer,
  type DeploymentRequest,
  defineFlavor,
  type Flavor,
  imageSettingsSchema,
  type JsonObject,
  MillraceError,
  type Observation,
  Secret,
} from "@millrace/core";
import { z } from "zod";
import { SECRET_NAME } from "./pipelines/instrument.ts";

/** The pipelines that the suite deploys, by the name of their snapshot. */
export const FIXTURES = ["v1", "v2", "secret", "init-fails", "never-ready", "slow"] as const;
export type FixtureName = (typeof FIXTURES)[number];

export type Requests = ReadonlyMap<FixtureName, DeploymentRequest>;

/** A state folder in which every fixture is a snapshot, and the request that control makes of each. */
export interface Fixtures {
  /**
   * The requests for a platform that the settings reach. Images have been delivered there, as the flavor's deployer says.
   * @param home A copy of the state folder.
   */
  requestsFor(flavor: Flavor, settings: JsonObject, home: string): Promise<Requests>;
  /** Copies the state folder, for a check that has it for itself. */
  copyTo(home: string): Promise<void>;
  close(): Promise<void>;
}

/** Takes some seconds: every fixture is bundled and compiled. */
export async function makeFixtures(flavor: Flavor): Promise<Fixtures> {
  const place = await mkdtemp(join(tmpdir(), "millrace-conformance-fixtures-"));
  const close = () => rm(place, { recursive: true, force: true });
  try {
    return { ...(await makeFixturesIn(join(place, "home"), flavor)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function makeFixturesIn(home: string, flavor: Flavor): Promise<Omit<Fixtures, "close">> {
  await withClient(home, [], async (client) => {
    await client.secrets.set(SECRET_NAME, new Secret("conformance-placeholder"));
    for (const name of FIXTURES) await client.snapshots.create(moduleOf(name), { name });
  });
  const isBundle = flavor.capabilities.artefact === "bundle";
  const bundles = isBundle ? await capture(flavor, {}, home) : null;
  // What the images of all checks have in common is then in the cache of the state folder.
  if (!isBundle) await capture(NOWHERE, {}, home);
  return {
    requestsFor: async (of, settings, copy) => bundles ?? capture(of, settings, copy),
    copyTo: (copy) => cp(home, copy, { recursive: true }),
  };
}

function moduleOf(name: FixtureName): string {
  return fileURLToPath(new URL(`./pipelines/${name}${extname(import.meta.url)}`, import.meta.url));
}

async function withClient<T>(
  home: string,
  flavors: readonly Flavor[],
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const timing = { pollMs: 1, pollMaxMs: 1 };
  const client = await connect({ directory: dirname(home), home, flavors, timing });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

/** Deploys every fixture up to the point where the deployer would be asked to provision, and keeps what it is asked. */
async function capture(flavor: Flavor, settings: JsonObject, home: string): Promise<Requests> {
  const standIn = new StandIn(flavor);
  return withClient(home, [standIn.flavor], async (client) => {
    await client.deployers.register(CAPTURE, flavor.name, { settings });
    await client.stacks.register(CAPTURE, CAPTURE);
    const requests = new Map<FixtureName, DeploymentRequest>();
    for (const name of FIXTURES) requests.set(name, await captureOne(client, standIn, name));
    await client.stacks.delete(CAPTURE);
    await client.deployers.delete(CAPTURE);
    return requests;
  });
}

const CAPTURE = "capture";

async function captureOne(
  client: Client,
  standIn: StandIn,
  name: FixtureName,
): Promise<DeploymentRequest> {
  await client.deploy({ snapshot: name }, { name, stack: CAPTURE }).catch((error: unknown) => {
    if (standIn.request === null) throw error;
  });
  const { request } = standIn;
  standIn.request = null;
  if (request === null) throw notHereError();
  await client.deployments.delete(name);
  return request;
}

const ABSENT: Observation = {
  state: "absent",
  url: null,
  serving: null,
  rollout: null,
  error: null,
  resources: [],
  metadata: {},
};

/** A deployer on whose platform nothing is and nothing can be. */
const NOTHING: Deployer = {
  plan: async () => ({ action: "create", changes: [], interrupts: false }),
  provision: async () => {
    throw notHereError();
  },
  inspect: async () => ABSENT,
  deprovision: async () => ABSENT,
  logs: () => {
    throw notHereError();
  },
};

/** In place of a flavor while requests are made: only where images go is asked of the real deployer. */
class StandIn {
  readonly flavor: Flavor;
  request: DeploymentRequest | null = null;

  constructor(flavor: Flavor) {
    const { name, description, capabilities, settings } = flavor;
    const create: Flavor["create"] = async (options) => {
      const images = capabilities.artefact === "image" ? await flavor.create(options) : {};
      return { ...this.#deployer, ...imageTargetOf(images) };
    };
    this.flavor = { name, description, capabilities, settings, create };
  }

  readonly #deployer: Deployer = {
    ...NOTHING,
    provision: async (request) => {
      this.request = request;
      throw notHereError();
    },
  };
}

/** A platform that is given images and keeps none. */
const NOWHERE = defineFlavor({
  name: "nowhere",
  description: "Images are made, and that is all.",
  capabilities: {
    artefact: "image",
    logs: { tail: false, since: false, follow: false, replicas: false },
    secrets: true,
    zeroDowntime: false,
    keepsOldOnFailure: false,
    scaleToZero: false,
    trafficSplit: false,
    stableUrl: false,
    tls: false,
  },
  settings: z.strictObject({}),
  create: async () => ({
    ...NOTHING,
    imageTarget: async () => ({
      image: imageSettingsSchema.parse({}),
      platform: { os: "linux", architecture: "amd64" },
      destination: {
        kind: "engine",
        repository: "nowhere",
        find: async () => ({
          os: "linux",
          architecture: "amd64",
          diffIds: [],
          config: {},
          content: null,
        }),
        load: async () => {},
      },
    }),
  }),
});

/** The one call of a deployer that not all have. */
export function imageTargetOf(deployer: Partial<Deployer>): Pick<Deployer, "imageTarget"> {
  if (deployer.imageTarget === undefined) return {};
  return { imageTarget: deployer.imageTarget.bind(deployer) };
}

function notHereError(): MillraceError {
  return new MillraceError({
    class: "internal",
    code: "CONFORMANCE_CAPTURE",
    message: "Nothing is provisioned while the fixtures are prepared.",
  });
}
