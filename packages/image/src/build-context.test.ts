import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { buildContext } from "./build-context.ts";
import { readTar } from "./read-tar.fixture.ts";
import { bytesOf, quiet, scratchFolder } from "./scratch.fixture.ts";

const scratch = scratchFolder();
let count = 0;

function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = join(scratch, String(++count));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

async function contentsOf(dockerfile: string): Promise<Record<string, string>> {
  const { open } = await buildContext(dockerfile, quiet.signal);
  const entries = await readTar(await bytesOf(open()));
  return Object.fromEntries(
    entries.flatMap(({ type, path, content }) => (type === "File" ? [[path, content]] : [])),
  );
}

test("holds the folder's files, without what .dockerignore names and what no build needs", async () => {
  const folder = folderWith({
    Dockerfile: "FROM node",
    ".dockerignore": "*.log\n!kept.log\nsecrets\n",
    "a.txt": "a",
    "deep/b.txt": "b",
    "x.log": "x",
    "kept.log": "kept",
    "secrets/key": "k",
    ".git/config": "g",
    ".millrace/millrace.db": "m",
    "node_modules/p/index.js": "p",
    "deep/node_modules/p/index.js": "p",
  });
  expect(await contentsOf(join(folder, "Dockerfile"))).toEqual({
    Dockerfile: "FROM node",
    ".dockerignore": "*.log\n!kept.log\nsecrets\n",
    "a.txt": "a",
    "deep/b.txt": "b",
    "kept.log": "kept",
  });
});

test("gives a Dockerfile of another name the one that engines look for", async () => {
  const folder = folderWith({ Dockerfile: "FROM other", "gpu.dockerfile": "FROM gpu" });
  expect(await contentsOf(join(folder, "gpu.dockerfile"))).toEqual({ Dockerfile: "FROM gpu" });
});

test("has another digest when a file differs, and the same when only its time does", async () => {
  const digestOf = async (text: string): Promise<string> => {
    const folder = folderWith({ Dockerfile: "FROM node", "a.txt": text });
    return (await buildContext(join(folder, "Dockerfile"), quiet.signal)).digest;
  };
  expect(await digestOf("1")).toBe(await digestOf("1"));
  expect(await digestOf("1")).not.toBe(await digestOf("2"));
});

test("says which Dockerfile cannot be read, and where its path comes from", async () => {
  const missing = join(folderWith({}), "Dockerfile");
  await expect(buildContext(missing, quiet.signal)).rejects.toMatchObject({
    code: "DOCKERFILE_UNREADABLE",
    message: `The Dockerfile ${missing} cannot be read.`,
  });
});
