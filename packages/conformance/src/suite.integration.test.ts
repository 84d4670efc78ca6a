import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { judgeWrongDeployers } from "@millrace/conformance/wrong";
import { afterAll, expect, test } from "vitest";

const COMMAND = fileURLToPath(new URL("../bin/millrace-conformance.js", import.meta.url));
const HARNESS = harnessOf("fake");
const folder = mkdtempSync(join(tmpdir(), "millrace-conformance-test-"));

afterAll(() => rmSync(folder, { recursive: true }));

function harnessOf(name: string): string {
  return fileURLToPath(new URL(`../dist/fake/${name}.conformance.js`, import.meta.url));
}

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [COMMAND, ...args],
      { maxBuffer: 16 * 1024 * 1024 },
      (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === "number" ? error.code : 0, stdout, stderr });
      },
    );
  });
}

test("the reference deployer passes every check that binds it", async () => {
  const { code, stdout, stderr } = await run(
    HARNESS,
    "--json",
    "-",
    "--junit",
    join(folder, "report.xml"),
  );
  expect(code, stderr).toBe(0);
  const { summary } = JSON.parse(stdout);
  expect(summary).toMatchObject({ failed: 0, notTestable: 0 });
  expect(readFileSync(join(folder, "report.xml"), "utf8")).toContain('failures="0"');
});

test.each([
  ["fake-image", "IMG-01,IMG-02,IMG-03,IMG-04,IMG-05,IMG-06,PROV-02,LIFE-04"],
  ["fake-registry", "IMG-03,IMG-04,IMG-05,REG-01,REG-02,REG-03,LIFE-18,LIFE-19"],
])("the reference deployer of images passes what is about them: %s", async (name, clauses) => {
  const { code, stdout, stderr } = await run(harnessOf(name), "--only", clauses, "--json", "-");
  expect(code, stderr).toBe(0);
  expect(JSON.parse(stdout).summary).toMatchObject({ failed: 0, notApplicable: 0, notTestable: 0 });
});

test("every wrong deployer is caught by its clause", async () => {
  const verdicts = await judgeWrongDeployers();
  const missed = verdicts.filter(({ caught }) => !caught);
  expect(missed.map(({ wrong, results }) => ({ name: wrong.name, results }))).toEqual([]);
  expect(verdicts.length).toBeGreaterThanOrEqual(25);
});

test("a run that is interrupted fails, also when no check was under way", async () => {
  const file = join(folder, "interrupted.mjs");
  writeFileSync(
    file,
    `import { once } from "node:events";
import { default as fake } from ${JSON.stringify(pathToFileURL(HARNESS).href)};
export default {
  ...fake,
  parallel: 1,
  setup: async (place) => {
    const platform = await fake.setup(place);
    const close = async () => {
      await platform.close();
      const heard = once(process, "SIGINT");
      process.kill(process.pid, "SIGINT");
      await heard;
    };
    return { ...platform, close };
  },
};
`,
  );
  const { code, stdout, stderr } = await run(file, "--only", "FLAV-01,SET-02", "--json", "-");
  expect(code, stderr).toBe(1);
  const { summary, results } = JSON.parse(stdout);
  expect(summary).toMatchObject({ passed: 1, failed: 0, notMade: 1 });
  expect(results[1]).toMatchObject({ outcome: "not made", reason: "SIGINT ended the run" });
  expect(stderr).toContain("1 passed, 0 failed, 1 not made");
});

test("an expected failure that does not come fails the run", async () => {
  const file = join(folder, "expected.json");
  writeFileSync(file, '{"flavor-described": "it once had no description"}');
  const { code, stdout } = await run(HARNESS, "--only", "FLAV-01", "--expected-failures", file);
  expect(code).toBe(1);
  expect(stdout).toContain("remove it from the expected failures");
});

test.each([
  [["no-such-harness.ts"], /cannot be loaded/],
  [[], /Name one harness file/],
  [[HARNESS, "--only", "PLAN-99"], /No check or clause is called PLAN-99/],
  [[HARNESS, "--jsn", "x"], /--jsn/],
])("a wrong call %j is told what is wrong", async (args, message) => {
  const { code, stderr } = await run(...args);
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
});

test("the checks can be listed", async () => {
  const { code, stdout } = await run("--list", "--only", "PLAN-01");
  expect(code).toBe(0);
  expect(stdout.trim().split("\n")).toHaveLength(2);
});
