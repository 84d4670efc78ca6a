import { type DeploymentRequest, defineFlavor, type Flavor } from "@millrace/core";
import { z } from "zod";

const settings = z.strictObject({
  cpu: z.number().default(1),
  memory: z.number().default(1),
  scaling: z.strictObject({ min: z.int().default(0), max: z.int().default(1) }).prefault({}),
});

/** A flavor whose deployer plans only, and keeps what it was asked for. */
export function capturingFlavor(name = "cloud"): {
  readonly flavor: Flavor;
  readonly requests: DeploymentRequest[];
} {
  const requests: DeploymentRequest[] = [];
  const refuse = (): never => {
    throw new Error("it plans only");
  };
  const flavor = defineFlavor({
    name,
    description: "Plans only.",
    capabilities: {
      artefact: "bundle",
      logs: { tail: true, since: true, follow: true, replicas: false },
      secrets: true,
      zeroDowntime: true,
      keepsOldOnFailure: true,
      scaleToZero: false,
      trafficSplit: false,
      stableUrl: true,
      tls: false,
    },
    settings,
    create: async () => ({
      async plan(request) {
        requests.push(request);
        return { action: "create", changes: [], interrupts: false };
      },
      provision: refuse,
      inspect: refuse,
      deprovision: refuse,
      logs: refuse,
    }),
  });
  return { flavor: flavor as Flavor, requests };
}
