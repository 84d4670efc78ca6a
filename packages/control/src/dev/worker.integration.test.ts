import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { Worker } from "./worker.ts";

/** Speaks the worker protocol, and gives up its thread no more once it was told to drain. */
const BUSY = `process.on("message", ({ type }) => {
  if (type === "listen") process.send({ type: "ready", url: "" });
  if (type === "drain") {
    console.log("spins");
    for (;;);
  }
});`;

test("a worker that never gives up its thread is killed some time after it had to be done", async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-worker-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "runtime.mjs"), BUSY);
  const socket = createServer();
  await new Promise<void>((done) => socket.listen(0, "127.0.0.1", done));
  onTestFinished(() => void socket.close());
  const spins = Promise.withResolvers<void>();
  const worker = new Worker(join(folder, "runtime.mjs"), folder, process.env, ({ text }) => {
    if (text === "spins") spins.resolve();
  });
  onTestFinished(() => worker.kill());
  await worker.listen(socket, AbortSignal.timeout(10_000));
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const drained = worker.drain({ successor: false });
  await spins.promise;
  vi.advanceTimersByTime(15_000);
  await drained;
  expect(await worker.ended).toEqual({ code: null, signal: "SIGKILL" });
});
