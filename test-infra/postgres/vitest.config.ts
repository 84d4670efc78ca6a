import { join } from "node:path";
import { defineConfig } from "vitest/config";

/** The tests of all packages that need a PostgreSQL server. */
export default defineConfig({
  test: {
    root: join(import.meta.dirname, "../.."),
    include: ["{packages/*/src,test-infra}/**/*.postgres.test.ts"],
    globalSetup: join(import.meta.dirname, "setup.ts"),
    // One of the tests makes the server crash.
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
