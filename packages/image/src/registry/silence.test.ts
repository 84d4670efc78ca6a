import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { connect } from "./connection.ts";
import type { RegistryRequest } from "./request.ts";
import type { RetryPolicy } from "./retry.ts";

interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** A registry whose answers are what `serve` makes of them: none as long as it does nothing. */
async function registryThat(serve: (asked: Asked) => void): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    if (request.url === "/v2/") response.end();
    else serve({ request, response });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function connectTo(
  registry: string,
  retry: RetryPolicy,
  progress: (message: string) => void = () => undefined,
  { signal } = new AbortController(),
) {
  const context = { signal, progress };
  return connect({
    name: { registry, repository: "x" },
    credentials: null,
    plainHttp: false,
    retry,
    context,
  });
}

function asking(method: RegistryRequest["method"]): RegistryRequest {
  const body = method === "PUT" ? { body: Buffer.from("x") } : {};
  return { method, url: "/v2/x/y", what: "a question", scopes: [], expected: [200], ...body };
}

it.each(["GET", "HEAD", "POST"] as const)(
  "a registry that takes a %s and says nothing is given up, which is told, and tried again",
  async (method) => {
    const said: string[] = [];
    const host = await registryThat(() => undefined);
    const registry = connectTo(host, { attempts: 2, firstDelayMs: 1, answerMs: 30 }, (line) =>
      said.push(line),
    );
    await expect(registry.request(asking(method))).rejects.toMatchObject({
      code: "REGISTRY_UNREACHABLE",
      retryable: true,
      message: `The registry ${host} gave no answer to a question: nothing came for 0.03 s.`,
    });
    expect(said).toEqual([expect.stringContaining("nothing came for 0.03 s. Trying again")]);
  },
);

it("an upload is waited for, longer than anything else is", async () => {
  const arrived = Promise.withResolvers<void>();
  let upload: ServerResponse | undefined;
  const host = await registryThat(({ request, response }) => {
    if (request.method !== "PUT") return;
    upload = response;
    arrived.resolve();
  });
  const registry = connectTo(host, { attempts: 1, firstDelayMs: 1, answerMs: 30 });
  const uploading = registry.request(asking("PUT"));
  await arrived.promise;
  await expect(registry.request(asking("GET"))).rejects.toThrow("nothing came");
  upload?.writeHead(200).end();
  expect((await uploading).status).toBe(200);
});

it("an answer that has begun may take its time", async () => {
  let begun: ServerResponse | undefined;
  const host = await registryThat(({ request, response }) => {
    if (request.method !== "GET") return;
    begun = response;
    response.writeHead(200).write("one ");
  });
  const registry = connectTo(host, { attempts: 1, firstDelayMs: 1, answerMs: 30 });
  const answer = await registry.request(asking("GET"));
  await expect(registry.request(asking("HEAD"))).rejects.toThrow("nothing came");
  begun?.end("two");
  expect(await answer.text()).toBe("one two");
});

it("an address that this machine asks nothing of is not asked again", async () => {
  const said: string[] = [];
  // Browsers and fetch keep away from the port of X11.
  const registry = connectTo("127.0.0.1:6000", { attempts: 3, firstDelayMs: 1 }, (line) =>
    said.push(line),
  );
  await expect(registry.request(asking("GET"))).rejects.toMatchObject({
    code: "REGISTRY_UNREACHABLE",
    retryable: false,
    message: expect.stringContaining("bad port"),
  });
  expect(said).toEqual([]);
});

it("tries that only a signal ends fail with what went wrong, and not with the signal", async () => {
  const stop = new AbortController();
  let tries = 0;
  const host = await registryThat(({ response }) => {
    tries++;
    response.writeHead(503).end();
  });
  const until = { attempts: Number.POSITIVE_INFINITY, firstDelayMs: 0 };
  const progress = () => tries === 12 && stop.abort(new Error("no time left"));
  const registry = connectTo(host, until, progress, stop);
  await expect(registry.request(asking("GET"))).rejects.toMatchObject({
    code: "REGISTRY_FAILED",
    retryable: true,
  });
  expect(tries).toBe(12);
});
