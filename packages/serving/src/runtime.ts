import module from "node:module";
import type { WorkerMessage } from "./worker-protocol.ts";

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major > 22 || (major === 22 && minor >= 18)) {
  // Compiled code is kept from start to start, which halves the time that the modules need. Where no cache can be written,
  // they are compiled each time. It has to be on before they are loaded.
  module.enableCompileCache();
  await import("./main.ts");
} else {
  // None of the modules can be loaded there, and so this has to be told without them.
  const error = {
    class: "usage",
    code: "NODE_TOO_OLD",
    message: `Millrace needs Node 22.18 or newer; this is Node ${process.versions.node}.`,
    action: "Run it with a newer Node.",
    retryable: false,
  } as const;
  process.exitCode = 2;
  process.stderr.write(`millrace: ${error.code}: ${error.message}\n  ${error.action}\n`);
  const failed: WorkerMessage = { type: "failed", error };
  process.send?.(failed);
}
