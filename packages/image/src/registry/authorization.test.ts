import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { quiet } from "../scratch.fixture.ts";
import { type Connection, connect } from "./connection.ts";

/** A registry that lets in who shows the token `good`, with a token service that gives this answer. */
async function registryWithTokens(
  tokenAnswer: string,
  goesWrong: (response: ServerResponse) => boolean = () => false,
): Promise<Connection> {
  const server = createServer(({ url = "", headers }, response) => {
    const challenge = `Bearer realm="http://${headers.host}/token"`;
    if (url.startsWith("/token")) goesWrong(response) || response.end(tokenAnswer);
    else if (url === "/v2/" || headers.authorization === "Bearer good") response.end();
    else response.writeHead(401, { "www-authenticate": challenge }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const registry = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const credentials = null;
  const retry = { attempts: 2, firstDelayMs: 1 };
  return connect({
    name: { registry, repository: "x" },
    credentials,
    plainHttp: false,
    retry,
    context: quiet,
  });
}

function ask(registry: Connection): Promise<Response> {
  return registry.request({
    method: "GET",
    url: "/v2/x/y",
    what: "a question",
    scopes: ["repository:x:pull"],
    expected: [200],
  });
}

it.each([
  { token: "good" },
  { access_token: "good" },
  { token: "", access_token: "good" },
  { token: "good", access_token: null },
  { token: "good", expires_in: null, refresh_token: null },
])("a token is taken from the answer %j", async (answer) => {
  expect((await ask(await registryWithTokens(JSON.stringify(answer)))).status).toBe(200);
});

it.each([
  "{}",
  '{"token":"","access_token":null}',
  '{"token":7}',
  "good",
  JSON.stringify({ token: "good\nX: y" }),
  JSON.stringify({ token: "göod" }),
])(
  "an answer without a token that can be sent is the token service's fault, and not shown: %s",
  async (answer) => {
    const asking = ask(await registryWithTokens(answer));
    await expect(asking).rejects.toMatchObject({
      code: "REGISTRY_REFUSED",
      retryable: false,
      message: expect.stringMatching(
        /^The token service .* gave an answer without a token that can be sent\.$/,
      ),
    });
  },
);

it("a token that is cut off is asked for again", async () => {
  let cuts = 1;
  const registry = await registryWithTokens('{"token":"good"}', (response) => {
    if (cuts-- <= 0) return false;
    response
      .writeHead(200, { "content-length": "100" })
      .write('{"token"', () => response.destroy());
    return true;
  });
  expect((await ask(registry)).status).toBe(200);
});
