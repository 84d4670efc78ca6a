import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Deployer,
  type Flavor,
  type FoundDeployment,
  MillraceError,
  type Observation,
} from "@millrace/core";
import { describe, expect, it, onTestFinished } from "vitest";
import { capturingFlavor } from "./capturing-flavor.fixture.ts";
import type { Client } from "./client.ts";
import { connect } from "./connect.ts";

const weather: FoundDeployment = {
  id: "3f2a9c81-0000-7000-8000-000000000000",
  name: "weather",
  project: "default",
  resources: [{ kind: "container", name: "millrace-3f2a-service" }],
};
const absent: Observation = {
  state: "absent",
  url: null,
  serving: null,
  rollout: null,
  error: null,
  resources: [],
  metadata: {},
};

/** A client whose deployer `cloud` answers so. */
async function clientOf(calls: Partial<Deployer>): Promise<Client> {
  const root = await mkdtemp(join(tmpdir(), "millrace-orphans-"));
  onTestFinished(() => rm(root, { recursive: true }));
  const { flavor } = capturingFlavor("cloud");
  const create: Flavor["create"] = async (options) => ({
    ...(await flavor.create(options)),
    ...calls,
  });
  const client = await connect({
    directory: root,
    home: join(root, "home"),
    flavors: [{ ...flavor, create }],
    timing: { pollMs: 1, pollMaxMs: 1 },
  });
  onTestFinished(() => client.close());
  await client.deployers.register("cloud", "cloud");
  return client;
}

/** Answers only that it was cut off, in the words of the platform's own client. */
function hanging({ signal }: { readonly signal: AbortSignal }): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new DOMException("cut off", "AbortError")));
  });
}

/** Fails once in a way that waiting can mend. */
function throttledOnce<T>(answer: T): () => Promise<T> {
  let calls = 0;
  return async () => {
    calls += 1;
    if (calls > 1) return answer;
    throw new MillraceError({
      class: "unreachable",
      code: "THROTTLED",
      message: "There were too many calls.",
      retryable: true,
    });
  };
}

describe("orphans", () => {
  it("are looked for again when the platform can be asked again", async () => {
    const client = await clientOf({ discover: throttledOnce([weather]) });
    const messages: string[] = [];
    const found = await client.deployers.orphans("cloud", {
      onProgress: ({ message }) => void messages.push(message),
    });
    expect(found).toEqual([{ ...weather, deployer: "cloud" }]);
    expect(messages).toEqual(["There were too many calls. Trying again."]);
  });

  it("are given up at the deadline, which is no fault of Millrace", async () => {
    const client = await clientOf({ discover: hanging });
    await expect(client.deployers.orphans("cloud", { timeoutSeconds: 0.01 })).rejects.toMatchObject(
      { class: "timeout", code: "ORPHANS_TIMED_OUT", retryable: true },
    );
  });

  it("are given up when the caller says so, for the caller's reason", async () => {
    const client = await clientOf({ discover: hanging });
    const stop = new AbortController();
    const looking = client.deployers.orphans("cloud", { signal: stop.signal });
    stop.abort(new Error("stopped by hand"));
    await expect(looking).rejects.toThrow("stopped by hand");
  });

  it("are removed within the deadline, with further tries", async () => {
    const removing = { ...absent, state: "progressing" as const };
    const client = await clientOf({
      discover: async () => [weather],
      deprovision: throttledOnce(removing),
      inspect: throttledOnce(absent),
    });
    expect(await client.deployers.removeOrphan("cloud", weather.id)).toMatchObject(weather);
    const stuck = await clientOf({
      discover: async () => [weather],
      deprovision: (_target, context) => hanging(context),
    });
    await expect(
      stuck.deployers.removeOrphan("cloud", weather.id, { timeoutSeconds: 0.1 }),
    ).rejects.toMatchObject({ code: "ORPHANS_TIMED_OUT" });
  });
});
