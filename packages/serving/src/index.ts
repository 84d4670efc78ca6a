export type { ParentMessage, WorkerMessage } from "./worker-protocol.ts";
