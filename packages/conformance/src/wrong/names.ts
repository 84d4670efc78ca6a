import {
  type DeploymentTarget,
  type FoundDeployment,
  type ReadContext,
  resourceName,
} from "@millrace/core";
import { z } from "zod";
import { FakeDeployer, type Names } from "../fake/deployer.ts";
import { FAKE_CAPABILITIES } from "../fake/plugin.ts";
import type { Tags } from "../fake/records.ts";
import { type FakeSettings, fakeSettingsSchema } from "../fake/settings.ts";
import { wrong } from "./wrong-deployer.ts";

/** Names resources in another way. */
function naming(nameOf: (target: DeploymentTarget) => string): typeof FakeDeployer {
  return class extends FakeDeployer {
    protected override names(target: DeploymentTarget): Names {
      const name = nameOf(target);
      return { service: { kind: "service", name }, secrets: { kind: "secret-set", name } };
    }
  };
}

function fold(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
}

class Untagged extends FakeDeployer {
  protected override tags(target: DeploymentTarget): Tags {
    return { name: target.name };
  }
}

/** Changes what is discovered. */
function discovering(
  change: (found: readonly FoundDeployment[]) => readonly FoundDeployment[],
): typeof FakeDeployer {
  return class extends FakeDeployer {
    override async discover(context: ReadContext): Promise<readonly FoundDeployment[]> {
      return change(await super.discover(context));
    }
  };
}

class RemembersDiscoveries extends FakeDeployer {
  readonly #known = new Map<string, FoundDeployment>();

  override async discover(context: ReadContext): Promise<readonly FoundDeployment[]> {
    for (const one of await super.discover(context)) this.#known.set(one.id, one);
    return [...this.#known.values()];
  }
}

const { shape } = fakeSettingsSchema;

/** Settings with one more, which holds objects of this form. */
function withMounts(mount: z.ZodType): z.ZodType<FakeSettings> {
  const mounts = z.union([z.array(mount), z.literal("none")]).default("none");
  return z.strictObject({ ...shape, mounts: mounts.meta({ description: "What is mounted." }) });
}

const mountPath = { path: z.string().meta({ description: "Where it is mounted." }) };

export const wrongNames = [
  wrong(
    "NAME-01",
    "named-by-name",
    /shared/,
    naming(({ name }) => `millrace-${fold(name)}`.slice(0, 40)),
  ),
  wrong(
    "NAME-02",
    "renamed-with-name",
    /not found any more/,
    naming((target) => resourceName(target, { maxLength: 40 })),
  ),
  wrong(
    "NAME-03",
    "names-too-long",
    /no usable name/,
    naming((target) => resourceName(target, { maxLength: 200 })),
  ),
  wrong(
    "NAME-04",
    "named-by-short-id",
    /shared/,
    naming(({ id }) => `millrace-${id.slice(0, 13)}`),
  ),
  wrong("NAME-05", "untagged", /do not carry/, Untagged),
  wrong("NAME-06", "remembers-discoveries", /not discovered any more/, RemembersDiscoveries),
  wrong(
    "NAME-06",
    "discovers-first-page",
    /was not discovered/,
    discovering((found) => found.slice(0, 1)),
  ),
  wrong(
    "NAME-06",
    "discovers-services-only",
    /discover says what is left/,
    discovering((found) =>
      found.filter(({ resources }) => resources.some(({ kind }) => kind === "service")),
    ),
  ),
  wrong("CAP-01", "claims-tls", /the URL is http:/, FakeDeployer, {
    capabilities: { ...FAKE_CAPABILITIES, tls: true },
  }),
  wrong("FLAV-01", "nameless", /no description/, FakeDeployer, { description: "" }),
  wrong("SET-01", "accepts-unknown-settings", /should have failed|accept unknown/, FakeDeployer, {
    settings: z.object(shape),
  }),
  wrong("SET-01", "list-accepts-unknown-settings", /settings\.mounts\[\]/, FakeDeployer, {
    settings: withMounts(z.object(mountPath)),
  }),
  wrong("SET-02", "settings-undescribed", /no description/, FakeDeployer, {
    settings: z.strictObject({ ...shape, size: z.enum(["small", "large"]).default("small") }),
  }),
  wrong("SET-02", "list-undescribed", /settings\.mounts\[\]\.path/, FakeDeployer, {
    settings: withMounts(z.strictObject({ path: z.string() })),
  }),
  wrong("SET-03", "limits-unchecked", /should have failed/, FakeDeployer, {
    settings: z.strictObject({
      ...shape,
      replicas: z.int().default(1).meta({ description: "Number of containers." }),
    }),
  }),
];
