import { type Capabilities, defineFlavor, definePlugin } from "@millrace/core";
import {
  type FakeImageSettings,
  type FakeSettings,
  fakeImageSettingsSchema,
  fakeSettingsSchema,
} from "./settings.ts";

export const FAKE_CAPABILITIES: Capabilities = {
  artefact: "bundle",
  logs: { tail: true, since: true, follow: true, replicas: true },
  secrets: true,
  zeroDowntime: true,
  keepsOldOnFailure: true,
  scaleToZero: false,
  trafficSplit: false,
  stableUrl: true,
  tls: false,
};

export const fakeFlavor = defineFlavor<FakeSettings>({
  name: "fake",
  description: "A platform in memory, for tests and as the reference for authors of deployers.",
  capabilities: FAKE_CAPABILITIES,
  settings: fakeSettingsSchema,
  create: async (options) => {
    const { FakeDeployer } = await import("./deployer.ts");
    return new FakeDeployer(options);
  },
});

export const fakeImageFlavor = defineFlavor<FakeImageSettings>({
  name: "fake-image",
  description: "The platform in memory, running images.",
  capabilities: { ...FAKE_CAPABILITIES, artefact: "image" },
  settings: fakeImageSettingsSchema,
  create: async (options) => {
    const { FakeImageDeployer } = await import("./image-deployer.ts");
    return new FakeImageDeployer(options);
  },
});

/** The fake back end as a plugin. */
export default definePlugin({
  name: "@millrace/conformance/fake",
  flavors: [fakeFlavor, fakeImageFlavor],
});
