import type { Deployer, DeployerOptions, Flavor } from "@millrace/core";
import { FakeDeployer } from "../fake/deployer.ts";
import { fakeFlavor } from "../fake/plugin.ts";
import type { FakeSettings } from "../fake/settings.ts";

/** A deployer that breaks one clause, and is right in the rest as far as that goes. */
export interface WrongDeployer {
  /** Also the name of its flavor, after `wrong-`. */
  readonly name: string;
  /** The clause that has to catch it. */
  readonly clause: string;
  /** What has to stand in the reason, so that it is caught for what it does. */
  readonly because: RegExp;
  readonly flavor: Flavor<FakeSettings>;
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
    flavor: {
      ...fakeFlavor,
      name: `wrong-${name}`,
      create: async (options) => new Class(options),
      ...flavor,
    },
  };
}
