export type { BatchResult } from "./batch.ts";
export type { ParentMessage, WorkerMessage } from "./worker-protocol.ts";
