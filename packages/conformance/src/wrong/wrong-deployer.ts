import { type Deployer, type DeployerOptions, defineFlavor, type Flavor } from "@millrace/core";
import { FakeDeployer } from "../fake/deployer.ts";
import type { Delivery } from "../fake/harness.ts";
import { fakeFlavor, fakeImageFlavor } from "../fake/plugin.ts";
import type { FakeImageSettings, FakeSettings } from "../fake/settings.ts";

/** A deployer that breaks one clause, and is right in the rest as far as that goes. */
export interface WrongDeployer {
  /** Also the name of its flavor, after `wrong-`. */
  readonly name: string;
  /** The clause that has to catch it. */
  readonly clause: string;
  /** What has to stand in the reason, so that it is caught for what it does. */
  readonly because: RegExp;
  readonly flavor: Flavor;
  /** How its platform gets what it runs. */
  readonly delivery: Delivery;
}

type DeployerClass = new (options: DeployerOptions<FakeSettings>) => Deployer<FakeSettings>;

export function wrong(
  clause: string,
  name: string,
  because: RegExp,
  Class: DeployerClass = FakeDeployer,
  flavor: Partial<Flavor<FakeSettings>> = {},
): WrongDeployer {
  return {
    name,
    clause,
    because,
    delivery: "bundle",
    flavor: defineFlavor<FakeSettings>({
      ...fakeFlavor,
      name: `wrong-${name}`,
      create: async (options) => new Class(options),
      ...flavor,
    }),
  };
}

export function wrongAboutImages(
  clause: string,
  name: string,
  delivery: "engine" | "registry",
  because: RegExp,
  Class: new (options: DeployerOptions<FakeImageSettings>) => Deployer<FakeImageSettings>,
): WrongDeployer {
  return {
    name,
    clause,
    because,
    delivery,
    flavor: defineFlavor<FakeImageSettings>({
      ...fakeImageFlavor,
      name: `wrong-${name}`,
      create: async (options) => new Class(options),
    }),
  };
}
