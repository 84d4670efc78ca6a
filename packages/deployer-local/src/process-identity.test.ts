import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { isAlive, killProcess, startTimeOf } from "./process-identity.ts";

function waitingProcess() {
  return spawn(process.execPath, ["-e", "process.stdin.resume()"], {
    stdio: ["pipe", "ignore", "ignore"],
  });
}

test("a process keeps its start time, and has none once it is gone", async () => {
  const child = waitingProcess();
  const pid = child.pid ?? 0;
  const startTime = startTimeOf(pid);
  expect(startTime).not.toBeNull();
  expect(startTimeOf(pid)).toBe(startTime);
  child.stdin.end();
  await once(child, "exit");
  expect(startTimeOf(pid)).toBeNull();
  expect(isAlive({ pid, startTime })).toBe(false);
});

test("a process that reuses an id is not the one that was meant, and is not killed", async () => {
  const child = waitingProcess();
  const pid = child.pid ?? 0;
  const startTime = startTimeOf(pid);
  for (const other of ["another boot:1", null]) {
    expect(isAlive({ pid, startTime: other })).toBe(false);
    killProcess({ pid, startTime: other });
  }
  expect(isAlive({ pid, startTime })).toBe(true);
  killProcess({ pid, startTime });
  const [, signal] = await once(child, "exit");
  expect(signal).toBe("SIGKILL");
});
