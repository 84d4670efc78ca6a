import type { Deployer, DeployerContext, Flavor, Journal } from "@millrace/core";
import { imageTargetOf } from "./fixtures.ts";

/** The flavor with deployers whose journal does something more at every write. */
export function watchingJournal(flavor: Flavor, watch: (journal: Journal) => Journal): Flavor {
  const watching = (context: DeployerContext): DeployerContext => ({
    ...context,
    journal: watch(context.journal),
  });
  return {
    ...flavor,
    create: async (options): Promise<Deployer> => {
      const deployer = await flavor.create(options);
      return {
        ...imageTargetOf(deployer),
        plan: (request, context) => deployer.plan(request, context),
        inspect: (target, context) => deployer.inspect(target, context),
        logs: (target, query, context) => deployer.logs(target, query, context),
        provision: (request, context) => deployer.provision(request, watching(context)),
        deprovision: (target, context) => deployer.deprovision(target, watching(context)),
      };
    },
  };
}
