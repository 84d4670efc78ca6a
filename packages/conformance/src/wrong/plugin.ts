import { definePlugin } from "@millrace/core";
import { wrongErrors } from "./errors.ts";
import { wrongImages } from "./images.ts";
import { wrongJournals } from "./journals.ts";
import { wrongLogs } from "./logs.ts";
import { wrongNames } from "./names.ts";
import { wrongObservations } from "./observations.ts";
import { wrongPlans } from "./plans.ts";
import { wrongProvisions } from "./provisions.ts";
import { wrongSecrets } from "./secrets.ts";
import type { WrongDeployer } from "./wrong-deployer.ts";

export const WRONG_DEPLOYERS: readonly WrongDeployer[] = [
  ...wrongPlans,
  ...wrongProvisions,
  ...wrongJournals,
  ...wrongObservations,
  ...wrongErrors,
  ...wrongImages,
  ...wrongLogs,
  ...wrongSecrets,
  ...wrongNames,
];

/** The wrong deployers as a plugin, so that operator processes can load them too. */
export default definePlugin({
  name: "@millrace/conformance/wrong",
  flavors: WRONG_DEPLOYERS.map(({ flavor }) => flavor),
});
