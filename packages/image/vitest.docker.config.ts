import { defineConfig } from "vitest/config";

/** The tests that need docker-registry and a Docker engine. */
export default defineConfig({
  test: { include: ["src/**/*.docker.test.ts"], testTimeout: 60_000, hookTimeout: 60_000 },
});
