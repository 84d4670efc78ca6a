import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));
const home = mkdtempSync(join(tmpdir(), "millrace-demo-"));

function run(command: string, ...args: readonly string[]) {
  const env = { ...process.env, MILLRACE_HOME: home };
  return spawnSync(command, args, { cwd: root, env, encoding: "utf8" });
}

afterAll(() => {
  run("millrace", "deployment", "delete", "weather", "--yes", "--force");
  rmSync(home, { recursive: true, force: true });
});

describe("the demo", () => {
  it("deploys the example, calls it by command and by HTTP, and shows the recorded runs", () => {
    const { status, stdout, stderr } = run("node", "apps/weather/demo.ts");
    expect(stderr).not.toContain("error");
    expect(status).toBe(0);
    expect(stdout).toContain("weather  RUNNING");
    expect(stdout).toContain("Lisbon is in its");
    expect(stdout).toContain('"city": "Sydney"');
    expect(stdout.match(/weather-[0-9a-f]{12} +weather +weather +completed/g)).toHaveLength(2);
  });

  it("finds nothing to do when it is run again, and serves on at the same place", () => {
    const urlOf = (text: string): string | undefined => /http:\/\/127\.0\.0\.1:\d+/.exec(text)?.[0];
    const before = urlOf(run("millrace", "deployment", "list").stdout);
    const { status, stdout } = run("node", "apps/weather/demo.ts");
    expect(status).toBe(0);
    expect(before).toBeDefined();
    expect(urlOf(stdout)).toBe(before);
    expect(stdout.match(/weather-[0-9a-f]{12} +weather +weather +completed/g)).toHaveLength(4);
  });
});
