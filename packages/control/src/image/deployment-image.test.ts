import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ImageSettings,
  imageSettingsSchema,
  MillraceError,
  type ReadContext,
  Secret,
} from "@millrace/core";
import type { ArchivedImage } from "@millrace/image";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { systemClock } from "../lifecycle/clock.ts";
import { findBase, handOver, libcOf, loginForBase } from "./deployment-image.ts";

const settings = (parts: Partial<ImageSettings>): ImageSettings => imageSettingsSchema.parse(parts);

it.each<[Partial<ImageSettings>, string]>([
  [{}, "glibc"],
  [{ base: "node:24-bookworm" }, "glibc"],
  [{ base: "node:24-alpine" }, "musl"],
  [{ base: "registry.example.com/team/Alpine-node@sha256:aaaa" }, "musl"],
  [{ base: "node:24-alpine", libc: "glibc" }, "glibc"],
  [{ base: "team/node:1", libc: "musl" }, "musl"],
  [{ dockerfile: "Dockerfile" }, "glibc"],
  [{ base: "node:24-alpine", dockerfile: "Dockerfile" }, "glibc"],
  [{ dockerfile: "Dockerfile", libc: "musl" }, "musl"],
])("packages with native code for %j are those for %s", (image, libc) => {
  expect(libcOf(settings(image))).toBe(libc);
});

it.each<[string, boolean]>([
  ["registry.example.com/base:1", true],
  ["registry.example.com:5000/base:1", false],
  ["registry.example.com.evil.example/base:1", false],
  ["node:24-slim", false],
])("the deployer's login is used for the base %s: %s", async (base, used) => {
  const credentials = { username: "ada", password: new Secret("secret") };
  const repository = "registry.example.com/team/app";
  const login = await loginForBase(base, { kind: "registry", repository, credentials });
  expect(login).toBe(used ? credentials : null);
});

it("a registry that fails is asked for the base until the operation has no time left, and is named then", async () => {
  // No pauses.
  vi.spyOn(Math, "random").mockReturnValue(0);
  const home = mkdtempSync(join(tmpdir(), "millrace-base-"));
  let asked = 0;
  const registry = createServer(({ url }, response) => {
    if (url !== "/v2/") asked++;
    response.writeHead(url === "/v2/" ? 200 : 503).end();
  });
  await new Promise<void>((resolve) => registry.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    vi.restoreAllMocks();
    registry.closeAllConnections();
    registry.close();
    rmSync(home, { recursive: true });
  });
  const host = `127.0.0.1:${(registry.address() as AddressInfo).port}`;
  const operation = new AbortController();
  const looking = findBase(
    { directory: home, home, envFile: join(home, ".env"), secretFile: join(home, "secrets.json") },
    {
      image: settings({ base: `${host}/base:1` }),
      platform: { os: "linux", architecture: "amd64" },
      destination: { kind: "registry", repository: `${host}/app`, credentials: null },
    },
    {
      signal: operation.signal,
      clock: systemClock,
      progress: () => asked === 10 && operation.abort(),
    },
  );
  await expect(looking).rejects.toMatchObject({
    code: "REGISTRY_FAILED",
    message: expect.stringContaining(host),
  });
  expect(asked).toBe(10);
});

describe("an image that is handed to an engine", () => {
  const digestOf = (name: string) =>
    `sha256:${Buffer.from(name).toString("hex").padStart(64, "0")}`;
  const context: ReadContext = {
    signal: new AbortController().signal,
    clock: systemClock,
    progress: () => undefined,
  };

  /** Hands over base, runtime and code to an engine that has some of it; gives what was sent each time. */
  async function sentTo(engineHas: readonly string[], baseIsHere: boolean): Promise<string[][]> {
    const sent: string[][] = [];
    const layers = ["base", "runtime", "code"].map((name) => ({
      name,
      diffId: digestOf(`diff ${name}`),
      blob:
        name === "base" && !baseIsHere
          ? null
          : {
              digest: digestOf(name),
              size: 1,
              mediaType: "application/vnd.oci.image.layer.v1.tar",
              from: null,
              async *open() {
                sent.at(-1)?.push(name);
                yield Buffer.from("x");
              },
            },
    }));
    const image: ArchivedImage = {
      platform: { os: "linux", architecture: "amd64" },
      layers,
      config: { digest: digestOf("config"), bytes: Buffer.from("{}") },
      manifest: null,
    };
    const load = async (_reference: string, archive: AsyncIterable<Uint8Array>) => {
      sent.push([]);
      for await (const _chunk of archive);
      const there = [...engineHas, ...(sent.at(-1) ?? [])];
      if (layers.some(({ name }) => !there.includes(name)))
        throw new MillraceError({ class: "platform", code: "X", message: "A layer is missing." });
    };
    await handOver(image, { load }, "app:1", context);
    return sent;
  }

  it.each([
    { has: ["base", "runtime"], baseIsHere: false, sent: [["code"]] },
    { has: ["base"], baseIsHere: false, sent: [["code"], ["runtime", "code"]] },
    { has: ["base"], baseIsHere: true, sent: [["code"], ["runtime", "code"]] },
    {
      has: [],
      baseIsHere: true,
      sent: [["code"], ["runtime", "code"], ["base", "runtime", "code"]],
    },
  ])("is sent as little as it takes: %j", async ({ has, baseIsHere, sent }) => {
    expect(await sentTo(has, baseIsHere)).toEqual(sent);
  });

  it("fails when the engine lacks what only it had", async () => {
    await expect(sentTo([], false)).rejects.toMatchObject({ code: "X" });
  });
});
