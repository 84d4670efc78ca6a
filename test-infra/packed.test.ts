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
import { commandsWith, writePackage, writeProject } from "./guide/guide.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "millrace-packed-"));
const tarballs = join(folder, "tarballs");
const project = join(folder, "project");
const plugin = join(folder, "millrace-deployer-plain");

const QUIETLY = ["--no-audit", "--no-fund", "--loglevel=error"];

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
  run(project, "npm", "install", ...QUIETLY);
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

/** Needs the project that the tests before have made. */
describe("a deployer that was written after docs/writing-a-deployer.md, outside of the repository", () => {
  beforeAll(() => {
    writePackage(plugin);
    const packed = readdirSync(tarballs).map((file) => join(tarballs, file));
    run(plugin, "npm", "install", "--no-save", ...QUIETLY, ...packed);
    run(plugin, "npm", "run", "build");
  }, 120_000);

  it("is published with nothing but what runs, and that is enough", () => {
    run(plugin, "npm", "pack", "--pack-destination", folder);
    const [tarball = ""] = globSync("millrace-deployer-plain-*.tgz", { cwd: folder });
    const held = run(folder, "tar", "tzf", tarball).trim().split("\n").sort();
    expect(held.filter((path) => !/^package\/dist\/[a-z-]+\.(js|d\.ts)$/.test(path))).toEqual([
      "package/package.json",
    ]);
    run(project, "npm", "install", ...QUIETLY, join(folder, tarball));
    writeProject(project);
    expect(run(project, "npx", "millrace", "deployer", "describe", "plain")).toContain("memoryMb");
  });

  it("is installed, registered in a stack config, and deploys what answers", () => {
    for (const command of commandsWith("npm install ../millrace-deployer-plain"))
      run(project, "sh", "-c", command);
    const said = commandsWith("npx millrace deployer flavors").map((command) => ({
      command,
      output: run(project, "sh", "-c", command),
    }));
    const saidBy = (word: string) =>
      said.find(({ command }) => command.includes(` ${word} `))?.output ?? "";
    expect(saidBy("plan")).toContain("create");
    expect(saidBy("invoke")).toContain("Hello, Ada!");
    expect(saidBy("logs")).toContain("The service is ready.");
    expect(saidBy("describe")).toMatch(/process +millrace-[0-9a-f]{12}/);
    expect(run(project, "npx", "millrace", "deployment", "list")).toContain("ABSENT");
  });

  it("passes the published suite", () => {
    const report = join(folder, "report.json");
    run(plugin, "npx", "millrace-conformance", "./plain.conformance.ts", "--json", report);
    const { summary } = JSON.parse(readFileSync(report, "utf8")) as {
      readonly summary: Readonly<Record<string, number>>;
    };
    expect(summary).toMatchObject({ failed: 0, expectedFailures: 0 });
    expect(summary["passed"]).toBeGreaterThan(100);
  }, 300_000);
});
