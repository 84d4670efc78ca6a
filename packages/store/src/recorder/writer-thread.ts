import { parentPort, workerData } from "node:worker_threads";
import type { FromWriter, ToWriter, WriterOptions } from "./messages.ts";
import { RunWriting } from "./run-writing.ts";

if (parentPort === null) throw new Error("This module runs in a worker thread only.");
const port = parentPort;
const options: WriterOptions = workerData;
const writing = new RunWriting(options, (message: FromWriter) => port.postMessage(message));
const queue: ToWriter[] = [];
let busy = false;

port.on("message", (message: ToWriter) => {
  queue.push(message);
  if (!busy) void work();
});
writing.start();

/** One message after the other. */
async function work(): Promise<void> {
  busy = true;
  for (let message = queue.shift(); message !== undefined; message = queue.shift()) {
    if ("close" in message) {
      await writing.close(message.close);
      port.close();
    } else {
      await writing.take(message);
    }
  }
  busy = false;
}
