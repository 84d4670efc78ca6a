import { fileURLToPath } from "node:url";
import { conformanceTests, loadHarness } from "@millrace/conformance";
import { afterAll, beforeAll, describe, it } from "vitest";

const harness = await loadHarness(
  fileURLToPath(new URL("../dist/fake/fake.conformance.js", import.meta.url)),
);

// One clause that binds, and one that does not and is skipped.
conformanceTests(harness, { describe, it, beforeAll, afterAll }, { only: ["OBS-04", "SEC-05"] });
