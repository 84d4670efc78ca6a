import { once } from "node:events";
import { mkdtemp, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SERVICE_END_ALLOWANCE_SECONDS } from "@millrace/core";
import { afterEach, expect, it, vi } from "vitest";
import { Worker } from "./worker.ts";

afterEach(() => vi.useRealTimers());

it("a worker that drains may take all the time that a service needs to end, and is killed after that", async () => {
  const directory = await mkdtemp(join(tmpdir(), "millrace-worker-"));
  const runtime = join(directory, "runtime.mjs");
  await writeFile(
    runtime,
    'process.on("message", () => process.send({ type: "ready", url: "" }));',
  );
  const socket = createServer().listen(0, "127.0.0.1");
  await once(socket, "listening");
  const worker = new Worker({
    replica: "worker-1",
    runtime,
    directory,
    environment: {},
    startTimeoutSeconds: 60,
    silenceTimeoutSeconds: 60,
    socket,
    secrets: [],
    onLines: () => undefined,
  });
  expect(await worker.started).toBeNull();
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  const kill = vi.spyOn(worker, "kill");
  const drained = worker.drain(30, true);
  vi.advanceTimersByTime((30 + SERVICE_END_ALLOWANCE_SECONDS) * 1000 - 1);
  expect(kill).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(kill).toHaveBeenCalledOnce();
  vi.useRealTimers();
  await drained;
  socket.close();
});
