import { parentPort, workerData } from "node:worker_threads";
import type { ToWriter } from "./messages.ts";
import { RunWriting } from "./run-writing.ts";

/** A writer thread for tests: it dies of every batch that holds a failed run, and after each third batch. */
const writing = new RunWriting(workerData, (message) => parentPort?.postMessage(message));
let batches = 0;

parentPort?.on("message", async (message: ToWriter) => {
  if ("close" in message) {
    await writing.close(message.close);
    parentPort?.close();
    return;
  }
  if (message.values.includes("failed")) process.exit(1);
  await writing.take(message);
  batches += 1;
  if (batches === 3) setImmediate(() => process.exit(1));
});
