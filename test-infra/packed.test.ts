import { spawnSync } from "node:child_process";
import {
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "millrace-packed-"));
const tarballs = join(folder, "tarballs");
const project = join(folder, "project");

function run(cwd: string, command: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" });
  expect(status, `${command} ${args.join(" ")}\n${stdout}${stderr}`).toBe(0);
  return stdout;
}

/** Our packages by name, as the files that would be published. */
function pack(): Record<string, string> {
  const names = globSync("packages/*/package.json", { cwd: root }).map((file) => {
    const { name } = JSON.parse(readFileSync(join(root, file), "utf8")) as {
      readonly name: string;
    };
    run(join(root, file, ".."), "pnpm", "pack", "--pack-destination", tarballs);
    return name;
  });
  const files = readdirSync(tarballs);
  return Object.fromEntries(
    names.map((name) => {
      const start = `${name.replace("@", "").replace("/", "-")}-0`;
      const file = files.find((candidate) => candidate.startsWith(start));
      return [name, `file:${join(tarballs, file ?? `${start} is missing`)}`];
    }),
  );
}

beforeAll(() => {
  mkdirSync(tarballs, { recursive: true });
  mkdirSync(project);
  const packed = pack();
  const { millrace = "", "@millrace/conformance": conformance = "" } = packed;
  writeFileSync(
    join(project, "package.json"),
    JSON.stringify({
      name: "first-user",
      private: true,
      type: "module",
      dependencies: { millrace, "@millrace/conformance": conformance, zod: "^4.6.0" },
      overrides: Object.fromEntries(
        Object.entries(packed).filter(
          ([name]) => name !== "millrace" && name !== "@millrace/conformance",
        ),
      ),
    }),
  );
  run(project, "npm", "install", "--no-audit", "--no-fund", "--loglevel=error");
}, 180_000);

afterAll(() => {
  spawnSync("npx", ["millrace", "deployment", "delete", "--all", "--yes", "--force"], {
    cwd: project,
  });
  rmSync(folder, { recursive: true, force: true });
});

describe("the packed packages, installed in a project outside of the repository", () => {
  it("take a new user from init to a deployment that answers", () => {
    run(project, "npx", "millrace", "init");
    run(project, "npx", "millrace", "deploy", "pipeline.ts", "--yes");
    expect(run(project, "npx", "millrace", "invoke", "hello", "--name", "Ada")).toContain(
      "Hello, Ada!",
    );
    expect(run(project, "npx", "millrace", "run", "list")).toMatch(/hello-[0-9a-f]{12}/);
  });

  it("leave nothing running when the deployment is deleted", () => {
    run(project, "npx", "millrace", "deployment", "delete", "hello", "--yes");
    expect(run(project, "npx", "millrace", "deployment", "list")).not.toContain("hello");
  });

  it("hold no tests, sources of tests or maps", () => {
    const held = readdirSync(tarballs).flatMap((file) =>
      run(tarballs, "tar", "tzf", file).split("\n"),
    );
    expect(held.filter((path) => /\.(test|fixture|suite)\.|\.map$/.test(path))).toEqual([]);
  });
});
