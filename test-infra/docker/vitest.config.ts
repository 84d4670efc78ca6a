import { join } from "node:path";
import { defineConfig } from "vitest/config";

/** The tests of all packages that need a Docker engine or a registry. */
export default defineConfig({
  test: {
    root: join(import.meta.dirname, "../.."),
    include: ["{packages/*/src,test-infra}/**/*.docker.test.ts"],
    // What stops its engine has one of its own, so that files may run side by side.
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
