import { buffer } from "node:stream/consumers";
import { describe, expect, it, test } from "vitest";
import { engineDestination, enginePlatform, findImage } from "./engine-destination.ts";
import { CONTEXT, engineThatAnswers } from "./engine-server.fixture.ts";

const PLATFORM = { os: "linux", architecture: "arm64" } as const;

describe("the platform of images", () => {
  test.each(["amd64", "arm64"])("is the engine's own: %s", async (Arch) => {
    const { engine } = await engineThatAnswers({
      "GET /version": { ApiVersion: "1.48", Version: "28", Os: "linux", Arch },
    });
    expect(await enginePlatform(engine, undefined)).toEqual({ os: "linux", architecture: Arch });
  });

  it("is the one that the settings name", async () => {
    const { engine } = await engineThatAnswers({});
    expect(await enginePlatform(engine, "arm64")).toEqual(PLATFORM);
  });

  test.each([
    ["windows", "amd64"],
    ["linux", "s390x"],
  ])("is told when we make none for it: %s/%s", async (Os, Arch) => {
    const { engine } = await engineThatAnswers({
      "GET /version": { ApiVersion: "1.48", Version: "28", Os, Arch },
    });
    await expect(enginePlatform(engine, undefined)).rejects.toMatchObject({
      code: "ENGINE_UNSUPPORTED",
      class: "platform",
      message: expect.stringContaining(`${Os}/${Arch}`),
    });
  });
});

describe("an image of the engine", () => {
  it("is found with its platform, layers and settings", async () => {
    const { engine } = await engineThatAnswers({
      "GET /images/node:24/json": {
        Id: "sha256:c",
        RepoDigests: ["node@sha256:d"],
        Os: "linux",
        Architecture: "arm64",
        RootFS: { Type: "layers", Layers: ["sha256:a", "sha256:b"] },
        Config: { Env: ["A=1"] },
      },
    });
    expect(await findImage(engine, "node:24")).toEqual({
      ...PLATFORM,
      diffIds: ["sha256:a", "sha256:b"],
      config: { Env: ["A=1"] },
      content: null,
    });
  });

  it("comes with its manifest where the engine has containerd's image store", async () => {
    const { engine } = await engineThatAnswers({
      "GET /images/node:24/json": {
        Id: "sha256:d",
        RepoDigests: ["node@sha256:d"],
        Os: "linux",
        Architecture: "arm64",
        RootFS: { Type: "layers", Layers: ["sha256:a"] },
        Config: {},
      },
      "GET /images/node:24/get": (_asked, answer) => answer.end("the archive"),
    });
    const content = (await findImage(engine, "node:24"))?.content;
    if (content == null) throw new Error("It has no manifest.");
    expect(content.digest).toBe("sha256:d");
    expect((await buffer(content.save())).toString()).toBe("the archive");
  });

  it("may have no layers, and may not be there", async () => {
    const { engine } = await engineThatAnswers({
      "GET /images/empty/json": {
        Id: "sha256:e",
        Os: "linux",
        Architecture: "amd64",
        RootFS: {},
        Config: {},
      },
    });
    expect(await findImage(engine, "empty")).toMatchObject({ diffIds: [] });
    expect(await findImage(engine, "none")).toBeNull();
  });
});

async function* archive(): AsyncGenerator<Uint8Array> {
  for (let part = 0; part < 5; part++) yield Buffer.alloc(100_000, part);
}

describe("an image that is handed over", () => {
  it("arrives whole", async () => {
    let bytes = 0;
    const { access } = await engineThatAnswers({
      "POST /images/load": async (asked, answer) => {
        bytes = (await buffer(asked)).length;
        answer.end('{"stream":"Loaded image: x"}\n');
      },
    });
    await engineDestination(access).load("x", archive(), CONTEXT);
    expect(bytes).toBe(500_000);
  });

  it("fails with what the engine says in the end", async () => {
    const { access } = await engineThatAnswers({
      "POST /images/load": async (asked, answer) => {
        await buffer(asked);
        answer.end('{"error":"write /layer.tar: no space left on device"}\n');
      },
    });
    await expect(engineDestination(access).load("x", archive(), CONTEXT)).rejects.toMatchObject({
      code: "DISK_FULL",
      message: expect.stringContaining("load the image x"),
    });
  });

  it("fails when the engine took it in and cannot use it", async () => {
    const { access } = await engineThatAnswers({
      "POST /images/load": async (asked, answer) => {
        await buffer(asked);
        answer.write('{"stream":"Loaded image: x"}\n');
        answer.end('{"stream":"Error unpacking image x: content digest sha256:a: not found"}\n');
      },
    });
    await expect(engineDestination(access).load("x", archive(), CONTEXT)).rejects.toMatchObject({
      class: "platform",
      message: expect.stringContaining("Error unpacking image x"),
    });
  });

  test.each(["ENOENT", "EACCES"])(
    "fails with what its archive says when that cannot be read: %s",
    async (code) => {
      const { access } = await engineThatAnswers({
        "POST /images/load": (asked, answer) => {
          asked.resume();
          // Also in the midst of an answer that began well.
          answer.write('{"stream":"Loading"}\n');
        },
      });
      const unread = Object.assign(new Error(`${code}: open 'layer'`), { code });
      async function* broken(): AsyncGenerator<Uint8Array> {
        yield Buffer.alloc(100_000);
        throw unread;
      }
      await expect(engineDestination(access).load("x", broken(), CONTEXT)).rejects.toBe(unread);
    },
  );

  it("is read no further once the engine has refused it", async () => {
    const { access } = await engineThatAnswers({
      "POST /images/load": (asked, answer) => {
        asked.resume();
        answer.writeHead(400, { "content-type": "application/json", connection: "close" });
        answer.end('{"message":"this is no image"}');
      },
    });
    let ended = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield Buffer.alloc(65_536);
      } finally {
        ended = true;
      }
    }
    await expect(engineDestination(access).load("x", endless(), CONTEXT)).rejects.toMatchObject({
      class: "usage",
      message: expect.stringContaining("this is no image"),
    });
    await expect.poll(() => ended).toBe(true);
  });

  it("is built for the platform that is asked for, under its name", async () => {
    let query = new URLSearchParams();
    const { access } = await engineThatAnswers({
      "POST /build": async (asked, answer) => {
        query = new URL(asked.url ?? "", "http://engine").searchParams;
        await buffer(asked);
        answer.end('{"stream":"Successfully built"}\n');
      },
    });
    await engineDestination(access).build?.("base:1", archive(), PLATFORM, CONTEXT);
    expect(Object.fromEntries(query)).toMatchObject({ t: "base:1", platform: "linux/arm64" });
  });
});
