import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));
const disk = mkdtempSync(join(tmpdir(), "millrace-disk-"));

/** Makes the disk so many kilobytes large. False where this user may not. */
function resize(kilobytes: number, ...options: readonly string[]): boolean {
  const size = [`size=${kilobytes}k`, ...options].join(",");
  return spawnSync("mount", ["-t", "tmpfs", "-o", size, "tmpfs", disk]).status === 0;
}

const canMount = process.platform === "linux" && process.getuid?.() === 0 && resize(300);

function millrace(...args: readonly string[]) {
  const env = { ...process.env, MILLRACE_HOME: join(disk, "home") };
  return spawnSync("millrace", args, { cwd: root, env, encoding: "utf8" });
}

afterAll(() => {
  if (canMount) {
    millrace("deployment", "delete", "weather", "--yes", "--force");
    spawnSync("umount", [disk]);
  }
  rmSync(disk, { recursive: true, force: true });
});

// Filling a disk for real needs one of its own, which only root may mount.
describe.skipIf(!canMount)("a full disk", () => {
  it("is named as the cause at whatever point it fills, until there is room", {
    timeout: 120_000,
  }, () => {
    const errors: string[] = [];
    for (let kilobytes = 300; ; kilobytes += 100) {
      resize(kilobytes, "remount");
      const { status, stderr } = millrace("deploy", "apps/weather/pipeline.ts", "--yes", "--quiet");
      if (status === 0) break;
      errors.push(stderr);
      expect(kilobytes).toBeLessThan(50_000);
    }
    expect(errors.length).toBeGreaterThan(2);
    for (const error of errors) {
      expect(error).toMatch(
        /ARTIFACTS_UNWRITABLE|STORE_FULL|STATE_UNWRITABLE|ENOSPC|no space left|cannot grow/,
      );
      expect(error).not.toContain("INTERNAL");
    }
  });

  it("leaves nothing half-written: the deployment answers, and no staging folder is left", () => {
    expect(millrace("invoke", "weather", "--city", "Tokyo").stdout).toContain("Tokyo is in its");
    expect(readdirSync(join(disk, "home", "artifacts", "default", "staging"))).toEqual([]);
    expect(millrace("deployment", "list").stdout).toMatch(/weather +RUNNING/);
  });
});
