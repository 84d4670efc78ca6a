import { Agent, get } from "node:http";
import plugin from "@millrace/deployer-local";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TestBed } from "./test-bed.ts";

let bed: TestBed;

beforeEach(async () => {
  bed = await TestBed.open(plugin);
});

afterEach(() => bed.close());

/** Sends requests one after the other over kept-alive connections until stopped; never retries. */
class Load {
  readonly failures: string[] = [];
  readonly versions = new Set<string>();
  answered = 0;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16 });
  readonly #clients: Promise<void>[];
  #stopped = false;

  constructor(url: string, clients: number) {
    this.#clients = Array.from({ length: clients }, (_, i) => this.#loop(`${url}/slow?ms=${i}`));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
    this.#agent.destroy();
  }

  async #loop(url: string): Promise<void> {
    while (!this.#stopped) {
      try {
        this.versions.add(JSON.parse(await this.#fetch(url)).version);
        this.answered += 1;
      } catch (error) {
        this.failures.push(String(error));
      }
    }
  }

  #fetch(url: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const request = get(url, { agent: this.#agent }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("error", reject);
        response.once("end", () =>
          response.statusCode === 200
            ? resolve(Buffer.concat(chunks).toString())
            : reject(new Error(`status ${response.statusCode}`)),
        );
      });
      request.once("error", reject);
    });
  }
}

test("20 updates under load lose no request", async () => {
  const { url } = await bed.provision({ revision: "0" });
  const load = new Load(url ?? "", 16);
  for (let i = 1; i <= 20; i++) await bed.provision({ revision: String(i) });
  await load.stop();
  expect(load.failures).toEqual([]);
  expect(load.versions.size).toBeGreaterThan(15);
  expect(load.answered).toBeGreaterThan(100);
});

test("failed updates under load lose no request", async () => {
  const { url } = await bed.provision({ revision: "0", settings: { workers: 2 } });
  const load = new Load(url ?? "", 16);
  for (const BEHAVIOUR of ["exit", "fail", "exit"]) {
    const after = await bed.provision({
      revision: BEHAVIOUR,
      environment: { BEHAVIOUR },
      settings: { workers: 2 },
    });
    expect(after.rollout?.phase).toBe("failed");
  }
  await load.stop();
  expect(load.failures).toEqual([]);
  expect([...load.versions]).toEqual(["0"]);
});
