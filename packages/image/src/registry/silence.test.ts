import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { connect } from "./connection.ts";
import { fetchOnce, type RegistryRequest } from "./request.ts";
import type { RetryPolicy } from "./retry.ts";

interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** A registry whose answers are what `serve` makes of them: none as long as it does nothing. */
async function registryThat(serve: (asked: Asked) => void): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    serve({ request, response });
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

function askOnce(host: string, method: RegistryRequest["method"], answerMs: number) {
  const { signal } = new AbortController();
  const about = { registry: host, signal, answerMs };
  return fetchOnce(new URL(`http://${host}/x`), asking(method), undefined, about);
}

it.each(["GET", "HEAD", "POST"] as const)(
  "a registry that takes a %s and says nothing is given up",
  async (method) => {
    const host = await registryThat(() => undefined);
    await expect(askOnce(host, method, 30)).rejects.toMatchObject({
      code: "REGISTRY_UNREACHABLE",
      retryable: true,
      message: `The registry ${host} gave no answer to a question: nothing came for 0.03 s.`,
    });
  },
);

it("a registry that says nothing at all is tried again, which is told", async () => {
  const said: string[] = [];
  const host = await registryThat(() => undefined);
  const retry = { attempts: 2, firstDelayMs: 1, answerMs: 30 };
  const registry = connectTo(host, retry, (line) => said.push(line));
  await expect(registry.request(asking("GET"))).rejects.toThrow("nothing came for 0.03 s");
  expect(said).toEqual([expect.stringContaining("nothing came for 0.03 s. Trying again")]);
});

it("an upload is waited for, longer than anything else is", async () => {
  const arrived = Promise.withResolvers<ServerResponse>();
  const host = await registryThat(({ request, response }) => {
    if (request.method === "PUT") arrived.resolve(response);
  });
  const uploading = askOnce(host, "PUT", 30);
  const upload = await arrived.promise;
  await expect(askOnce(host, "GET", 30)).rejects.toThrow("nothing came");
  upload.writeHead(200).end();
  expect((await uploading).status).toBe(200);
});

it("an answer that has begun may take its time", async () => {
  let begun: ServerResponse | undefined;
  const host = await registryThat(({ request, response }) => {
    if (request.method !== "GET") return;
    begun = response;
    response.writeHead(200).write("one ");
  });
  const answer = await askOnce(host, "GET", 1000);
  await expect(askOnce(host, "HEAD", 1000)).rejects.toThrow("nothing came");
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
  const host = await registryThat(({ request, response }) => {
    if (request.url !== "/v2/") tries++;
    response.writeHead(request.url === "/v2/" ? 200 : 503).end();
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
