export { Bench, NotTestable } from "./bench.ts";
export type { Check } from "./check.ts";
export { checks } from "./checks/index.ts";
export { CLAUSES, type Clause, clausesMarkdown } from "./clauses.ts";
export { FakeDeployer } from "./fake/deployer.ts";
export { fakeHarness } from "./fake/harness.ts";
export { FakePlatform } from "./fake/platform.ts";
export { fakeFlavor } from "./fake/plugin.ts";
export {
  defineHarness,
  FAULTS,
  type FaultName,
  type Faults,
  type Harness,
  loadHarness,
  type Place,
  type Platform,
  type PlatformResource,
  type RegistryFault,
} from "./harness.ts";
export { type CheckResult, type Outcome, type Report, type RunOptions, runSuite } from "./run.ts";
export { conformanceTests, type TestRunner } from "./test-runner.ts";
