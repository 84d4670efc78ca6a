import { definePipeline, type RunRecord, Secret, servingSettingsSchema } from "@millrace/core";
import { createEngine, type Run } from "@millrace/engine";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { makeRunRecording, textsOf } from "./run-recording.ts";

const echo = definePipeline({
  name: "echo",
  input: z.object({ text: z.string() }),
  build: ({ text }) => ({ text }),
});
const identity = {
  projectId: "p",
  pipelineName: "echo",
  snapshotId: "s",
  deploymentId: "d",
  secrets: [new Secret("hunter2-hunter2")],
};

async function runOf(text: string, aborted = false): Promise<Run> {
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  const engine = createEngine(echo.compile(), {
    snapshotId: "s",
    logger: () => silent,
    secret: () => {
      throw new Error("none");
    },
  });
  try {
    const run = await engine.run({ input: { text }, timeoutMs: 1000 });
    if (aborted) Object.assign(run, { status: "failed", outputs: null, outputsText: undefined });
    return run;
  } finally {
    engine.close();
  }
}

function recording(tracking: Partial<ReturnType<typeof settings>>) {
  const recorded: { run: RunRecord; texts: unknown }[] = [];
  const recorder = {
    stats: { recorded: 0, spooled: 0, pending: 0, dropped: 0 },
    record: (run: RunRecord, texts: unknown) => {
      recorded.push({ run, texts });
      return undefined;
    },
    close: () => Promise.resolve(),
  };
  const made = makeRunRecording(recorder, { ...settings(), ...tracking }, identity);
  return { recorded, end: (run: Run) => made.ended(run, textsOf(run)) };
}

const settings = () => servingSettingsSchema.parse({}).tracking;

describe("run recording", () => {
  it("keeps payloads up to their limit in bytes, and of larger ones size and digest", async () => {
    const { recorded, end } = recording({ maxPayloadBytes: 15 });
    end(await runOf("abcd"));
    end(await runOf("äöüß"));
    expect(recorded.map(({ run }) => run.inputs)).toEqual([
      { text: "abcd" },
      { truncated: true, size: 19, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
    ]);
    expect(recorded[0]?.texts).toEqual({ inputs: '{"text":"abcd"}', outputs: '{"text":"abcd"}' });
    expect(recorded[1]?.run.outputs).toMatchObject({ truncated: true });
  });

  it("keeps no secret and no endless text of an error", async () => {
    const { recorded, end } = recording({});
    const run = await runOf("a", true);
    const error = new Error(`no hunter2-hunter2 ${"x".repeat(1_000_000)}`);
    end(Object.assign(run, { error }));
    expect(recorded[0]?.run.error?.message).toMatch(
      /^no \[secret\] x+ … \(\d+ characters left out\)$/,
    );
    expect(JSON.stringify(recorded[0]?.run).length).toBeLessThan(20_000);
  });

  it("records nothing when it is off, not even failures", async () => {
    const { recorded, end } = recording({ mode: "off" });
    end(await runOf("a"));
    end(await runOf("a", true));
    expect(recorded).toEqual([]);
  });

  it("records a share of the runs when it samples, and every failure", async () => {
    const { recorded, end } = recording({ mode: "sampled", sampleRate: 0 });
    end(await runOf("a"));
    end(await runOf("a", true));
    expect(recorded.map(({ run }) => run.status)).toEqual(["failed"]);
    const all = recording({ mode: "sampled", sampleRate: 1 });
    all.end(await runOf("a"));
    expect(all.recorded).toHaveLength(1);
  });
});
