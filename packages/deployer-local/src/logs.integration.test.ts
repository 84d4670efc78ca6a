import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { LogLine } from "@millrace/core";
import plugin from "@millrace/deployer-local";
import { afterEach, beforeEach, expect, test } from "vitest";
import { eventually, isRunning, supervisorPid, TestBed } from "./bed.fixture.ts";

let bed: TestBed;

beforeEach(async () => {
  bed = await TestBed.open(plugin);
});

afterEach(() => bed.close());

async function print(url: string | null, text: string): Promise<void> {
  const response = await fetch(`${url}/print?text=${encodeURIComponent(text)}`);
  await response.arrayBuffer();
}

async function texts(query = {}): Promise<string[]> {
  return (await bed.logs(query)).map(({ text }) => text);
}

test("lines have time, replica and stream; tail and since choose among them", async () => {
  const { url } = await bed.provision();
  await print(url, "one");
  await eventually(async () => (await texts()).includes("one"));
  const [start] = await bed.logs();
  expect(start).toMatchObject({ replica: "worker-1", stream: "stdout", text: "starting 1" });
  const since = new Date();
  await print(url, "two ünicode");
  await eventually(async () => (await texts()).includes("two ünicode"));
  expect(await texts({ tail: 1 })).toEqual(["two ünicode"]);
  expect(await texts({ tail: 0 })).toEqual([]);
  expect(await texts({ since })).toEqual(["two ünicode"]);
});

test("lines outlive updates, crashes and the supervisor", async () => {
  const { url, ...up } = await bed.provision();
  await print(url, "before");
  await eventually(async () => (await texts()).includes("before"));
  process.kill(supervisorPid({ url, ...up }), "SIGKILL");
  await eventually(() => !isRunning(supervisorPid({ url, ...up })));
  expect(await texts()).toContain("before");
  await bed.provision({ revision: "2" });
  await print(url, "after");
  await eventually(async () => (await texts()).includes("after"));
  expect(await texts()).toEqual(expect.arrayContaining(["before", "starting 2", "after"]));
});

test("following gives each line once across rotation, and ends with the deployment", async () => {
  const { url } = await bed.provision({ settings: { logMaxBytes: 65_536, logFiles: 20 } });
  const seen: LogLine[] = [];
  const following = (async () => {
    for await (const line of bed.deployer.logs(bed.target, { follow: true }, bed.context())) {
      seen.push(line);
    }
  })();
  const written = Array.from({ length: 60 }, (_, i) => `${i} ${"x".repeat(5_000)}`);
  for (const text of written) await print(url, text);
  await eventually(() => seen.some(({ text }) => text === written.at(-1)));
  expect(readdirSync(join(bed.folder, "logs")).length).toBeGreaterThan(2);
  await bed.deprovision();
  await following;
  const isPrinted = ({ text }: LogLine): boolean => /^\d+ x+$/.test(text);
  expect(seen.filter(isPrinted).map(({ text }) => text)).toEqual(written);
});

test("following ends when the signal aborts", async () => {
  await bed.provision();
  const controller = new AbortController();
  const lines: string[] = [];
  const context = bed.context(controller.signal);
  for await (const { text } of bed.deployer.logs(bed.target, { follow: true }, context)) {
    lines.push(text);
    controller.abort();
  }
  expect(lines).toEqual(["starting 1"]);
});

test("old files are deleted", async () => {
  const { url } = await bed.provision({ settings: { logMaxBytes: 65_536, logFiles: 2 } });
  for (let i = 0; i < 60; i++) await print(url, `${i} ${"x".repeat(5_000)}`);
  await eventually(async () => (await texts({ tail: 1 }))[0]?.startsWith("59 ") === true);
  expect(readdirSync(join(bed.folder, "logs"))).toHaveLength(2);
  expect(await texts()).not.toContain("starting 1");
});

test("a deployment that is absent has no lines", async () => {
  expect(await bed.logs()).toEqual([]);
});
