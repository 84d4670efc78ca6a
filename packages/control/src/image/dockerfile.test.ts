import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EngineDestination, type EngineImage, MillraceError } from "@millrace/core";
import { expect, it, onTestFinished } from "vitest";
import { systemClock } from "../lifecycle/clock.ts";
import { baseFromDockerfile } from "./dockerfile.ts";

it("an engine that builds a Dockerfile is sent none of the files that Millrace keeps secrets in", async () => {
  const directory = mkdtempSync(join(tmpdir(), "millrace-dockerfile-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const places = {
    directory,
    home: join(directory, "state"),
    envFile: join(directory, "secrets.txt"),
    secretFile: join(directory, "vault.json"),
  };
  mkdirSync(places.home);
  for (const file of [places.envFile, places.secretFile, join(places.home, "millrace.db")])
    writeFileSync(file, "hunter2");
  writeFileSync(join(directory, "Dockerfile"), "FROM node\nCOPY . .\n");
  let sent = "";
  let image: EngineImage | null = null;
  const engine: EngineDestination = {
    kind: "engine",
    repository: "app",
    find: async () => image,
    load: async () => {
      throw new MillraceError({
        class: "internal",
        code: "X",
        message: "Nothing is to be loaded.",
      });
    },
    async build(_reference, context) {
      sent = Buffer.concat(await Array.fromAsync(context)).toString();
      image = { os: "linux", architecture: "amd64", config: {}, diffIds: [], content: null };
    },
  };
  const context = {
    signal: new AbortController().signal,
    clock: systemClock,
    progress: () => undefined,
  };
  const platform = { os: "linux", architecture: "amd64" } as const;
  await baseFromDockerfile(places, "Dockerfile", platform, engine, context);
  expect(sent).toContain("COPY . .");
  expect(sent).not.toContain("hunter2");
});
