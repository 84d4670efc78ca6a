import { type Fixtures, makeFixtures } from "./fixtures.ts";
import { type Harness, loadFlavor } from "./harness.ts";
import { type RunOptions, runCheck, selectChecks } from "./run.ts";

/** What the suite needs of a test runner: Vitest's functions fit. */
export interface TestRunner {
  describe(name: string, body: () => void): unknown;
  it: (name: string, body: (context: SkipContext) => Promise<void>, timeoutMs?: number) => unknown;
  beforeAll(body: () => Promise<void>, timeoutMs?: number): unknown;
  afterAll(body: () => Promise<void>): unknown;
}

interface SkipContext {
  skip(note?: string): void;
}

const TIMEOUT_MS = 120_000;

/** Makes a test of every check, for a test file of the deployer's own package. */
export function conformanceTests(
  harness: Harness,
  { describe, it, beforeAll, afterAll }: TestRunner,
  options: Pick<RunOptions, "only"> = {},
): void {
  describe(`conformance of ${harness.name}`, () => {
    let fixtures: Fixtures | undefined;
    const late: Promise<void>[] = [];
    beforeAll(async () => {
      fixtures = await makeFixtures((await loadFlavor(harness)).flavor);
    }, TIMEOUT_MS);
    afterAll(async () => {
      await Promise.all(late);
      await fixtures?.close();
      await harness.close?.();
    });
    for (const check of selectChecks(options.only)) {
      it(
        `${check.clause} ${check.id}: ${check.title}`,
        async (context) => {
          if (fixtures === undefined) throw new Error("the fixtures could not be made");
          const { flavor } = await loadFlavor(harness);
          const parts = { harness, flavor, fixtures, late };
          const { outcome, reason, clause } = await runCheck(check, parts);
          if (outcome === "failed") throw new Error(`${clause}: ${reason}`);
          if (outcome !== "passed") context.skip(reason ?? outcome);
        },
        TIMEOUT_MS * (harness.patience ?? 1),
      );
    }
  });
}
