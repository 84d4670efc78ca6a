import type { Check } from "../check.ts";
import { capabilityChecks } from "./capabilities.ts";
import { convergenceChecks } from "./convergence.ts";
import { crashChecks } from "./crash.ts";
import { failureChecks } from "./failure.ts";
import { httpChecks } from "./http.ts";
import { imageChecks } from "./images.ts";
import { journalChecks } from "./journal.ts";
import { lifecycleChecks } from "./lifecycle.ts";
import { logChecks } from "./logs.ts";
import { nameChecks } from "./names.ts";
import { observationChecks } from "./observation.ts";
import { planChecks } from "./plan.ts";
import { provisionChecks } from "./provision.ts";
import { secretChecks } from "./secrets.ts";
import { settingsChecks } from "./settings.ts";

/** Every check of the suite, in the order of the contract. */
export const checks: readonly Check[] = [
  ...settingsChecks,
  ...planChecks,
  ...provisionChecks,
  ...journalChecks,
  ...observationChecks,
  ...failureChecks,
  ...imageChecks,
  ...convergenceChecks,
  ...crashChecks,
  ...logChecks,
  ...secretChecks,
  ...nameChecks,
  ...capabilityChecks,
  ...lifecycleChecks,
  ...httpChecks,
];
