import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CLAUSES } from "@millrace/conformance";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../docs/generated.ts";
import { clausesNamed, sampleLines, withoutSeconds, writePackage } from "./guide.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-guide-"));

function run(command: string, ...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, encoding: "utf8" });
  return { status, stdout, said: `${command} ${args.join(" ")}\n${stdout}${stderr}` };
}

function build(): void {
  const { status, said } = run("npm", "run", "build");
  expect(status, said).toBe(0);
}

function runSuite(only: string) {
  return run("npx", "millrace-conformance", "./plain.conformance.ts", "--only", only);
}

beforeAll(() => {
  writePackage(folder);
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  build();
}, 60_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the guide to writing a deployer", () => {
  it("names no clause that the contract does not have", () => {
    expect(CLAUSES.map(({ id }) => id)).toEqual(expect.arrayContaining([...clausesNamed()]));
  });

  it("leads to a package that passes the clauses to begin with, and prints what the guide shows", () => {
    const { status, stdout, said } = runSuite("OBS-01,PROV-01,DEPR-01");
    expect(status, said).toBe(0);
    expect(stdout.split("\n").map(withoutSeconds)).toEqual(
      expect.arrayContaining([...sampleLines("✓")]),
    );
  });

  it("takes out one line, and the suite names the clause that the guide says", () => {
    const file = join(folder, "src/deployer.ts");
    const right = readFileSync(file, "utf8");
    const wrong = right.replace("    await journal.intend(processOf(place));\n", "");
    expect(wrong).not.toBe(right);
    writeFileSync(file, wrong);
    build();
    const { status, stdout } = runSuite("JOUR-01");
    expect(status).toBe(1);
    expect(stdout.split("\n")).toEqual(expect.arrayContaining([...sampleLines("✗")]));
  });
});
