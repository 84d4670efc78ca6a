import { strict as assert } from "node:assert";
import { setTimeout as sleep } from "node:timers/promises";
import { at, type Bench } from "../bench.ts";

const CLIENTS = 4;
/** How long a client that was not answered waits before it calls again. */
const PAUSE_MS = 20;

/** Calls the service without a pause until it is stopped, and says what was lost. */
class Load {
  readonly #url: URL;
  readonly #clients: Promise<void>[];
  #stopped = false;
  readonly lost: string[] = [];
  answered = 0;

  constructor(url: string, clients: number) {
    this.#url = at(url, "invoke");
    this.#clients = Array.from({ length: clients }, () => this.#call());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }

  async #call(): Promise<void> {
    while (!this.#stopped) {
      const lost = this.lost.length;
      try {
        const response = await fetch(this.#url, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ parameters: { sleepMs: 2 } }),
        });
        const text = await response.text();
        if (response.status === 200) this.answered++;
        else this.lost.push(`${response.status} ${text.slice(0, 120)}`);
      } catch (error) {
        this.lost.push(`${error instanceof Error ? (error.cause ?? error) : error}`);
      }
      if (this.lost.length > lost) await sleep(PAUSE_MS);
    }
  }
}

/** Does something while clients call the service, once they do. */
export async function withLoad(
  bench: Bench,
  url: string | null,
  work: () => Promise<void>,
): Promise<Load> {
  assert.ok(url !== null);
  const load = new Load(url, CLIENTS);
  try {
    await bench.until(
      "the load is answered",
      async () => load.answered + load.lost.length,
      (count) => count > 10,
    );
    await work();
  } finally {
    await load.stop();
  }
  return load;
}

/** Does something while many clients wait for a service that does not answer, and call it again and again. */
export async function withCallers(
  url: string | null,
  callers: number,
  work: () => Promise<void>,
): Promise<void> {
  assert.ok(url !== null);
  const load = new Load(url, callers);
  try {
    await work();
  } finally {
    await load.stop();
  }
}
