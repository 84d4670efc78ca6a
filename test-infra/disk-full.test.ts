import { spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it, vi } from "vitest";
import { z } from "zod";

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
  return spawnSync("millrace", args, { cwd: root, env, encoding: "utf8", maxBuffer: 1 << 28 });
}

const describedSchema = z.object({ deployment: z.object({ url: z.string() }) });
const listedSchema = z.object({ items: z.array(z.object({ id: z.string() })) });
const answerSchema = z.object({
  metadata: z.object({ run_id: z.string(), recorded: z.boolean().default(true) }),
});

/** Writes a file until the disk has no room. */
function fill(file: string): void {
  for (let bytes = 1 << 20; bytes >= 1; bytes /= 4) {
    try {
      for (;;) appendFileSync(file, Buffer.alloc(bytes));
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
    }
  }
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

  it("stands in the way of nobody who only looks, also when no run has opened the store yet", () => {
    fill(join(disk, "filling"));
    for (const command of ["list", "describe weather", "history weather", "logs weather"])
      expect(millrace("deployment", ...command.split(" "))).toMatchObject({ status: 0 });
    expect(millrace("invoke", "weather", "--city", "Tokyo").stdout).toContain("Tokyo is in its");
    rmSync(join(disk, "filling"));
  });

  it("leaves nothing half-written: the deployment answers, and no staging folder is left", () => {
    expect(millrace("invoke", "weather", "--city", "Tokyo").stdout).toContain("Tokyo is in its");
    expect(readdirSync(join(disk, "home", "artifacts", "default", "staging"))).toEqual([]);
    expect(millrace("deployment", "list").stdout).toMatch(/weather +RUNNING/);
  });

  it("is told to whoever calls a service that records before it answers, until there is room", {
    timeout: 120_000,
  }, async () => {
    resize(60_000, "remount");
    const sync = ["--serving", "tracking.mode=sync"];
    expect(millrace("deploy", "apps/weather/pipeline.ts", "--yes", ...sync).status).toBe(0);
    const { deployment } = describedSchema.parse(
      JSON.parse(millrace("deployment", "describe", "weather", "--output", "json").stdout),
    );
    const told = new Map<string, boolean>();
    const invoke = async () => {
      const response = await fetch(`${deployment.url}/invoke`, { method: "POST" });
      expect(response.status).toBe(200);
      const { run_id, recorded } = answerSchema.parse(await response.json()).metadata;
      told.set(run_id, recorded);
      return recorded;
    };
    expect(await invoke()).toBe(true);
    fill(join(disk, "filling"));
    await vi.waitUntil(async () => !(await invoke()), { timeout: 20_000, interval: 5 });
    const metrics = await (await fetch(`${deployment.url}/metrics`)).text();
    expect(metrics).toMatch(/^millrace_recorder_dropped_total [1-9]/m);
    rmSync(join(disk, "filling"));
    await vi.waitUntil(invoke, { timeout: 20_000, interval: 50 });
    // The spool may still be on its way to the store.
    await vi.waitFor(
      () => {
        const listed = listedSchema.parse(
          JSON.parse(millrace("run", "list", "--all-pages", "--output", "json").stdout),
        );
        const ids = new Set(listed.items.map(({ id }) => id));
        expect([...told.keys()].filter((id) => ids.has(id) !== told.get(id))).toEqual([]);
      },
      { timeout: 20_000, interval: 500 },
    );
  });
});
