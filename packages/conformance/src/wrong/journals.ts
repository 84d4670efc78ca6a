import type { DeployerContext, DeploymentRequest, Journal, Observation } from "@millrace/core";
import { FakeDeployer, type Names } from "../fake/deployer.ts";
import type { FakeSettings } from "../fake/settings.ts";
import { wrong } from "./wrong-deployer.ts";

type Request = DeploymentRequest<FakeSettings>;

/** Writes the journal in another way. */
function journaling(change: (journal: Journal) => Partial<Journal>): typeof FakeDeployer {
  return class extends FakeDeployer {
    override provision(request: Request, context: DeployerContext): Promise<Observation> {
      const journal = { ...context.journal, ...change(context.journal) };
      return super.provision(request, { ...context, journal });
    }
  };
}

class IntendsLate extends FakeDeployer {
  protected override async putService(
    request: Request,
    names: Names,
    context: DeployerContext,
  ): Promise<void> {
    const intend = async (): Promise<void> => {};
    await super.putService(request, names, { ...context, journal: { ...context.journal, intend } });
    await context.journal.intend(names.service);
    await context.journal.present(names.service);
  }
}

class PresentEarly extends FakeDeployer {
  protected override async putService(
    request: Request,
    names: Names,
    context: DeployerContext,
  ): Promise<void> {
    await context.journal.intend(names.service);
    await context.journal.present(names.service);
    await super.putService(request, names, context);
  }
}

class GoneEarly extends FakeDeployer {
  protected override async removeService(
    key: Names["service"],
    context: DeployerContext,
  ): Promise<void> {
    await context.journal.gone(key);
    await super.removeService(key, context);
  }
}

export const wrongJournals = [
  wrong(
    "JOUR-01",
    "forgets-journal",
    /never intended/,
    journaling(() => ({ intend: async () => {} })),
  ),
  wrong("JOUR-02", "intends-late", /before their intention/, IntendsLate),
  wrong(
    "JOUR-02",
    "does-not-await-journal",
    /before their intention/,
    journaling((journal) => ({
      intend: async (key) => {
        journal.intend(key).catch(() => {});
      },
    })),
  ),
  wrong(
    "JOUR-03",
    "ignores-refusing-journal",
    /should have failed/,
    journaling((journal) => ({ intend: (key) => journal.intend(key).catch(() => {}) })),
  ),
  wrong("JOUR-04", "present-early", /before they existed/, PresentEarly),
  wrong(
    "JOUR-04",
    "never-present",
    /never written as present/,
    journaling(() => ({ present: async () => {} })),
  ),
  wrong("JOUR-05", "gone-early", /while they existed/, GoneEarly),
];
