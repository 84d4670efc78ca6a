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

async function contentsOf(
  dockerfile: string,
  secrets: readonly string[] = [],
): Promise<Record<string, string>> {
  const { open } = await buildContext(dockerfile, quiet.signal, secrets);
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

test("holds no file that Millrace reads secrets from, unless .dockerignore brings it back", async () => {
  const files = {
    Dockerfile: "FROM node",
    ".env": "TOKEN=hunter2",
    "deep/.env": "TOKEN=hunter2",
    "conf/pa(ss)*.txt": "TOKEN=hunter2",
    "conf/pass.txt": "a",
    "state/secrets.json": "hunter2",
    ".env.example": "TOKEN=",
  };
  const folder = folderWith(files);
  const secrets = ["conf/pa(ss)*.txt", "state", "../elsewhere"].map((path) => join(folder, path));
  expect(await contentsOf(join(folder, "Dockerfile"), secrets)).toEqual({
    Dockerfile: "FROM node",
    "conf/pass.txt": "a",
    ".env.example": "TOKEN=",
  });
  const wanting = folderWith({ ...files, ".dockerignore": "conf\n!deep/.env\n" });
  expect(Object.keys(await contentsOf(join(wanting, "Dockerfile"))).sort()).toEqual([
    ".dockerignore",
    ".env.example",
    "Dockerfile",
    "deep/.env",
    "state/secrets.json",
  ]);
});

test("heeds the list of a Dockerfile's own in place of .dockerignore", async () => {
  const folder = folderWith({
    "Prod.Dockerfile": "FROM node",
    "Prod.Dockerfile.dockerignore": "key\n*.dockerignore\n.dockerignore\n",
    ".dockerignore": "a.txt\n",
    "a.txt": "a",
    key: "k",
  });
  expect(await contentsOf(join(folder, "Prod.Dockerfile"))).toEqual({
    Dockerfile: "FROM node",
    "a.txt": "a",
  });
});

test("takes the characters of a pattern as Docker does", async () => {
  const folder = folderWith({
    Dockerfile: "FROM node",
    ".dockerignore": "\uFEFFc++\napp/(auth)\n{x}|y\n",
    "c++/a": "a",
    "app/(auth)/a": "a",
    "{x}|y": "a",
  });
  expect(Object.keys(await contentsOf(join(folder, "Dockerfile")))).toEqual([
    ".dockerignore",
    "Dockerfile",
  ]);
});

test("keeps folders that have nothing in them", async () => {
  const folder = folderWith({ Dockerfile: "FROM node", ".dockerignore": "left\nlogs/*\n" });
  for (const path of ["empty/inner", "left", "logs"])
    mkdirSync(join(folder, path), { recursive: true });
  writeFileSync(join(folder, "logs/x"), "x");
  const before = await buildContext(join(folder, "Dockerfile"), quiet.signal);
  const entries = await readTar(await bytesOf(before.open()));
  expect(entries.map(({ path }) => path)).toEqual([
    ".dockerignore",
    "Dockerfile",
    "empty/",
    "empty/inner/",
    "logs/",
  ]);
  mkdirSync(join(folder, "another"));
  const after = await buildContext(join(folder, "Dockerfile"), quiet.signal);
  expect(after.digest).not.toBe(before.digest);
});

test("says which pattern is none, and when the list is no file", async () => {
  const folder = folderWith({ Dockerfile: "FROM node", ".dockerignore": "a\n[a\n" });
  await expect(contentsOf(join(folder, "Dockerfile"))).rejects.toMatchObject({
    code: "DOCKERIGNORE_INVALID",
    message: `${join(folder, ".dockerignore")} cannot be used: "[a" is no pattern.`,
  });
  const listless = folderWith({ Dockerfile: "FROM node", ".dockerignore/a": "a" });
  await expect(contentsOf(join(listless, "Dockerfile"))).rejects.toMatchObject({
    code: "DOCKERIGNORE_INVALID",
    message: expect.stringContaining("EISDIR"),
  });
});
