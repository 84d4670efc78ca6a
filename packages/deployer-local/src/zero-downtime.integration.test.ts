import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { canonicalJson, isPipeline, MANIFEST_VERSION, servingSettingsSchema } from "@millrace/core";
import plugin from "@millrace/deployer-local";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { eventually, isRunning, supervisorPid, TestBed, type Wanted } from "./bed.fixture.ts";

let bed: TestBed;

beforeEach(async () => {
  bed = await TestBed.open(plugin);
});

afterEach(() => bed.close());

interface Question {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: string;
  readonly versionOf: (answer: unknown) => string;
}

/** Sends requests one after the other over kept-alive connections until stopped; never retries. */
class Load {
  readonly failures: string[] = [];
  readonly versions = new Map<string, number>();
  readonly #agent = new Agent({ keepAlive: true });
  readonly #url: string;
  readonly #question: Question;
  readonly #clients: Promise<void>[];
  #stopped = false;

  constructor(url: string | null, question: Question, clients: number) {
    this.#url = url ?? "";
    this.#question = question;
    this.#clients = Array.from({ length: clients }, () => this.#loop());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
    this.#agent.destroy();
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      try {
        const version = this.#question.versionOf(JSON.parse(await this.#send()));
        this.versions.set(version, (this.versions.get(version) ?? 0) + 1);
      } catch (error) {
        this.failures.push(String(error));
      }
    }
  }

  #send(): Promise<string> {
    const { method, path, body } = this.#question;
    return new Promise((resolve, reject) => {
      const sent = request(`${this.#url}${path}`, {
        method,
        agent: this.#agent,
        headers: body === undefined ? {} : { "content-type": "application/json" },
      });
      sent.once("error", reject);
      sent.once("response", (response) => {
        text(response).then((answer) => {
          if (response.statusCode === 200) resolve(answer);
          else reject(new Error(`status ${response.statusCode}: ${answer}`));
        }, reject);
      });
      sent.end(body);
    });
  }
}

async function update20Times(load: Load, wanted: (revision: string) => Wanted): Promise<void> {
  for (let i = 1; i <= 20; i++) {
    const revision = String(i);
    await bed.provision(wanted(revision));
    await eventually(() => (load.versions.get(revision) ?? 0) >= 20);
  }
  await load.stop();
  expect(load.failures).toEqual([]);
  expect(load.versions.size).toBe(21);
}

describe("with a runtime that only answers", () => {
  const question: Question = {
    method: "GET",
    path: "/slow?ms=3",
    versionOf: (answer) => z.object({ version: z.string() }).parse(answer).version,
  };

  test("20 updates under load lose no request", async () => {
    const { url } = await bed.provision({ revision: "0" });
    await update20Times(new Load(url, question, 16), (revision) => ({ revision }));
  });

  test("20 updates under load with two workers lose no request", async () => {
    const settings = { workers: 2 };
    const { url } = await bed.provision({ revision: "0", settings });
    await update20Times(new Load(url, question, 16), (revision) => ({ revision, settings }));
  });

  test("failed updates under load lose no request", async () => {
    const { url } = await bed.provision({ revision: "0" });
    const load = new Load(url, question, 16);
    for (const [revision, BEHAVIOUR = ""] of ["exit", "fail", "exit"].entries()) {
      const wanted = { revision: `failed-${revision}`, environment: { BEHAVIOUR } };
      expect((await bed.provision(wanted)).rollout?.phase).toBe("failed");
    }
    await load.stop();
    expect(load.failures).toEqual([]);
    expect([...load.versions.keys()]).toEqual(["0"]);
  });
});

describe("with the serving runtime", () => {
  const runtime = fileURLToPath(import.meta.resolve("@millrace/serving/runtime"));
  const question: Question = {
    method: "POST",
    path: "/invoke",
    body: JSON.stringify({ parameters: { waitMs: 2 } }),
    versionOf: (answer) =>
      z.object({ outputs: z.object({ answer: z.object({ version: z.string() }) }) }).parse(answer)
        .outputs.answer.version,
  };
  let snapshotId: string;

  beforeEach(async () => {
    snapshotId = await writeSnapshot(bed.directory);
  });

  function wanted(revision: string, environment: Record<string, string> = {}): Wanted {
    const {
      authKey: _key,
      generateAuthKey: _generate,
      ...serving
    } = servingSettingsSchema.parse({
      drainSeconds: 10,
    });
    const config = {
      deployment: { id: bed.target.id, name: "weather", project: "default", projectId: "1" },
      snapshot: { id: snapshotId, name: null },
      revision,
      serving,
      authKeyHash: null,
      store: null,
    };
    return {
      revision,
      runtime,
      environment: { VERSION: revision, MILLRACE_CONFIG: JSON.stringify(config), ...environment },
    };
  }

  test("20 updates under load lose no request", async () => {
    const { url } = await bed.provision(wanted("0"));
    await update20Times(new Load(url, question, 16), wanted);
  });

  test("what onInit throws is the error of the roll-out", async () => {
    const failed = await bed.provision(wanted("1", { BEHAVIOUR: "fail" }));
    expect(failed.state).toBe("failed");
    expect(failed.error?.message).toMatch(/no database/);
  });

  test("workers end when their supervisor is killed, and it comes back at the same URL", async () => {
    const before = await bed.provision(wanted("1"));
    const [worker] = z.array(z.object({ pid: z.int() })).parse(before.metadata["workers"]);
    process.kill(supervisorPid(before), "SIGKILL");
    await eventually(() => !isRunning(worker?.pid ?? 0));
    expect((await bed.provision(wanted("1"))).url).toBe(before.url);
    expect((await fetch(`${before.url}/health`)).status).toBe(200);
  });

  test("a connection that idles since before an update does not hold up the end", async () => {
    const { url } = await bed.provision(wanted("1"));
    const agent = new Agent({ keepAlive: true });
    const answered = await new Promise((resolve, reject) => {
      const sent = request(`${url}/health`, { agent }, (response) => {
        response.resume().once("end", () => resolve(response.statusCode));
      });
      sent.once("error", reject).end();
    });
    expect(answered).toBe(200);
    const closed = new Promise((resolve) => {
      for (const [socket] of Object.values(agent.freeSockets).map((idle = []) => idle)) {
        socket?.once("close", resolve);
      }
    });
    const updated = await bed.provision(wanted("2"));
    const draining = z
      .array(z.object({ state: z.string() }))
      .parse(updated.metadata["workers"])
      .filter(({ state }) => state === "draining");
    expect(draining).toHaveLength(1);
    // Without a hint that nobody comes after it, the old worker keeps the connection for its whole drain deadline.
    await Promise.all([bed.deprovision(), closed]);
    agent.destroy();
  }, 8000);

  test("requests in flight are answered before it goes", async () => {
    const { url } = await bed.provision(wanted("1"));
    const slow = fetch(`${url}/invoke`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ parameters: { waitMs: 500 } }),
    });
    await fetch(`${url}/health`);
    await bed.deprovision();
    expect((await slow).status).toBe(200);
  });
});

/** Writes what `millrace snapshot create` would, for the pipeline in `fixtures`; returns the snapshot's id. */
async function writeSnapshot(directory: string): Promise<string> {
  const module = new URL("../fixtures/pipeline.js", import.meta.url).href;
  const { default: pipeline } = await import(module);
  if (!isPipeline(pipeline)) throw new Error("the fixture is no pipeline");
  const { name, description, graph, inputSchema, outputSchema, secrets } = pipeline.compile();
  const manifest = canonicalJson({
    version: MANIFEST_VERSION,
    pipeline: {
      name,
      description: description ?? null,
      entry: "entry.mjs",
      export: "default",
      graph,
      inputSchema,
      outputSchema,
      secrets,
    },
    settings: { serving: {}, deployer: {} },
    files: {},
    externals: {},
    node: "22.18.0",
  });
  writeFileSync(join(directory, "manifest.json"), manifest);
  writeFileSync(
    join(directory, "entry.mjs"),
    `export { default } from ${JSON.stringify(module)};\n`,
  );
  return `sha256:${createHash("sha256")
    .update(readFileSync(join(directory, "manifest.json")))
    .digest("hex")}`;
}
