import {
  chmodSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AssembleRequest, assembleImage } from "./assemble.ts";
import { sha256 } from "./digest.ts";
import { filesIn, type LayerFile } from "./files.ts";
import type { Image } from "./image.ts";
import { readTar } from "./read-tar.fixture.ts";
import { bytesOf, EMPTY_BASE, quiet, scratchFolder, text } from "./scratch.fixture.ts";

const folder = scratchFolder();
let caches = 0;
const { signal } = quiet;

function request(
  files: readonly LayerFile[],
  over: Partial<AssembleRequest> = {},
): AssembleRequest {
  return {
    base: EMPTY_BASE,
    layers: [{ name: "code", files }],
    config: {
      entrypoint: ["/usr/bin/node", "/app/server.js"],
      workingDirectory: "/app",
      port: 8080,
      environment: { MODE: "production" },
      labels: { "org.opencontainers.image.title": "weather" },
    },
    cacheDirectory: join(folder, `cache-${caches++}`),
    signal,
    ...over,
  };
}

/** The lowest layer's bytes. */
async function layerBytes(image: Image | undefined, start?: number): Promise<Buffer> {
  const blob = image?.layers[0]?.blob;
  if (blob === undefined || blob === null) throw new Error("The image has no layer.");
  return bytesOf(blob.open(start));
}

const SOURCES: readonly LayerFile[] = [
  { path: "/app/server.js", content: text("console.log(1);\n") },
  { path: "app/bin/tool", content: text("#!/bin/sh\n"), executable: true },
  { path: "app/link", link: "bin/tool" },
];

describe("a layer", () => {
  it("holds the files, the folders before them, and nothing of the machine that made it", async () => {
    const image = await assembleImage(request(SOURCES));
    const fixed = { uid: 0, gid: 0, seconds: 1, link: "", content: "" };
    expect(await readTar(await layerBytes(image))).toEqual([
      { ...fixed, path: "app/", type: "Directory", mode: 0o755 },
      { ...fixed, path: "app/bin/", type: "Directory", mode: 0o755 },
      { ...fixed, path: "app/bin/tool", type: "File", mode: 0o755, content: "#!/bin/sh\n" },
      { ...fixed, path: "app/link", type: "SymbolicLink", mode: 0o777, link: "bin/tool" },
      { ...fixed, path: "app/server.js", type: "File", mode: 0o644, content: "console.log(1);\n" },
    ]);
  });

  it("has digests and sizes that are those of its bytes", async () => {
    const image = await assembleImage(request(SOURCES));
    const bytes = await layerBytes(image);
    const [layer] = image.layers;
    expect(layer?.blob).toMatchObject({ digest: sha256(bytes), size: bytes.length });
    expect(layer?.diffId).toBe(sha256(gunzipSync(bytes)));
  });

  it("can be read from any place on", async () => {
    const image = await assembleImage(request(SOURCES));
    expect(await layerBytes(image, 100)).toEqual((await layerBytes(image)).subarray(100));
  });

  it("comes back whole from another implementation of tar, whatever its files are called and hold", async () => {
    const name = fc.oneof(
      fc.stringMatching(/^[a-zA-Z0-9 _-][a-zA-Z0-9 ._-]{0,30}$/),
      fc.stringMatching(/^[a-z]{90,140}$/),
      fc
        .string({ unit: "grapheme", minLength: 1, maxLength: 30 })
        .filter((text) => !/[/\0\\]|^\.+$/.test(text) && text.isWellFormed()),
    );
    const path = fc
      .array(name, { minLength: 1, maxLength: 4 })
      .map((parts) => `r/${parts.join("/")}/f`);
    const file = fc.record({
      path,
      content: fc.uint8Array({ maxLength: 2000 }),
      executable: fc.boolean(),
    });
    const files = fc.uniqueArray(file, { selector: ({ path }) => path, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(files, async (files) => {
        const image = await assembleImage(request(files));
        const read = files.length === 0 ? [] : await readTar(await layerBytes(image));
        const found = read
          .filter(({ type }) => type === "File")
          .map(({ path, mode, content }) => [path, mode, content]);
        const expected = files
          .map(({ path, content, executable }) => [
            path,
            executable ? 0o755 : 0o644,
            Buffer.from(content).toString("latin1"),
          ])
          .sort(([a = ""], [b = ""]) => (a < b ? -1 : 1));
        expect(found).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  });

  it("is made of a folder, by what is in it and not by when or by whom it was written", async () => {
    const made = ["one", "two"].map((name, index) => {
      const root = join(folder, name);
      mkdirSync(join(root, "lib"), { recursive: true });
      writeFileSync(join(root, "lib/a.js"), "a");
      writeFileSync(join(root, "run"), "b");
      chmodSync(join(root, "run"), index === 0 ? 0o700 : 0o755);
      symlinkSync("lib/a.js", join(root, "alias"));
      utimesSync(join(root, "run"), index + 1, index + 1);
      return root;
    });
    const images = await Promise.all(
      made.map(async (root) => assembleImage(request(await filesIn(root, "/app")))),
    );
    expect(images[0]?.manifest?.digest).toBe(images[1]?.manifest?.digest);
    const entries = await readTar(await layerBytes(images[0]));
    expect(entries.map(({ path, mode }) => [path, mode])).toEqual([
      ["app/", 0o755],
      ["app/alias", 0o777],
      ["app/lib/", 0o755],
      ["app/lib/a.js", 0o644],
      ["app/run", 0o755],
    ]);
  });

  it("does not take sockets", async () => {
    const root = join(folder, "socket");
    mkdirSync(root);
    const server = createServer().listen(join(root, "s"));
    await new Promise((resolve) => server.once("listening", resolve));
    try {
      await expect(filesIn(root, "app")).rejects.toMatchObject({ code: "LAYER_FILE_REFUSED" });
    } finally {
      server.close();
    }
  });

  it.each([["../outside"], ["/etc/passwd"]])("does not take a link to %s", async (target) => {
    const root = join(folder, `link-${sha256(target).slice(-8)}`);
    mkdirSync(root);
    symlinkSync(target, join(root, "l"));
    await expect(filesIn(root, "app")).rejects.toThrow("not in the folder");
  });

  it.each([
    ["../x", "leaves the image's root"],
    ["a/../../x", "leaves the image's root"],
    ["/", "leaves the image's root"],
  ])("does not take the path %s", async (path, why) => {
    const made = assembleImage(request([{ path, content: text("x") }]));
    await expect(made).rejects.toThrow(why);
  });

  it("does not take two files at one path", async () => {
    const twice = ["a/b", "/a/./b"].map((path) => ({ path, content: text(path) }));
    await expect(assembleImage(request(twice))).rejects.toThrow("two files");
  });

  it("does not take a file where others have their folder", async () => {
    const clash = ["a", "a/b"].map((path) => ({ path, content: text(path) }));
    await expect(assembleImage(request(clash))).rejects.toThrow("a file and a folder");
  });

  it("is not made again of content that was seen before", async () => {
    const file = join(folder, "seen.js");
    writeFileSync(file, "x".repeat(1000));
    const first = request([{ path: "app/a.js", file }]);
    const before = await assembleImage(first);
    const { cacheDirectory } = first;
    const after = await assembleImage(request([{ path: "app/a.js", file }], { cacheDirectory }));
    expect(after.manifest?.digest).toBe(before.manifest?.digest);
    writeFileSync(file, "y".repeat(1000));
    const changed = await assembleImage(request([{ path: "app/a.js", file }], { cacheDirectory }));
    expect(changed.layers[0]?.diffId).not.toBe(before.layers[0]?.diffId);
  });

  it("is made again when the cache was damaged", async () => {
    const first = request(SOURCES);
    const image = await assembleImage(first);
    const digest = image.layers[0]?.blob?.digest ?? "";
    const file = join(first.cacheDirectory, "blobs", digest.replace(":", "/"));
    const good = readFileSync(file);
    writeFileSync(file, Buffer.alloc(good.length, 1));
    await expect(layerBytes(image)).rejects.toMatchObject({ code: "IMAGE_CACHE_DAMAGED" });
    expect(await layerBytes(await assembleImage(first))).toEqual(good);
  });

  it("is made again when the cache was deleted meanwhile", async () => {
    const first = request(SOURCES);
    const image = await assembleImage(first);
    const good = await layerBytes(image);
    rmSync(first.cacheDirectory, { recursive: true });
    await expect(layerBytes(image)).rejects.toMatchObject({ code: "IMAGE_CACHE_UNREADABLE" });
    expect(await layerBytes(await assembleImage(first))).toEqual(good);
  });

  it("is not made once its maker has been told to stop", async () => {
    const stop = AbortSignal.abort(new Error("enough"));
    await expect(assembleImage(request(SOURCES, { signal: stop }))).rejects.toThrow("enough");
  });

  it("is made by several at once with one cache", async () => {
    const cacheDirectory = join(folder, "shared");
    const files = [{ path: "big", content: Buffer.alloc(3_000_000, "z") }];
    const made = await Promise.all(
      Array.from({ length: 5 }, () => assembleImage(request(files, { cacheDirectory }))),
    );
    expect(new Set(made.map(({ manifest }) => manifest?.digest)).size).toBe(1);
    const bytes = await layerBytes(made[0]);
    expect(sha256(bytes)).toBe(made[0]?.layers[0]?.blob?.digest);
  });
});

describe("an image", () => {
  it("has the same digests on every machine and with every Node", async () => {
    const image = await assembleImage(request(SOURCES));
    expect({
      layer: image.layers[0]?.blob?.digest,
      diffId: image.layers[0]?.diffId,
      config: image.config.digest,
      manifest: image.manifest?.digest,
    }).toMatchInlineSnapshot(`
      {
        "config": "sha256:228b6f671cfad3b07c8e737cacc89c2201978bf6c1bf2fd4df42191e72cac3bd",
        "diffId": "sha256:74dc5de67f7e0f932a18a36549e4779923e73ca351316f6e3f85a3e7d16f93b9",
        "layer": "sha256:e6fd9dfc7f0293df2bbb1e4b908f412175b0c60590276b283f6d91c156221f6b",
        "manifest": "sha256:b6c6d323bfb79905b89572e1d7feb537fca6c810f62e8cab535b161a99e99088",
      }
    `);
  });

  it("runs as a user without rights, without a shell, and says what it is made of", async () => {
    const base = {
      ...EMPTY_BASE,
      digest: `sha256:${"a".repeat(64)}`,
      config: {
        User: "root",
        Env: ["PATH=/usr/bin", "MODE=debug", "NODE_VERSION=24"],
        Cmd: ["node"],
        Healthcheck: { Test: ["CMD", "true"] },
        Labels: { maker: "someone", "org.opencontainers.image.title": "base" },
        StopSignal: "SIGTERM",
      },
    };
    const { config } = await assembleImage(request(SOURCES, { base }));
    const document: unknown = JSON.parse(new TextDecoder().decode(config.bytes));
    expect(document).toMatchObject({ os: "linux", architecture: "amd64" });
    expect((document as { config: unknown }).config).toEqual({
      User: "1000:1000",
      Entrypoint: ["/usr/bin/node", "/app/server.js"],
      Env: ["PATH=/usr/bin", "NODE_VERSION=24", "MODE=production"],
      ExposedPorts: { "8080/tcp": {} },
      WorkingDir: "/app",
      StopSignal: "SIGTERM",
      Labels: {
        maker: "someone",
        "org.opencontainers.image.base.digest": base.digest,
        "org.opencontainers.image.base.name": base.reference,
        "org.opencontainers.image.title": "weather",
      },
    });
  });

  it("has no layer for no files, and its layers in the order given", async () => {
    const image = await assembleImage(
      request([], {
        layers: [
          { name: "runtime", files: [{ path: "r", content: text("r") }] },
          { name: "dependencies", files: [] },
          { name: "code", files: [{ path: "c", content: text("c") }] },
        ],
      }),
    );
    expect(image.layers.map(({ name }) => name)).toEqual(["runtime", "code"]);
  });
});
