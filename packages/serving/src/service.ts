import type { CompiledPipeline, Secret, ServiceConfig } from "@millrace/core";
import type { Engine } from "@millrace/engine";
import type { Recorder } from "@millrace/store";
import type { Admission } from "./admission.ts";
import type { EventStream } from "./event-stream.ts";
import type { InvocationAnswers } from "./invocation-answer.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { RunRecording } from "./run-recording.ts";

/** `draining`: takes what still comes and asks clients to go elsewhere. `stopped`: takes nothing more. */
export type Phase = "starting" | "ready" | "draining" | "stopped";

/** Everything that the routes of one process share. */
export interface Service {
  readonly config: ServiceConfig;
  readonly pipeline: CompiledPipeline;
  readonly log: Log;
  /** None of them may stand in what the process writes or answers. */
  readonly secrets: readonly Secret[];
  readonly metrics: Metrics;
  readonly admission: Admission;
  readonly recorder: Recorder;
  readonly recording: RunRecording;
  readonly answers: InvocationAnswers;
  /** Of the runs whose client wants to hear what their steps emit, by the run's id. */
  readonly streams: Map<string, EventStream>;
  /** Each refuses a request whose parameters are still being checked, because the service shuts down. */
  readonly checks: Set<() => void>;
  phase: Phase;
  /** Set once `onInit` is done. */
  engine: Engine | undefined;
  /** Invocations whose answer is not yet sent. */
  invocations: number;
}
