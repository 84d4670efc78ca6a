import { extname } from "node:path";
import { fakeHarness } from "../fake/harness.ts";
import { fakeFlavor, fakeImageFlavor } from "../fake/plugin.ts";
import { type Fixtures, makeFixtures } from "../fixtures.ts";
import { type CheckResult, runSuite } from "../run.ts";
import { WRONG_DEPLOYERS } from "./plugin.ts";
import type { WrongDeployer } from "./wrong-deployer.ts";

/** What the suite said of one wrong deployer. */
export interface Verdict {
  readonly wrong: WrongDeployer;
  readonly caught: boolean;
  /** The check of the clause that caught it; null when none did. */
  readonly by: CheckResult | null;
  /** For one that was not caught: what its clause's checks said. */
  readonly results: readonly CheckResult[];
}

const AT_THE_SAME_TIME = 8;
/** A wrong deployer often never gets where a check waits for it to get. */
const PATIENCE = 0.2;

const plugin = new URL(`./plugin${extname(import.meta.url)}`, import.meta.url).href;

/** Runs the checks of its clause on every wrong deployer. */
export async function judgeWrongDeployers(
  onVerdict?: (verdict: Verdict) => void,
): Promise<readonly Verdict[]> {
  const [bundles, images] = [await makeFixtures(fakeFlavor), await makeFixtures(fakeImageFlavor)];
  const queue = [...WRONG_DEPLOYERS];
  const verdicts: Verdict[] = [];
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const verdict = await judge(next, next.delivery === "bundle" ? bundles : images);
      verdicts.push(verdict);
      onVerdict?.(verdict);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_THE_SAME_TIME }, work));
  } finally {
    await Promise.all([bundles.close(), images.close()]);
  }
  return verdicts;
}

async function judge(wrong: WrongDeployer, fixtures: Fixtures): Promise<Verdict> {
  const of = { name: wrong.name, plugin, flavor: wrong.flavor.name };
  const harness = { ...fakeHarness(of, wrong.delivery), patience: PATIENCE, parallel: 2 };
  const { results } = await runSuite(harness, { only: [wrong.clause], fixtures });
  const by =
    results.find(
      ({ outcome, clause, reason }) =>
        outcome === "failed" && clause === wrong.clause && wrong.because.test(reason ?? ""),
    ) ?? null;
  return { wrong, caught: by !== null, by, results };
}
