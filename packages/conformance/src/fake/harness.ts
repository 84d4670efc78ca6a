import type { JsonObject } from "@millrace/core";
import { defineHarness, type Harness, type Platform, type PlatformResource } from "../harness.ts";
import {
  FakePlatform,
  fingerprintOfSecret,
  fingerprintOfService,
  type Trouble,
} from "./platform.ts";
import type { ServiceRecord } from "./records.ts";
import { FakeRegistry, type RegistryLogin } from "./registry.ts";

/** What the platform runs, and how it gets it: bundles, images that it is given, or images of a registry. */
export type Delivery = "bundle" | "engine" | "registry";

const LOGIN: RegistryLogin = {
  username: "conformance",
  password: "conformance-Registry+password/1",
};

/** The harness of the fake back end, for the right deployer or for one of the wrong ones. */
export function fakeHarness(
  of: Pick<Harness, "name" | "plugin" | "flavor">,
  delivery: Delivery = "bundle",
): Harness {
  return defineHarness({
    ...of,
    serves: "fake",
    otherSettings: { size: "large" },
    refusedSettings: [{ settings: { replicas: 9 }, names: "replicas" }],
    parallel: 8,
    setup: async () => {
      const registry = delivery === "registry" ? await FakeRegistry.start(LOGIN) : null;
      return platformOf(await FakePlatform.start(registry));
    },
  });
}

function platformOf(platform: FakePlatform): Platform {
  const { endpoint, images, registry } = platform;
  const trouble = (kind: Trouble) => async (): Promise<void> => platform.trouble(kind);
  return {
    settings: { endpoint, ...imagesFrom(registry) },
    list: async () => listed(platform),
    changes: async () => platform.changes,
    deliveries: async () => (registry ?? images).deliveries,
    visible: async () => platform.visible(),
    faults: {
      stop: async (deploymentId) => {
        for (const { name } of servicesOf(platform, deploymentId))
          platform.holdService(name, "stopped");
      },
      kill: async (deploymentId) => {
        for (const { name } of servicesOf(platform, deploymentId)) platform.killService(name);
      },
      pause: async (deploymentId) => {
        for (const { name } of servicesOf(platform, deploymentId))
          platform.holdService(name, "paused");
      },
      remove: async ({ kind, name }) => {
        if (kind === "service") platform.removeService(name);
        else platform.removeSecret(name);
      },
      cutOff: trouble("cutOff"),
      shutDown: trouble("down"),
      hang: trouble("hang"),
      throttle: trouble("throttle"),
      expireCredentials: trouble("expiredCredentials"),
      refuse: trouble("refuse"),
      fillUp: trouble("full"),
      loseNextReply: trouble("lostReply"),
      lag: trouble("lag"),
      removeImage: async (reference) => {
        images.remove(reference);
        registry?.remove(reference);
      },
      ...(registry === null
        ? {}
        : {
            failRegistry: async (how) => {
              registry.fault = how;
            },
          }),
    },
    restore: async () => platform.restore(),
    close: () => platform.close(),
  };
}

function imagesFrom(registry: FakeRegistry | null): JsonObject {
  return registry === null
    ? {}
    : { registry: `${registry.host}/conformance/app`, image: { base: registry.base } };
}

function servicesOf(platform: FakePlatform, deploymentId: string): readonly ServiceRecord[] {
  return platform.existing().services.filter(({ tags }) => tags["deployment"] === deploymentId);
}

function listed(platform: FakePlatform): PlatformResource[] {
  const { services, secrets } = platform.existing();
  return [
    ...services.map((service) => ({
      kind: "service",
      name: service.name,
      tags: service.tags,
      fingerprint: fingerprintOfService(service),
    })),
    ...secrets.map((secret) => ({
      kind: "secret-set",
      name: secret.name,
      tags: secret.tags,
      fingerprint: fingerprintOfSecret(secret),
    })),
  ];
}
