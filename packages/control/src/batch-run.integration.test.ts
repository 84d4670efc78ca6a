import { join } from "node:path";
import { type Client, connect } from "@millrace/control";
import { expect, onTestFinished, test, vi } from "vitest";
import { makeProject } from "./snapshot/project.fixture.ts";

/** A pipeline with one step, and with the secret TOKEN. */
const pipelineOf = (body: string): string => `import { existsSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { definePipeline, defineStep } from "@millrace/core";
import { z } from "zod";
const work = defineStep({
  name: "work",
  input: z.object({}),
  output: z.string(),
  run: async (_input, { secret }) => {
    ${body}
  },
});
export default definePipeline({
  name: "sample",
  input: z.object({}),
  secrets: ["TOKEN"],
  build: () => ({ text: work({}) }),
});
`;

async function open(body: string): Promise<{ readonly client: Client; readonly source: string }> {
  const { root, source } = await makeProject({ "pipeline.ts": pipelineOf(body) });
  vi.stubEnv("TOKEN", "hunter2");
  onTestFinished(() => void vi.unstubAllEnvs());
  const client = await connect({ directory: root, home: join(root, "home") });
  onTestFinished(() => client.close());
  return { client, source: source().file };
}

test("the files of a run's secrets are gone while it goes on", async () => {
  const { client, source } = await open(`
    const folder = process.env["MILLRACE_SECRETS_DIR"] ?? "";
    while (existsSync(folder)) await sleep(10);
    return folder + " " + secret("TOKEN").reveal().length;
  `);
  const { outputs } = await client.run(source, {}, { timeoutSeconds: 10 });
  expect(outputs).toMatchObject({ text: expect.stringMatching(/millrace-secrets-\w+ 7$/) });
});

test("a run that is cancelled and never gives up its thread is killed", async () => {
  const { client, source } = await open(`
    writeSync(2, "spins\\n");
    for (;;);
  `);
  const stop = new AbortController();
  const spins = Promise.withResolvers<void>();
  const run = client.run(
    source,
    {},
    {
      signal: stop.signal,
      onLog: ({ text }) => {
        if (text === "spins") spins.resolve();
      },
    },
  );
  const refused = expect(run).rejects.toMatchObject({
    class: "aborted",
    code: "RUN_CANCELLED",
    message: expect.stringContaining("was killed"),
  });
  await spins.promise;
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  stop.abort();
  vi.advanceTimersByTime(15_000);
  await refused;
});

test("a run that is cancelled while its process starts is told as cancelled", async () => {
  const { client, source } = await open('return "done";');
  const { id } = await client.snapshots.create(source);
  // The process waits before it has loaded anything of ours.
  const start = `process.stderr.write("starts\\n"); await new Promise((done) => setTimeout(done, 1e7));`;
  vi.stubEnv("NODE_OPTIONS", `--import=data:text/javascript,${encodeURIComponent(start)}`);
  const stop = new AbortController();
  const onLog = ({ text }: { readonly text: string }): void => {
    if (text === "starts") stop.abort();
  };
  await expect(
    client.run({ snapshot: id }, {}, { signal: stop.signal, onLog }),
  ).rejects.toMatchObject({ class: "aborted", code: "RUN_CANCELLED" });
});

test("a run is called what a service would take, also when that looks like an option", async () => {
  const { client, source } = await open('return "done";');
  expect(await client.run(source, {}, { runName: "-x" })).toMatchObject({ name: "-x" });
  for (const runName of ["", "a\nb", "x".repeat(300)])
    await expect(client.run(source, {}, { runName })).rejects.toMatchObject({
      class: "usage",
      code: "NAME_INVALID",
    });
});
