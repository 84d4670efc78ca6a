import { Agent, request } from "node:http";
import type { Client } from "millrace";
import type { Result } from "./results.ts";
import { PIPELINE } from "./servers.ts";

const BODY = JSON.stringify({ parameters: { value: 20 } });

/** Keeps sending on kept-alive connections until stopped; counts what was sent and what was lost. */
class Load {
  readonly #agent: Agent;
  readonly #url: URL;
  readonly #workers: Promise<void>[];
  #stopped = false;
  sent = 0;
  lost = 0;
  /** The first few losses, in words. */
  readonly losses: string[] = [];

  constructor(url: string, connections: number) {
    this.#url = new URL("/invoke", url);
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
    this.#workers = Array.from({ length: connections }, () => this.#work());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#workers);
    this.#agent.destroy();
  }

  async #work(): Promise<void> {
    while (!this.#stopped) {
      this.sent++;
      try {
        const status = await this.#send();
        if (status !== 200) this.#lose(`status ${status}`);
      } catch (error) {
        this.#lose(String(error));
      }
    }
  }

  #lose(what: string): void {
    this.lost++;
    if (this.losses.length < 3) this.losses.push(what);
  }

  #send(): Promise<number> {
    return new Promise((resolve, reject) => {
      const headers = { "content-type": "application/json", "content-length": BODY.length };
      const outgoing = request(
        this.#url,
        { agent: this.#agent, method: "POST", headers },
        (response) => {
          response.resume();
          response.once("end", () => resolve(response.statusCode ?? 0));
          response.once("error", reject);
        },
      );
      outgoing.once("error", reject);
      outgoing.end(BODY);
    });
  }
}

/** Requests lost while a deployment is updated again and again under load, on the given stack or the default one. */
export async function benchUpdates(
  client: Client,
  updates: number,
  { key, ...stack }: { readonly key: string; readonly stack?: string },
): Promise<Result> {
  const name = "updated";
  const deploy = (round: number) =>
    client.deploy(`${PIPELINE}#untracked`, {
      ...stack,
      name,
      environment: { ROUND: String(round) },
    });
  const { deployment } = await deploy(0);
  if (deployment.url === null) throw new Error("no URL");
  const load = new Load(deployment.url, 16);
  try {
    for (let i = 1; i <= updates; i++) await deploy(i);
  } finally {
    await load.stop();
    await client.deployments.delete(name);
  }
  return {
    key,
    value: load.lost,
    unit: "requests",
    budget: { atMost: 0 },
    detail: `of ${load.sent} in ${updates} updates${load.losses.length === 0 ? "" : `: ${load.losses.join(", ")}`}`,
  };
}
