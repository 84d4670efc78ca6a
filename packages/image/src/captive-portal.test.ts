import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { pushImage } from "./push.ts";
import { quiet, scratchFolder } from "./scratch.fixture.ts";
import { imageOf } from "./small-image.fixture.ts";

const PAGE = "<html>Accept the terms of this network.</html>";
const folder = scratchFolder();

it.each([
  { says: "how long its page is", headers: { "content-length": String(PAGE.length) } },
  { says: "nothing of its page", headers: {} },
])(
  "what answers everything with a page is no registry that has the image: says $says",
  async ({ says, headers }) => {
    const server = createServer((request, response) => {
      request.resume();
      response.writeHead(200, headers).end(request.method === "HEAD" ? undefined : PAGE);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const cacheDirectory = join(folder, says);
    const pushing = pushImage(await imageOf(says, cacheDirectory), {
      ...quiet,
      repository: `127.0.0.1:${(server.address() as AddressInfo).port}/x`,
      tag: "1",
      credentials: null,
      cacheDirectory,
      retry: { attempts: 1, firstDelayMs: 1 },
    });
    await expect(pushing).rejects.toMatchObject({
      class: "platform",
      code: expect.stringMatching(/^(?:REGISTRY_REFUSED|BLOB_CORRUPT)$/),
    });
  },
);
